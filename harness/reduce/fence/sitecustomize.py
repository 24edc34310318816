"""The fence of a reduced program: found by every Python whose PYTHONPATH begins with this folder.

A shortened program may do what its author never wrote, such as remove a folder whose name lost a
part. So each one runs in a folder of its own, and what reaches outside of it is refused: writes and
removals, programs and hosts that the whole program did not use, signals to others. An audit hook
does so and notes it. Where the kernel has Landlock (Linux 5.13), that does so too, for native code
and for whatever the program starts. The sitecustomize that would have been found without this one
is run after it.
"""

from __future__ import annotations

import os
import struct
import sys

TYPE_CHECKING = False  # known to type checkers by its name; importing typing would take longer
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

FOLDER = "HARNESS_FENCE"
"""The variable with the folder in which alone the program may write. It runs in `work` there."""
NOTES = "notes"
"""The file in it for what was refused and, of the whole program, what it used and which lines ran.
"""
WORK = "work"
USED = "HARNESS_FENCE_USED"
"""The variable with the file of what may be used; without it everything is noted and allowed."""
TRACED = "HARNESS_FENCE_TRACED"
"""The variable with the program whose lines are noted as they run."""
LOOKED = "HARNESS_FENCE_LOOKED"
"""The variable with the file to which the program prints its stacks, again and again."""
LOOK_S = 0.05
BEGUN = "HARNESS_FENCE_BEGUN"
"""Set once the first process has gone to its folder: another one stays where it is started."""
DATA = 16 * 2**30
"""Bytes of memory that one process may have of its own."""
FILE = 2 * 2**30
"""Bytes that one file may have."""
HERE = os.path.dirname(os.path.abspath(__file__))

CHANGES: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.remove": ((0, 1),), "os.rmdir": ((0, 1),), "os.rename": ((0, 2), (1, 3)),
    "os.mkdir": ((0, 2),), "os.chmod": ((0, 2),), "os.chown": ((0, 3),),
    "os.truncate": ((0, None),),
    "os.utime": ((0, 3),), "os.setxattr": ((0, None),), "os.removexattr": ((0, None),),
    "os.chflags": ((0, None),), "os.link": ((1, 3),), "os.symlink": ((1, 2),),
    "shutil.rmtree": ((0, 1),), "sqlite3.connect": ((0, None),),
}  # fmt: skip
"""For each event that changes paths, the number of each path and of its folder's descriptor."""
PROGRAMS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system")
ENVIRONMENT = {"subprocess.Popen": 3, "os.exec": 2, "os.posix_spawn": 2, "os.spawn": 3}
"""The place of the environment in what an event has."""
DEVICES = ("/dev/", "/proc/self/")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
LOCAL = ("127.", "::1", "localhost", "0.0.0.0")


def roots(folder: str) -> list[str]:
    """The folders in which the program may write."""
    names = (folder, os.environ.get("HARNESS_BEATS"), "/dev/shm")
    return [os.path.realpath(name) for name in names if name]


def append(folder: str) -> int:
    """The open file of notes."""
    file = os.path.join(folder, NOTES)
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


class Fence:
    """The audit hook."""

    def __init__(self, folder: str, used: str) -> None:
        """Only what is in the file `used` may be used; an empty name allows and notes it."""
        self._roots = roots(folder)
        self._notes = append(folder)
        self._session = os.getsid(0)
        self._known: set[str] = set()
        self._learns = not used
        if used:
            with open(used, encoding="utf-8") as file:
                self._known = {line.rstrip("\n") for line in file}

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            self._opened(*given)
        elif event in CHANGES:
            for path, folder in CHANGES[event]:
                at = given[folder] if folder is not None and folder < len(given) else None
                self._changed(event, given[path], at)
        elif event in PROGRAMS:
            self._started(event, given)
        elif event == "socket.connect" or event == "socket.sendto":
            self._called(given[1])
        elif event in ("os.kill", "os.killpg"):
            self._signaled(event, given[0])

    def _opened(self, path: Any, mode: Any, flags: Any) -> None:
        writes = flags & WRITES if isinstance(flags, int) else False
        if writes or (isinstance(mode, str) and set(mode) & set("wax+")):
            self._changed("open", path)

    def _changed(self, event: str, path: Any, folder: Any = None) -> None:
        if isinstance(path, int) or path is None or path == ":memory:":
            return  # a file that is open already, or none
        name = os.fsdecode(path)
        if isinstance(folder, int) and folder >= 0:
            name = os.path.join(f"/proc/self/fd/{folder}", name)
        real = os.path.realpath(name)
        if real.startswith(DEVICES) and event == "open":
            return
        if not any(real.startswith(root + os.sep) for root in self._roots):
            self._refuse(event, real)

    def _started(self, event: str, given: tuple[Any, ...]) -> None:
        argv = given[1] if len(given) > 1 and isinstance(given[1], (list, tuple)) else given[:1]
        words = [os.fsdecode(word) for word in argv if isinstance(word, (str, bytes, os.PathLike))]
        # Another process of Python has this fence as well, unless its options keep it away, or an
        # environment without it.
        options = [word for word in words[1:4] if word.startswith("-") and word[1:2] != "-"]
        own = words[:1] == [sys.executable] and not any(set(word) & set("IES") for word in options)
        given_to = given[ENVIRONMENT[event]] if event in ENVIRONMENT else None
        own = own and (given_to is None or any(os.fsdecode(n) == FOLDER for n in given_to))
        if not own:
            self._use(event, repr(words))

    def _called(self, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if isinstance(host, str) and not host.startswith(LOCAL):
            self._use("socket.connect", host)

    def _signaled(self, event: str, pid: Any) -> None:
        try:
            others = pid <= 1 or os.getsid(pid) != self._session
        except OSError:
            return  # nobody is there
        if others:
            self._refuse(event, str(pid))

    def _use(self, event: str, what: str) -> None:
        note = f"{event} {what}".replace("\n", " ")
        if self._learns:
            self._note(f"used {note}")
        elif note not in self._known:
            self._refuse(event, what)

    def _refuse(self, event: str, what: str) -> None:
        self._note(f"refused {event} {what}".replace("\n", " "))
        raise PermissionError(f"refused while the program is reduced: {event} {what}")

    def _note(self, text: str) -> None:
        os.write(self._notes, f"{text}\n".encode("utf-8", "replace"))


def limit() -> None:
    """Keep a loop without end from taking all memory or the whole disk."""
    import resource

    for name, most in (("RLIMIT_DATA", DATA), ("RLIMIT_FSIZE", FILE), ("RLIMIT_CORE", 0)):
        number = getattr(resource, name)
        soft, hard = resource.getrlimit(number)
        if soft == resource.RLIM_INFINITY or soft > most:
            resource.setrlimit(number, (most, hard))


def landlock(folder: str) -> None:
    """Let the kernel refuse to change files outside of the program's folders, and to signal others.

    Nothing is done where it cannot: other systems and old kernels. The numbers are those of
    linux/landlock.h, and the same for all processors.
    """
    if sys.platform != "linux":
        return
    import ctypes

    library = ctypes.CDLL(None)
    version = library.syscall(444, None, 0, 1)
    if version < 1:
        return
    rights = 0x1FF2 | (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0)
    signals = 2 if version >= 6 else 0
    size = 24 if signals else 8
    rules = library.syscall(444, struct.pack("QQQ", rights, 0, signals), size, 0)
    if rules < 0:
        return
    of_files = 1 << 1 | (1 << 14 if version >= 3 else 0)
    for path, allowed in [*((root, rights) for root in roots(folder)),
                          ("/dev", of_files), ("/proc", of_files)]:  # fmt: skip
        try:
            parent = os.open(path, os.O_RDONLY)
        except OSError:
            continue
        library.syscall(445, rules, 1, struct.pack("=Qi", allowed, parent), 0)
        os.close(parent)
    library.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    library.syscall(446, rules, 0)
    os.close(rules)


def trace(program: str, folder: str) -> None:
    """Note each line of `program` when it runs for the first time, in whatever thread."""
    import threading

    file = append(folder)
    seen: set[int] = set()

    def line(frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename != program:
            return None
        if frame.f_lineno not in seen:
            seen.add(frame.f_lineno)
            os.write(file, f"line {frame.f_lineno}\n".encode())
        return line

    threading.settrace(line)
    sys.settrace(line)


def look(file: str) -> None:
    """Print the stacks of all threads to `file`, again and again, from a native thread."""
    import faulthandler

    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    faulthandler.dump_traceback_later(LOOK_S, repeat=True, file=descriptor)


def _run_the_other() -> None:
    """Run the sitecustomize that this one hides; as with any, its errors are Python's to report."""
    own = sys.modules.pop(__name__)
    try:
        __import__(__name__)
    except ImportError as error:
        if error.name != __name__:
            raise
    finally:
        sys.modules.setdefault(__name__, own)


def enter() -> None:
    """Fence this process in, as its variables say."""
    if not os.environ.get(BEGUN):
        os.environ[BEGUN] = "1"
        os.chdir(os.path.join(os.environ[FOLDER], WORK))
        if os.environ.get(LOOKED):
            look(os.environ[LOOKED])
        landlock(os.environ[FOLDER])  # children inherit it
    if os.environ.get(TRACED):
        trace(os.environ[TRACED], os.environ[FOLDER])
    limit()
    sys.addaudithook(Fence(os.environ[FOLDER], os.environ.get(USED, "")))


sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != HERE]
if os.environ.get(FOLDER):
    enter()
if __name__ == "sitecustomize":
    _run_the_other()
