"""The harness's command line on Linux as on a Mac: no /proc, and macOS's libraries as in darwin.c.

$DARWIN_LIBRARY names that file, compiled. Its guards are disguised as well (supervise/guard.py).
What they start is Linux's.

$MODE: what psutil may read. `ad`: released, the threads of others are refused; `p8`: psutil 8, they
are not; `27` (if it is not set): as `ad`, and the machine's memory cannot be read, as on macOS 27.
$RAISES: functions of harness/observe/macos/kernel.py that raise when they are called; or `all`.
"""

import ctypes
import importlib
import os
import pathlib
import platform
import select
import signal
import sys
import sysconfig

import psutil

sys.path.append(str(pathlib.Path(__file__).parent))
import kqueue

sys.path.pop()

for name in ("asyncio", "ctypes.util", "multiprocessing", "platform", "rich.live", "rich.progress",
             "urllib.request", "uuid"):  # fmt: skip
    importlib.import_module(name)  # they look at the platform while they are imported
sysconfig.get_config_vars()  # read once, from a module that is named by the platform

LIBRARIES = ("/usr/lib/libproc.dylib", "/usr/lib/libSystem.B.dylib")
KQUEUE = ("kqueue", "kevent", "KQ_FILTER_PROC", "KQ_EV_ADD", "KQ_NOTE_EXIT", "KQ_NOTE_FORK")
MODE = os.environ.get("MODE", "27")
HIDDEN = ("/proc", "/sys/")

threads, load = psutil.Process.threads, ctypes.CDLL
read_text, iterdir, open_ = pathlib.Path.read_text, pathlib.Path.iterdir, os.open


def threads_of_itself(process):
    """As psutil up to 7.2.2: it asks for another process's task port, and is refused."""
    if process.pid != os.getpid():
        raise psutil.AccessDenied(process.pid)
    return threads(process)


def memory_of_macos_27():
    raise RuntimeError("host_statistics64(HOST_VM_INFO64) syscall failed: array not large enough")


def raises(*asked, **named):
    raise ctypes.ArgumentError("this macOS has another one")


def loaded(name, *rest, **named):
    if name in LIBRARIES:
        return load(os.environ["DARWIN_LIBRARY"], *rest, **named)
    return load(name, *rest, **named)


def shown(path):
    if str(path).startswith(HIDDEN):
        raise FileNotFoundError(2, "no such file", str(path))
    return path


def disguise():
    signal.SIGINFO = signal.SIGURG  # as in what it starts (site/sitecustomize.py)
    path = (str(pathlib.Path(__file__).parent / "site"), os.environ.get("PYTHONPATH", ""))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    sysconfig.get_config_vars()  # it reads them from a file that has the platform in its name
    sys.platform = "darwin"
    platform.platform = lambda *rest, **named: "macOS-26.0-arm64-arm-64bit"
    platform.machine = lambda: "arm64"
    if MODE != "p8":
        psutil.Process.threads = threads_of_itself
    if MODE == "27":
        psutil.virtual_memory = psutil.swap_memory = memory_of_macos_27
    ctypes.CDLL = loaded
    pathlib.Path.read_text = lambda path, *rest, **named: read_text(shown(path), *rest, **named)
    pathlib.Path.iterdir = lambda path: iterdir(shown(path))
    for name in KQUEUE:
        setattr(select, name, getattr(kqueue, name))
    os.open = lambda path, *rest, **named: open_(
        shown(path) if isinstance(path, str) else path, *rest, **named
    )


if __name__ == "__main__":
    disguise()
    from harness.cli import main
    from harness.observe.macos import kernel
    from harness.record import child
    from harness.supervise import guard

    wanted = os.environ.get("RAISES", "").split()
    for name in [one for one in vars(kernel) if one in wanted or "all" in wanted]:
        if getattr(getattr(kernel, name), "__module__", "") == kernel.__name__ and name.islower():
            setattr(kernel, name, raises)
    child.__file__ = str(pathlib.Path(__file__).parent / "record" / "child.py")
    guard.__file__ = str(pathlib.Path(__file__).parent / "supervise" / "guard.py")
    sys.exit(main())
