"""Beats out of what a command prints: the lines it writes take the place of a worker's own word."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.adapters import Adapter, Reading, Recognition, Recognizer
from harness.beatfile import BETWEEN, Recorder
from harness.model import SCHEMA, StartBeat, StepBeat

VALIDATES = "validate"
SHARE = 0.5
"""Of the time, that may go into reading what is printed; what is printed faster is skipped."""
CREDIT_S = 1.0
PAUSE_S = 0.2
"""Without output for so long, a line without an end is read as it stands."""


class LogBeats:
    """Writes the beats of a training that is known by its log alone.

    A report of a step that is not the one before says how long all of them took together, and its
    beat says so (`covers`). The position stays at the last step that was reported.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells when it was printed."""
        self._clock = clock
        self.total: int | None = None
        """Steps that there are to be, where the log says so."""
        self.every: int | None = None
        """Of so many steps one is told of, by the last two; None before there are two."""
        self.lock = threading.Lock()
        """Held by whoever takes a reading: a command has two outputs."""
        self._recorder = Recorder(folder)
        self._since = clock()
        self._phases: dict[str, float] = {}
        self._phase = "start"
        self._step: int | None = None
        self._closed = False

    def started(self, pid: int, name: str, rank: int = 0) -> None:
        """Write down that the command runs, as a worker would."""
        now, wall = self._clock(), time.time()
        self._recorder.write(
            StartBeat(t=now, schema=SCHEMA, pid=pid, wall=wall, scenario=name, rank=rank)
        )

    def take(self, reading: Reading) -> None:
        """Turn what a line said into what happened. Never raises."""
        if self._closed:
            return  # of one that is kept: for us it is over
        now = self._clock()
        if reading.validation and (reading.batch is not None or reading.loss is None):
            self._turn(VALIDATES, now)  # under way, as a bar shows it
        elif reading.validation:
            self._phase = VALIDATES  # over: it is what has taken the time until now
            self._turn(BETWEEN, now)
        elif reading.step is not None and (reading.loss is not None or reading.phase is None):
            self._stepped(reading, reading.step, now)
        elif reading.loss is not None:
            self._stepped(reading, 0 if self._step is None else self._step + 1, now)
        elif reading.phase is not None:
            self._turn(reading.phase, now, reading.step)
        else:
            self._turn(BETWEEN, now)

    def _turn(self, phase: str, now: float, step: int | None = None) -> None:
        self._phases[self._phase] = self._phases.get(self._phase, 0.0) + max(0.0, now - self._since)
        self._phase, self._since = phase, now
        # Also where the phase is the same: that something was printed is progress.
        self._recorder.begin(-1 if self._step is None else max(self._step, step or 0), phase)

    def _stepped(self, reading: Reading, step: int, now: float) -> None:
        again = step == self._step
        before, self._step = self._step, step
        if before is not None and not again:
            self.every = step - before
        if reading.total and reading.epoch is None:
            self.total = reading.total
        self._turn(BETWEEN, now)
        if again and reading.loss is None:
            return  # a bar, drawn again
        phases, self._phases = self._phases, {}
        loss = reading.loss
        self._recorder.write(
            StepBeat(
                t=now,
                step=step,
                phases=phases,
                loss=loss if loss is None or abs(loss) < float("inf") else str(loss),
                active=reading.memory_bytes,
                covers=0 if before is None else max(1, step - before),
            )
        )

    def close(self) -> None:
        with self.lock:
            self._closed = True
            self._recorder.close()


class Ear:
    """Listens to one output. `hear` is called by the thread that reads it, `pause` by another."""

    def __init__(self, beats: LogBeats, adapters: Sequence[Adapter]) -> None:
        self.skipped = 0
        """Bytes that came faster than they could be read."""
        self._beats = beats
        self._recognizer = Recognizer(adapters)
        self._lock = beats.lock
        self._credit = CREDIT_S
        self._heard_at = time.monotonic()
        self._missed = b""
        self._paused = True

    def hear(self, data: bytes) -> None:
        """Take what was printed; what would cost too much time is left out, but for its end."""
        with self._lock:
            began = time.monotonic()
            self._credit = min(CREDIT_S, self._credit + SHARE * (began - self._heard_at))
            self._heard_at, self._paused = began, False
            if self._credit <= 0:
                self.skipped += len(self._missed)
                self._missed = data
                return
            self._read(data)
            self._credit -= time.monotonic() - began

    def pause(self) -> None:
        """Call now and then: reads an unfinished line once nothing has come for a while."""
        with self._lock:
            if self._paused or time.monotonic() - self._heard_at < PAUSE_S:
                return
            self._paused = True
            self._read(b"")
            for reading in self._recognizer.peek():
                self._beats.take(reading)

    def close(self) -> Recognition:
        """Read what is left; returns what the output was found to be."""
        with self._lock:
            self._read(b"")
            for reading in self._recognizer.close():
                self._beats.take(reading)
            return self._recognizer.recognition

    def _read(self, data: bytes) -> None:
        if self._missed:
            # What was skipped before it cut a line in two.
            data, self._missed = b"\n" * bool(self.skipped) + self._missed + data, b""
        for reading in self._recognizer.feed(data):
            self._beats.take(reading)
