"""The report of a far host about its worker, as lines among the worker's output. Pure."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from harness.model import AnyBeat, Position, Process

MARK = b"\x1e"
"""Begins a frame; a line feed ends it. JSON has neither inside."""
DRIFT = 1e-4
"""Seconds a second by which two clocks may drift apart; good ones stay below half of it."""


class Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The news of a worker. All times are those of its own host's clock."""

    now: float
    """When it was sent."""
    beats: tuple[AnyBeat, ...] = ()
    position: Position | None = None
    processes: tuple[Process, ...] = ()
    """The worker first; empty when they have not been looked at for this frame."""
    stuck: bool = False
    """True if its stacks say that it uses the CPU and gets nowhere; looked at only when asked."""
    wakes_in: float | None = None
    """Seconds until it wakes, if all it does is to wait for a time to pass; 0 when unknown."""
    status: int | None = None
    """As of os.wait4, once the worker has ended. Nothing comes after it but more beats."""


class Seen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The facts known here of a far rank, besides its beats. Times are those of our clock."""

    heard: float | None = None
    """When its host was last heard."""
    silence: float = 0.0
    """The longest time between two messages of it."""
    processes: tuple[Process, ...] = ()
    stuck: bool = False
    wakes_in: float | None = None
    status: int | None = None
    closed: bool = False
    """True if the connection to it is over."""
    ended: bool = False
    """True if that was the launcher's doing, as after the end of another rank."""
    said: str = ""
    """The last words of ssh, or of the shell there, if the worker never came to say anything."""


def line(frame: msgspec.Struct) -> bytes:
    return MARK + msgspec.json.encode(frame) + b"\n"


Kind = TypeVar("Kind", bound=msgspec.Struct)


class Splitter(Generic[Kind]):
    """Tells the frames of a stream, all of one kind, from the output among which they stand."""

    def __init__(self, kind: type[Kind]) -> None:
        self._decode = msgspec.json.Decoder(kind).decode
        self._frame: bytearray | None = None
        """The part that has come of one; None outside."""

    def feed(self, data: bytes) -> tuple[bytes, list[Kind]]:
        """(output, frames) among the next `data`, wherever it is cut. What is no frame is lost."""
        text = bytearray()
        frames: list[Kind] = []
        while data:
            if self._frame is None:
                before, mark, data = data.partition(MARK)
                text += before
                self._frame = bytearray() if mark else None
                continue
            part, end, data = data.partition(b"\n")
            self._frame += part
            if end:
                frames += self._decoded(bytes(self._frame))
                self._frame = None
        return bytes(text), frames

    def _decoded(self, text: bytes) -> list[Kind]:
        try:
            # A terminal's carriage return at its end is white space to JSON.
            return [self._decode(text)]
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return []


class Clock:
    """Turns times of another machine's clock into ours.

    A message arrives later than it was sent, never sooner: the least difference seen so far is
    nearest to that of the clocks, and what arrives after a pause is not taken to be new.
    """

    def __init__(self) -> None:
        self._ahead: float | None = None
        self._at = 0.0

    def heard(self, theirs: float, ours: float) -> None:
        """A message sent at `theirs` arrived at `ours`."""
        ahead = ours - theirs
        if self._ahead is not None:
            ahead = min(ahead, self._ahead + DRIFT * (ours - self._at))
        self._ahead, self._at = ahead, ours

    def ours(self, theirs: float) -> float:
        """Call after the first `heard`."""
        assert self._ahead is not None
        return theirs + self._ahead
