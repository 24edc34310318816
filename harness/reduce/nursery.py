"""Programs started as copies of one process that has imported what they import.

`fence/nursery.py` is that process. It runs under a guard, which kills it and all copies when this
process goes away.
"""

from __future__ import annotations

import ast
import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path

from harness.reduce.fence import nursery
from harness.supervise import launch

START_S = 30.0
"""The longest time to wait for the imports of a program, in seconds."""
LONGEST = 100
"""The longest name of a socket, in bytes: Linux takes 107."""
TICK_S = 0.01


def imports(text: str, lines: Set[int]) -> tuple[str, ...]:
    """The modules that a program imported when these of its lines ran. Pure."""
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import) and node.lineno in lines:
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.lineno in lines:
            found += [node.module] if node.module and not node.level else []
    return tuple(dict.fromkeys(name for name in found if name != "__future__"))


class Copy:
    """One program under way, as `launch.Launched` is one."""

    def __init__(self, send: Callable[[Mapping[str, object]], None], number: int) -> None:
        self._send = send
        self._number = number
        self.pid: int | None = None
        self.status: int | None = None
        """Its wait status, once it has ended."""

    def reap(self) -> None:
        """Kill it with all that it has started."""
        if self.status is None:
            self._send({"number": self._number})


class Nursery:
    """The process, its socket, and the copies that run."""

    def __init__(self, launched: launch.Launched, connection: socket.socket) -> None:
        self._launched = launched
        self._connection = connection
        connection.setblocking(False)
        self._rest = b""
        self._number = 0
        self._copies: dict[int, Copy] = {}

    @classmethod
    def open(
        cls, python: Sequence[str], modules: Sequence[str], variables: Mapping[str, str],
        folder: Path, over: Callable[[], bool],
    ) -> Nursery | None:  # fmt: skip
        """Start one; None where it cannot be: `over`, or `nursery.py` says why in its output.

        `folder` is an empty one of its own.
        """
        address = folder / "s"
        if len(os.fsencode(address)) > LONGEST:
            return None
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(address))
            listener.listen(1)
            listener.setblocking(False)
            argv = [*python, nursery.__file__, str(address), *modules]
            launched = launch.Launched(argv, folder, {**os.environ, **variables})
            end = time.monotonic() + START_S
            while time.monotonic() < end and not over():
                launched.listen()
                if launched.quiet or launched.status is not None:
                    break
                try:
                    connection, _ = listener.accept()
                except BlockingIOError:
                    time.sleep(TICK_S)
                else:
                    return cls(launched, connection)
        _ended(launched)
        return None

    def start(self, file: Path, variables: Mapping[str, str], folder: Path) -> Copy:
        """Run `file`, with these variables more. Its outputs go to files in `folder`."""
        self._number += 1
        copy = self._copies[self._number] = Copy(self._send, self._number)
        self._send(
            {
                "number": self._number,
                "file": str(file),
                "variables": dict(variables),
                "stdout": str(folder / "stdout.log"),
                "stderr": str(folder / "stderr.log"),
            }
        )
        return copy

    def _send(self, request: Mapping[str, object]) -> None:
        try:
            self._connection.sendall(json.dumps(request).encode() + b"\n")
        except OSError:
            self._lost()

    def listen(self) -> None:
        """Take in which copies have ended; never blocks."""
        while True:
            try:
                data = self._connection.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lost()
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                answer = json.loads(line)
                copy = self._copies.get(answer["number"])
                if copy is not None and "pid" in answer:
                    copy.pid = answer["pid"]
                elif copy is not None:
                    copy.status = answer["status"]
                    del self._copies[answer["number"]]

    def _lost(self) -> None:
        """It is gone, and so is all that it ran."""
        for copy in self._copies.values():
            copy.status = -1
        self._copies.clear()

    @property
    def runs(self) -> bool:
        """True until it is gone."""
        self._launched.listen()
        return self._launched.status is None and not self._launched.quiet

    def close(self) -> None:
        """End it, and all that it runs."""
        self._connection.close()
        _ended(self._launched)


def _ended(launched: launch.Launched) -> None:
    launched.reap(0.0)
    while not launched.quiet:
        launched.listen()
        time.sleep(0.005)
    launched.close(keep_kernels=False)
