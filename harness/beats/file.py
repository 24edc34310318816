"""The one on-disk format of a run: the recorder that a worker writes with, and its reader.

`beats.jsonl` holds a line for each thing that happened; `now.bin` is a small slot, mapped into
memory and overwritten in place, which says where the worker is at this moment. Both are in the page
cache the moment the call returns: they survive the death of the worker by any signal. Two lines
and five slot writes a step are what the recording costs; see benchmarks/overhead.py.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import sys
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
NOW = "now.bin"
LEARNING = "learning.jsonl"
"""The beat of a model that a program has followed (`beats.watch`), whoever tells of its steps."""
_SLOT = struct.Struct("<QqdqQ")
"""Sequence number, step, time, index of the phase's name from 1, the sequence number again."""
_NAMES = 32
_NAME = 40
"""The slot is followed by a table of so many phase names of so many bytes, padded with zeros."""
_SLOT_SIZE = _SLOT.size + _NAMES * _NAME
_LONGEST_LINE = 1 << 20
_CHUNK = 1 << 16
"""Bytes read at a time from a whole file: what is made of them stays in the processor's cache."""
_now = time.monotonic
_MAX = sys.float_info.max
_pack = _SLOT.pack_into


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
        self._names: dict[str, int] = {}
        self._torn = False
        self.phase("start")

    def _open_slot(self, path: Path) -> mmap.mmap | bytearray:
        """The mapped slot; one in memory alone, which nobody reads, when the disk has no room."""
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                # Really allocate the block: a write through a mapping to a full disk is a SIGBUS.
                os.write(file, bytes(_SLOT_SIZE))
                return mmap.mmap(file, _SLOT_SIZE)
            finally:
                os.close(file)
        except OSError as error:
            self._failed(error)
            return bytearray(_SLOT_SIZE)

    @staticmethod
    def now() -> float:
        """The clock of all beats."""
        return _now()

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
        self._phase = phase
        self._since = now = _now()
        self._seq = seq = self._seq + 1
        _pack(self._slot, 0, seq, step, now, self._names.get(phase) or self._name(phase), seq)

    def phase(self, name: str) -> float:
        """The phase `name` begins; the one before it ends here and gets its seconds.

        Returns the time of the change. The slot is written here and not in a function of its own:
        this is called several times a step, and a call costs as much as the write.
        """
        now = _now()
        phases, before = self._phases, self._phase
        phases[before] = phases.get(before, 0.0) + (now - self._since)
        self._since = now
        self._phase = name
        self._seq = seq = self._seq + 1
        _pack(self._slot, 0, seq, self._step, now, self._names.get(name) or self._name(name), seq)
        return now

    def built(self, nodes: int | None = None, depth: int | None = None) -> None:
        """The step's graph stands and its evaluation begins."""
        now = self.phase("eval")
        if nodes is None:
            # The BuiltBeat of nearly every step, formatted by hand: half the price.
            self._append(b'{"k":"built","t":%.6f,"step":%d}\n' % (now, self._step))
        else:
            self.write(BuiltBeat(t=now, step=self._step, nodes=nodes, depth=depth))

    def end(
        self,
        loss: float | None = None,
        active: int | None = None,
        cache: int | None = None,
        peak: int | None = None,
        traces: int = 0,
        calls: int = 0,
        left: int | None = None,
        carried: int | None = None,
        shapes: int = 0,
        inputs: int | None = None,
        arrays: int | None = None,
    ) -> None:
        """The step's evaluation returned."""
        now = _now()
        phases, phase = self._phases, self._phase
        phases[phase] = phases.get(phase, 0.0) + (now - self._since)
        self._since = now
        self.write(
            StepBeat(
                t=now,
                step=self._step,
                phases=phases,
                loss=loss if loss is None or -_MAX <= loss <= _MAX else str(loss),
                active=active,
                cache=cache,
                peak=peak,
                traces=traces,
                calls=calls,
                left=left,
                carried=carried,
                shapes=shapes,
                inputs=inputs,
                arrays=arrays,
            )
        )

    def write(self, beat: Beat) -> None:
        """Append one beat. A line that does not reach the disk whole is counted in `lost`."""
        self._append(self._encode(beat) + b"\n")

    def _append(self, line: bytes) -> None:
        if self._torn:
            line = b"\n" + line
        try:
            written = os.write(self._file, line)
        except OSError as error:
            self._failed(error)
            return
        if written < len(line):
            self.lost += 1
            self.fault = self.fault or "a beat was written only in part: the disk is full"
            self._torn = True
        else:
            self._torn = False

    def close(self) -> None:
        os.close(self._file)
        if isinstance(self._slot, mmap.mmap):
            self._slot.close()

    def _name(self, phase: str) -> int:
        """A place in the slot's table, from 1; what comes when it is full shares the last one."""
        index = self._names[phase] = min(len(self._names) + 1, _NAMES)
        start = _SLOT.size + (index - 1) * _NAME
        self._slot[start : start + _NAME] = phase.encode()[:_NAME].ljust(_NAME, b"\0")
        return index

    def _failed(self, error: OSError) -> None:
        self.lost += 1
        self.fault = self.fault or f"{error.strerror or error}"


_decode_beat = msgspec.json.Decoder(AnyBeat).decode


def read_position(folder: Path) -> Position | None:
    """The position of the worker of `folder`, or None before its first beat.

    A slot caught in the middle of being overwritten shows two sequence numbers; it is read again.
    """
    for _ in range(3):
        try:
            slot = (folder / NOW).read_bytes()
        except OSError:
            return None
        if len(slot) != _SLOT_SIZE:
            return None
        seq, step, t, index, end = _SLOT.unpack_from(slot)
        if seq == end and 1 <= index <= _NAMES:
            start = _SLOT.size + (index - 1) * _NAME
            name = slot[start : start + _NAME].rstrip(b"\0").decode("utf-8", "replace")
            return Position(step, name, t)
    return None


def write_position(folder: Path, position: Position) -> None:
    """Let `read_position` of `folder` return `position`: for a worker of another machine."""
    slot = bytearray(_SLOT_SIZE)
    _pack(slot, 0, 1, position.step, position.t, 1, 1)
    name = position.phase.encode()[:_NAME]
    slot[_SLOT.size : _SLOT.size + len(name)] = name
    file = folder / f"{NOW}.new"
    file.write_bytes(slot)
    file.replace(folder / NOW)


class BeatReader:
    """Reads beats.jsonl from where it last stopped; the file may still be growing.

    `torn` counts the lines that are no beats: cut short by a kill or a full disk, or garbage that
    something else wrote. They are skipped, never fatal.
    """

    def __init__(self, folder: Path, name: str = BEATS) -> None:
        self.torn = 0
        self._path = folder / name
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
        try:
            return [_decode_beat(line) for line in lines]
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return [beat for line in lines if (beat := self._decoded(line)) is not None]

    def _decoded(self, line: bytes) -> AnyBeat | None:
        try:
            return _decode_beat(line) if line else None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.torn += 1
            return None

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
        yield from reader.read(_CHUNK)
    reader.finish()


def read_ends(folder: Path, size: int) -> list[AnyBeat]:
    """The first beat, and those in the last `size` bytes: all of them where there are no more."""
    reader = BeatReader(folder)
    beats = reader.read(size)
    try:
        behind = (folder / BEATS).stat().st_size - size
    except OSError:
        return beats
    if behind > 0:
        reader._offset, reader._rest, reader._skipping = behind, b"", True
        beats = beats[:1] + reader.read(size)
    return beats
