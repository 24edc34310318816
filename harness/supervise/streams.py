"""A process's stdout and stderr: always drained, kept bounded, shown where somebody looks on.

The first and the last MiB are kept. What is drained is written at once, the first part into the
file itself and the rest into two segments that take turns, so that a killed supervisor loses
nothing and a gigabyte of output costs neither memory nor disk.
"""

from __future__ import annotations

import errno
import os
import select
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.supervise import debug

KEEP = 1 << 20
LAST_S = 5.0
"""The longest time to wait for the last output, in seconds."""


class Log:
    """Bounded file: the first KEEP bytes, and of what follows the last KEEP."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._head: IO[bytes] = path.open("wb", buffering=0)
        self._room = KEEP
        self._segments = (path.with_suffix(".tail-a"), path.with_suffix(".tail-b"))
        self._current = 0
        self._segment: IO[bytes] | None = None
        self._filled = 0
        self._total = 0

    def write(self, data: bytes) -> None:
        """Never raises: a full disk loses the log, not the run."""
        self._total += len(data)
        try:
            if self._room:
                self._head.write(data[: self._room])
                data, self._room = data[self._room :], max(0, self._room - len(data))
            while data:
                if self._segment is None or self._filled >= KEEP:
                    self._turn()
                assert self._segment is not None
                part = data[: KEEP - self._filled]
                self._segment.write(part)
                self._filled += len(part)
                data = data[len(part) :]
        except OSError:
            pass

    def _turn(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._current = 1 - self._current
        self._segment = self._segments[self._current].open("wb", buffering=0)
        self._filled = 0

    def close(self) -> None:
        """Join the parts into one file, with a line that says how much was left out."""
        try:
            if self._segment is not None:
                self._segment.close()
                older = self._segments[1 - self._current]
                before = older.read_bytes() if older.exists() else b""
                tail = (before + self._segments[self._current].read_bytes())[-KEEP:]
                left_out = self._total - (KEEP - self._room) - len(tail)
                if left_out:
                    self._head.write(b"\n[... %d bytes left out ...]\n" % left_out)
                self._head.write(tail)
            self._head.close()
        except OSError:
            pass
        for segment in self._segments:
            segment.unlink(missing_ok=True)


@dataclass(frozen=True)
class Output:
    """One of a process's outputs, from our side."""

    source: int
    """The descriptor that we read it from."""
    log: str
    """Name of the file that keeps it."""
    sink: int | None = None
    """The descriptor on which a person sees it, if it is shown."""
    shown: Callable[[bytes], None] | None = None
    """The listener for shown output. It is told before anybody else."""


@dataclass(frozen=True)
class Ends:
    """The descriptors that a process is started with, and what we read of it."""

    stdin: int
    stdout: int
    stderr: int
    outputs: tuple[Output, ...]
    held: tuple[int, ...] = ()
    """Descriptors that must stay open as long as the process lives, whether or not we do."""


def captured() -> Ends:
    """Pipes for both outputs, which nobody sees, and nothing to read."""
    out, err = os.pipe(), os.pipe()
    return Ends(
        stdin=subprocess.DEVNULL,
        stdout=out[1],
        stderr=err[1],
        outputs=(Output(out[0], "stdout.log"), Output(err[0], "stderr.log")),
    )


class Relay(threading.Thread):
    """Passes one output on as fast as it comes: to whoever sees it, to its log, to who listens.

    Ends when every writer is gone, or, as a pipe between two programs would, when who sees it is.
    `finish` can end it before that.
    """

    def __init__(
        self, output: Output, folder: Path, hear: Callable[[bytes], None] = lambda data: None
    ) -> None:
        super().__init__(name=f"relay {output.log}", daemon=True)
        self._output = output
        self._log = Log(folder / output.log)
        self._hear = hear
        self._left, self._leave = os.pipe()
        try:
            self.start()
        except RuntimeError as error:  # Python's word for the kernel's EAGAIN
            self._log.close()
            os.close(self._left)
            os.close(self._leave)
            raise OSError(errno.EAGAIN, str(error)) from error

    def finish(self, leave: bool = False) -> None:
        """Wait for the end. With `leave` it comes as soon as what is there by now has been read,
        whether or not a writer is left."""
        if leave:
            os.write(self._leave, b"!")
        self.join(LAST_S)
        if not self.is_alive():
            os.close(self._left)
            os.close(self._leave)

    def run(self) -> None:
        while (data := self._read()) and self._show(data):
            if self._output.shown is not None:
                self._tell(self._output.shown, data)
            self._log.write(data)
            self._tell(self._hear, data)
        os.close(self._output.source)
        self._log.close()

    def _tell(self, listener: Callable[[bytes], None], data: bytes) -> None:
        """Whatever a listener makes of it, the pipe is drained: a full one holds its writer up."""
        try:
            listener(data)
        except Exception:
            debug.SUPERVISE.exception("what came from %s was not understood", self._output.log)

    def _read(self) -> bytes:
        waits = select.poll()
        for file in (self._output.source, self._left):
            waits.register(file, select.POLLIN)
        ready = [file for file, _ in waits.poll()]
        if self._output.source not in ready:
            return b""
        try:
            return os.read(self._output.source, 1 << 18)
        except OSError:  # how a pseudo-terminal says that nobody has it open any more
            return b""

    def _show(self, data: bytes) -> bool:
        """Write all of it; False when whoever saw it has gone."""
        sink = self._output.sink
        rest = memoryview(data)
        while sink is not None and rest:
            try:
                rest = rest[os.write(sink, rest) :]
            except BlockingIOError:  # somebody else who has the terminal open made it so
                select.select([], [sink], [])
            except OSError:
                return False
        return True
