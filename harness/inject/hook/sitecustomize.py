"""Found by every Python whose PYTHONPATH begins with this folder; waits for what it can hook into:
MLX, mlx-lm, its trainer and MLX's launcher. As it ends it tells of the exception that ended it.

Until one of them is imported, one function that looks a name up for each import is all that it
adds. The sitecustomize that would have been found without this one is run after it.
"""

from __future__ import annotations

import atexit
import os
import sys

TYPE_CHECKING = False  # known to type checkers by its name; importing typing would take longer
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any, Callable

HOOKS: dict[str, tuple[str, ...]] = {
    "mlx_lm.tuner.trainer": ("trainer",),
    "mlx._distributed_utils.launch": ("launcher",),
    "mlx.core": ("versions",),
    "mlx.utils": ("versions",),
    "mlx_lm": ("versions",),
}
"""The modules that are hooked into, and the modules beside this folder that do it."""
OF_RANKS: dict[str, tuple[str, ...]] = {"mlx.core": ("versions", "collectives")}
"""Those that are hooked into otherwise in a rank."""
OF_REPLAYS: dict[str, tuple[str, ...]] = {
    "mlx.core": ("replay",),
    "mlx_lm.tuner.callbacks": ("replay",),
    "mlx_lm.tuner.trainer": ("replay",),
    "mlx_lm.utils": ("replay",),
}
"""Those that are hooked into where a training is replayed."""
FLIPPED: dict[str, tuple[str, ...]] = {
    "mlx.core": ("flips",),
    "multiprocessing.context": ("flips",),
    "multiprocessing.pool": ("flips",),
    "concurrent.futures.thread": ("flips",),
    "concurrent.futures.process": ("flips",),
    "torch.utils.data.dataloader": ("flips",),
}
"""Those that are hooked into as well where a setting is flipped."""
PROCESSES = "processes.jsonl"
"""The file to which each process adds what it is and how it ends, as in inside/versions.py."""
RANKS = ("MLX_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
"""The variables that make a process one, as in inside/writer.py."""
MOST = 65536
"""Characters of a traceback that are told."""
PART = 4000
"""Characters of one frame, or of one message."""
HEAD = "Traceback (most recent call last):\n"
INSIDE = "_harness_inside"
HERE = os.path.dirname(os.path.abspath(__file__))


class Finder:
    """Lets each import go its ordinary way, and hooks into what is in HOOKS once it is loaded."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._left = dict(HOOKS)
        if any(name in os.environ for name in RANKS):
            self._left.update(OF_RANKS)
        if "HARNESS_FLIP" in os.environ:
            for name, inside in FLIPPED.items():
                self._left[name] = (*self._left.get(name, ()), *inside)
        if "HARNESS_REPLAY" in os.environ:
            self._left = dict(OF_REPLAYS)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        inside = self._left.pop(name, None)
        if inside is None:
            return None
        import importlib.util

        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:  # a folder of that name has none
            try:
                _after(spec.loader, lambda module: _hook_all(inside, module, self._folder))
            except Exception as error:
                _note(self._folder, error)
        return spec

    def hook_loaded(self) -> None:
        """Hook into what a .pth file has imported before this."""
        for name in list(self._left):
            module = sys.modules.get(name)
            if module is not None:
                _hook_all(self._left.pop(name), module, self._folder)


def _after(loader: Any, then: Callable[[ModuleType], None]) -> None:
    """Let `loader`, which loads this one module, call `then` with it afterwards."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        del loader.exec_module
        execute(module)
        then(module)

    loader.exec_module = exec_module


def _hook_all(inside: tuple[str, ...], module: ModuleType, folder: str) -> None:
    for name in inside:
        _hook(name, module, folder)


def _hook(inside: str, module: ModuleType, folder: str) -> None:
    try:
        import importlib
        import types

        if INSIDE not in sys.modules:
            # By its path and under a name of its own: the harness need not be installed here.
            package = types.ModuleType(INSIDE)
            package.__path__ = [os.path.join(os.path.dirname(HERE), "inside")]
            sys.modules[INSIDE] = package
        importlib.import_module(f"{INSIDE}.{inside}").wrap(module, folder)
    except Exception as error:
        _note(folder, error)


def _note(folder: str, error: Exception) -> None:
    """Write a note, like `note` of inside/writer.py, which may not have loaded."""
    import json

    try:
        with open(os.path.join(folder, "hook.json"), "x", encoding="utf-8") as file:
            json.dump({"disabled": f"{type(error).__name__}: {error}"}, file)
    except OSError:
        pass


def _tell_end(folder: str, first: int) -> None:
    """Tell how this process ends: with the exception that nobody caught, or without one.

    Python keeps that exception whatever has replaced sys.excepthook. Registered first, this runs
    last. `first` is the process in which that was done: another one was forked from it.
    """
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    try:
        text = "null" if error is None else _printed(error)
        pid, version = os.getpid(), ".".join(map(str, sys.version_info[:3]))
        forked = "false" if pid == first else "true"
        line = f'{{"k":"end","pid":{pid},"forked":{forked},"python":"{version}","error":{text}}}\n'
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        file = os.open(os.path.join(folder, PROCESSES), flags, 0o644)
        os.write(file, line.encode())
        os.close(file)
    except Exception:
        pass  # the harness has gone, or the disk is full: what Python printed is all there is
    if type(error) is KeyboardInterrupt:
        _end_by_sigint()


def _end_by_sigint() -> None:
    """Let Python end as it does after Ctrl-C. It does so if the last text that it ran was
    interrupted, and modules that were imported here have run texts since."""
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        return


def _printed(error: BaseException) -> str:
    """The end of its traceback, as JSON."""
    import json
    import traceback

    parts = traceback.format_exception(type(error), error, error.__traceback__)
    # A message can be as long as all of them together: its beginning has the type.
    text = "".join(part if len(part) <= PART else part[:PART] + "\n" for part in parts)
    if len(text) > MOST:
        # A recursion. Its end has the line, or its beginning, if it is one of a library.
        first = text[:PART].rpartition("\n")[0].rpartition(HEAD)[2]
        if any(line[:2] != "  " for line in first.splitlines()):
            first = ""
        last = text[len(HEAD) + PART - MOST :].partition("\n")[2]
        text = f"{HEAD}{first}\n{last}" if first else HEAD + last
    return json.dumps(text)


def _leave_no_core() -> None:
    """Take back what a command may do and its Pythons need not: they print their line themselves.
    """  # fmt: skip
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    except (ImportError, OSError, ValueError):
        pass


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


sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != HERE]
if os.environ.pop("HARNESS_CORE", ""):
    _leave_no_core()
if os.environ.get("HARNESS_BEATS"):
    _finder = Finder(os.environ["HARNESS_BEATS"])
    _finder.hook_loaded()
    sys.meta_path.insert(0, _finder)
    atexit.register(_tell_end, os.environ["HARNESS_BEATS"], os.getpid())
if __name__ == "sitecustomize":
    _run_the_other()
