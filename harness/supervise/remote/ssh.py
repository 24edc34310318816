"""Stands in for ssh between `mlx.launch` and a far host, and keeps what the host tells of its rank.

`mlx.launch` mixes the output of all ranks as it comes, in pieces: what belongs to which rank can be
told here, on each connection, and no more after it. Everything else is ssh's own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from harness.beats.file import BEATS, write_position
from harness.model import Position, StartBeat
from harness.supervise.remote.frame import Clock, Frame, Seen, Splitter
from harness.text import late

SEEN = "host.json"
"""The file, in the folder of a far rank, with the facts known of it besides its beats."""
_RANK = late.compile(r"\bexport MLX_RANK=(\d+);")
_QUIET, _ERRORS = "LogLevel=QUIET", "LogLevel=ERROR"


class Book:
    """A far rank's folder: what its host tells, with all times in our own clock."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._clock = Clock()
        self._last = 0.0
        self._seen = Seen()
        self._position: Position | None = None

    def write(self, frame: Frame, now: float) -> None:
        """Keep a frame that arrived at `now`."""
        self._clock.heard(frame.now, now)
        lines = b"".join(self._line(beat, now) for beat in frame.beats)
        if lines:
            with (self._folder / BEATS).open("ab") as file:
                file.write(lines)
        # Once the clocks are better known, it would be written at another time, as if it had moved.
        if frame.position is not None and frame.position != self._position:
            self._position = frame.position
            t = self._clock.ours(frame.position.t)
            write_position(self._folder, msgspec.structs.replace(frame.position, t=t))
        before = self._seen
        gap = now - before.heard if before.heard is not None else 0.0
        self._keep(
            heard=now,
            silence=max(before.silence, gap),
            processes=frame.processes or before.processes,
            stuck=frame.stuck,
            wakes_in=frame.wakes_in,
            status=before.status if frame.status is None else frame.status,
        )

    def _line(self, beat: Any, now: float) -> bytes:
        # That of a later message may be told to be nearer: time must not go back for it.
        self._last = t = max(self._last, self._clock.ours(beat.t))
        if isinstance(beat, StartBeat):
            beat = msgspec.structs.replace(beat, wall=time.time() - (now - t))
        return msgspec.json.encode(msgspec.structs.replace(beat, t=t)) + b"\n"

    def close(self, ended: bool, said: str) -> None:
        """The connection is over, maybe `ended` from here.

        `said`: the last words, which count if no frame ever came.
        """
        self._keep(closed=True, ended=ended, said=said if self._seen.heard is None else "")

    def _keep(self, **news: Any) -> None:
        self._seen = msgspec.structs.replace(self._seen, **news)
        file = self._folder / f"{SEEN}.new"
        file.write_bytes(msgspec.json.encode(self._seen))
        file.replace(self._folder / SEEN)


def read(folder: Path) -> Seen:
    """The facts known of the rank of `folder`; of one that was never heard, nothing."""
    try:
        return msgspec.json.decode((folder / SEEN).read_bytes(), type=Seen)
    except (OSError, msgspec.MsgspecError):
        return Seen()


def main(argv: list[str]) -> int:
    """`argv[1:]`: the folder of the run, the real ssh, and the arguments meant for it."""
    _, folder, real, *arguments = argv
    asked = _RANK.search(arguments[-1]) if arguments else None
    if asked is None:
        os.execv(real, [real, *arguments])
    # mlx.launch silences ssh, also when it says why it cannot connect.
    arguments = [_ERRORS if word == _QUIET else word for word in arguments]
    with tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen([real, *arguments], stdout=subprocess.PIPE, stderr=complaints)
        ended: list[int] = []

        def end(number: int, frame: FrameType | None) -> None:
            ended.append(number)
            child.terminate()

        signal.signal(signal.SIGTERM, end)
        assert child.stdout is not None
        book = Book(Path(folder) / f"rank-{asked[1]}")
        last = _relay(child.stdout.fileno(), book)
        code = child.wait()
        complaints.seek(0)
        said = complaints.read()[-4096:]
    with contextlib.suppress(OSError):
        os.write(2, said)
    book.close(bool(ended), _last_line(said) or last)
    return code if code >= 0 else 255


def _relay(source: int, book: Book) -> str:
    """Pass on what is no frame until the end; returns the last line of that."""
    splitter, tail = Splitter(Frame), b""
    while data := os.read(source, 1 << 16):
        text, frames = splitter.feed(data)
        for frame in frames:
            with contextlib.suppress(OSError):  # a full disk loses records, not the run
                book.write(frame, time.monotonic())
        tail = (tail + text)[-4096:]
        while text:
            text = text[os.write(1, text) :]
    # The first line is mlx.launch's own: the file in which it keeps the process's number.
    return _last_line(tail.partition(b"\n")[2])


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
