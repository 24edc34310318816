"""A process that has imported what a program imports, and becomes a copy of itself for each one.

    python nursery.py SOCKET MODULE ...

It is run by the Python of the program. To start Python and to import MLX takes longer than most
candidates run. A fork is only right while there is one thread: with more than one, or where the
system is not Linux, it ends at once. Requests and answers are lines of JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import types
from typing import Any

TICK_S = 0.01
IDLE_S = 60.0
PR_SET_CHILD_SUBREAPER = 36


class Nursery:
    """The parent of all copies."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""
        self._running: dict[int, int] = {}
        """The number of each copy that runs, by pid."""

    def serve(self) -> dict[str, Any]:
        """Do as asked until nobody asks any more. Returns in each copy alone, with its request."""
        while True:
            ready, _, _ = select.select(
                [self._connection], [], [], TICK_S if self._running else IDLE_S
            )
            if ready:
                data = self._connection.recv(65536)
                if not data:
                    os._exit(0)  # the guard ends what is left
                *lines, self._rest = (self._rest + data).split(b"\n")
                for line in lines:
                    request = json.loads(line)
                    if "file" not in request:
                        self._kill(request["number"])
                    elif self._became(request):
                        return dict(request)
            self._reap()

    def _became(self, request: dict[str, Any]) -> bool:
        """True in the copy."""
        pid = os.fork()
        if pid == 0:
            self._connection.close()
            os.setsid()
            return True
        self._running[pid] = request["number"]
        self._answer({"number": request["number"], "pid": pid})
        return False

    def _answer(self, answer: dict[str, int]) -> None:
        self._connection.sendall(json.dumps(answer).encode() + b"\n")

    def _kill(self, number: int) -> None:
        for pid, other in self._running.items():
            if other == number:
                kill(pid)

    def _reap(self) -> None:
        ended: list[tuple[int, int]] = []
        while (pid := zombie()) is not None:
            if pid in self._running:
                kill(pid)  # what it leaves behind, as long as nobody else can have its number
            _, status = os.waitpid(pid, 0)
            if pid in self._running:
                ended.append((self._running.pop(pid), status))
        if ended and not self._running:
            # A process with a session of its own has lost its parent, and is a child of this one.
            while left := children():
                for pid in left:
                    kill(pid)
                    os.waitpid(pid, 0)
        for number, status in ended:
            self._answer({"number": number, "status": status})


def kill(pid: int) -> None:
    """Kill a process and its group, if they are there."""
    for function in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            function(pid, signal.SIGKILL)


def zombie() -> int | None:
    """A child of this process that has ended, and that nobody has waited for."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid


def children() -> list[int]:
    """The children of this process."""
    pid = os.getpid()
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def enter(request: dict[str, Any], fence: Any) -> None:
    """Give this process the files, variables and folder of its own program."""
    for path, flags, descriptor in (
        (os.devnull, os.O_RDONLY, 0),
        (request["stdout"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 1),
        (request["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 2),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.update(request["variables"])
    fence.enter()
    process: Any = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.ORIGINAL_DIR = os.getcwd()  # as of a program that imports it now


def run(file: str) -> None:
    """Run a file as Python runs a program."""
    sys.argv[:] = [file]
    sys.path[:0] = [os.path.dirname(file)]
    program = types.ModuleType("__main__")
    program.__file__ = file
    program.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = program
    with open(file, "rb") as source:
        code = compile(source.read(), file, "exec", dont_inherit=True)
    exec(code, program.__dict__)


def load() -> Any:
    """The fence beside this file, which is not in force here."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sitecustomize.py")
    spec = importlib.util.spec_from_file_location("harness_fence", here)
    assert spec is not None
    assert spec.loader is not None
    fence = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fence)
    return fence


def main(address: str, modules: list[str]) -> None:
    if sys.platform != "linux":
        sys.exit("a copy of a process is safe on Linux alone")
    fence = load()
    for name in modules:
        try:
            __import__(name)
        except Exception as error:
            print(f"{name}: {error}", file=sys.stderr)  # what needs it says so itself
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    children()  # raises where the kernel does not tell
    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("what the program imports has started threads")
    gc.collect()
    gc.freeze()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    request = Nursery(connection).serve()
    enter(request, fence)
    run(request["file"])


if __name__ == "__main__":
    old = sys.modules["__main__"]  # kept, as it is replaced
    main(sys.argv[1], sys.argv[2:])
