"""The one on-disk format of a run: the recorder that a worker writes with, and its reader.

`beats.jsonl` holds a line for each thing that happened; `now.json` is one fixed-size line, mapped
into memory and overwritten in place, which says where the worker is at this moment. Both are in
the page cache the moment the call returns: they survive the death of the worker by any signal.
Two lines and a few slot writes a step are what the recording costs; see benchmarks/overhead.py.
"""

from __future__ import annotations

import math
import mmap
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.model import (
    AnyBeat,
    Beat,
    BuiltBeat,
    Number,
    Position,
    StepBeat,
)

BEATS = "beats.jsonl"
NOW = "now.json"
_SLOT = 160
_LONGEST_LINE = 1 << 20


def number(value: float) -> Number:
    """A float as JSON can hold it: NaN and the infinities become "nan", "inf", "-inf"."""
    return value if math.isfinite(value) else str(value)


class Recorder:
    """Writes beats. Never raises into the training loop: what a full disk loses is counted.

    One thread writes; it is the training loop's own.
    """

    def __init__(self, folder: Path) -> None:
        self.lost = 0
        self.fault: str | None = None
        self._encode = msgspec.json.Encoder().encode
        self._file = os.open(folder / BEATS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._slot = self._open_slot(folder / NOW)
        self._seq = 0
        self._step = -1
        self._phase = "start"
        self._since = time.monotonic()
        self._phases: dict[str, float] = {}
        self._names: dict[str, bytes] = {}
        self._torn = False
        self.phase("start")

    def _open_slot(self, path: Path) -> mmap.mmap | None:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                # Really allocate the block: a write through a mapping to a full disk is a SIGBUS.
                os.write(file, b" " * (_SLOT - 1) + b"\n")
                return mmap.mmap(file, _SLOT)
            finally:
                os.close(file)
        except OSError as error:
            self._failed(error)
            return None

    @staticmethod
    def now() -> float:
        """The clock of all beats."""
        return time.monotonic()

    @property
    def step(self) -> int:
        """The step under way; -1 before the first."""
        return self._step

    @property
    def current(self) -> str:
        """The phase under way."""
        return self._phase

    def begin(self, step: int, phase: str = "data") -> None:
        """A new step begins, in `phase`."""
        self._step = step
        self._phases = {}
        self._since = time.monotonic()
        self._phase = phase
        self._mark(phase, self._since)

    def phase(self, name: str) -> None:
        """The phase `name` begins; the one before it ends here and gets its seconds."""
        now = time.monotonic()
        self._close(now)
        self._phase = name
        self._mark(name, now)

    def built(self, nodes: int | None = None, depth: int | None = None) -> None:
        """The step's graph stands and its evaluation begins."""
        now = time.monotonic()
        self._close(now)
        self._phase = "eval"
        self._mark("eval", now)
        self.write(BuiltBeat(t=now, step=self._step, phases=self._phases, nodes=nodes, depth=depth))

    def end(
        self,
        loss: float | None = None,
        active: int | None = None,
        cache: int | None = None,
        peak: int | None = None,
        traces: int = 0,
        calls: int = 0,
    ) -> None:
        """The step's evaluation returned."""
        now = time.monotonic()
        self._close(now)
        self.write(
            StepBeat(
                t=now,
                step=self._step,
                phases=self._phases,
                loss=None if loss is None else number(loss),
                active=active,
                cache=cache,
                peak=peak,
                traces=traces,
                calls=calls,
            )
        )

    def write(self, beat: Beat) -> None:
        """Append one beat. A line that does not reach the disk whole is counted in `lost`."""
        line = self._encode(beat) + b"\n"
        if self._torn:
            line = b"\n" + line
        try:
            written = os.write(self._file, line)
        except OSError as error:
            self._failed(error)
            return
        self._torn = written < len(line)
        if self._torn:
            self.lost += 1
            self.fault = self.fault or "a beat was written only in part: the disk is full"

    def close(self) -> None:
        os.close(self._file)
        if self._slot is not None:
            self._slot.close()

    def _close(self, now: float) -> None:
        phases, phase = self._phases, self._phase
        phases[phase] = phases.get(phase, 0.0) + (now - self._since)
        self._since = now

    def _mark(self, phase: str, now: float) -> None:
        if self._slot is None:
            return
        name = self._names.get(phase)
        if name is None:
            safe = "".join(c if c.isalnum() or c in "_-." else "_" for c in phase)
            name = self._names[phase] = safe.encode("ascii", "replace").replace(b"?", b"_")[:40]
        self._seq = seq = self._seq + 1
        text = b'{"seq":%d,"step":%d,"phase":"%b","t":%.6f,"end":%d}' % (
            seq,
            self._step,
            name,
            now,
            seq,
        )
        self._slot[:] = text.ljust(_SLOT - 1) + b"\n"

    def _failed(self, error: OSError) -> None:
        self.lost += 1
        self.fault = self.fault or f"{error.strerror or error}"


class _Slot(msgspec.Struct, frozen=True):
    seq: int
    step: int
    phase: str
    t: float
    end: int


_decode_slot = msgspec.json.Decoder(_Slot).decode
_decode_beat = msgspec.json.Decoder(AnyBeat).decode


def read_position(folder: Path) -> Position | None:
    """Where the worker of `folder` is, or None before its first beat.

    A slot caught in the middle of being overwritten shows two sequence numbers; it is read again.
    """
    for _ in range(3):
        try:
            slot = _decode_slot((folder / NOW).read_bytes())
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            continue
        if slot.seq == slot.end:
            return Position(slot.step, slot.phase, slot.t)
    return None


class BeatReader:
    """Reads beats.jsonl from where it last stopped; the file may still be growing.

    `torn` counts the lines that are no beats: cut short by a kill or a full disk, or garbage that
    something else wrote. They are skipped, never fatal.
    """

    def __init__(self, folder: Path) -> None:
        self.torn = 0
        self._path = folder / BEATS
        self._offset = 0
        self._rest = b""
        self._skipping = False

    def read(self, limit: int = 1 << 20) -> list[AnyBeat]:
        """The beats among the next `limit` bytes; empty when nothing new is there."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(limit)
        except OSError:
            return []
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._skipping and lines:
            del lines[0]
            self._skipping = False
        if len(self._rest) > _LONGEST_LINE:
            self.torn += not self._skipping
            self._rest, self._skipping = b"", True
        beats = []
        for line in lines:
            if not line:
                continue
            try:
                beats.append(_decode_beat(line))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self.torn += 1
        return beats

    def finish(self) -> None:
        """Call after the last read: what is left without a line end was torn off."""
        self.torn += bool(self._rest) and not self._skipping
        self._rest = b""


def read_beats(folder: Path, reader: BeatReader | None = None) -> Iterator[AnyBeat]:
    """All beats of a finished run, a chunk of the file in memory at a time."""
    reader = reader or BeatReader(folder)
    before = -1
    while reader._offset != before:
        before = reader._offset
        yield from reader.read()
    reader.finish()
