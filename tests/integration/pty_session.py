"""A program in a terminal of its own, which a test types into and looks at."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Sequence

LONGEST_S = 120.0


class Session:
    """`output` is all that the terminal has shown so far."""

    def __init__(self, argv: Sequence[str], cwd: str, size: tuple[int, int] = (40, 100)) -> None:
        self.output = b""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            _resize(0, *size)  # before anybody asks for it
            os.chdir(cwd)
            os.execvp(argv[0], argv)

    def resize(self, rows: int, columns: int) -> None:
        _resize(self._terminal, rows, columns)

    def type(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def until(self, told: bytes | Callable[[], bool]) -> None:
        """Look on until `told` is shown, or holds. Raises AssertionError when it never comes."""
        since = time.monotonic()
        while not (told() if callable(told) else told in self.output):
            assert time.monotonic() - since < LONGEST_S, (told, self.output)
            assert self._look() or callable(told), (told, self.output)

    def _look(self) -> bool:
        """Take what is shown within a moment; False once the terminal is closed."""
        if not select.select([self._terminal], [], [], 0.05)[0]:
            return True
        try:
            data = os.read(self._terminal, 1 << 16)
        except OSError:
            data = b""
        self.output += data
        return bool(data)

    def look(self, seconds: float) -> None:
        """Look on for so long, if it does not end before."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._look():
            pass

    def end(self) -> int:
        """Look on until it has ended; returns its exit code."""
        since = time.monotonic()
        while self._look():
            assert time.monotonic() - since < LONGEST_S, self.output
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._terminal)


def _resize(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
