"""The beats of a training that is known by its log alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from pathlib import Path

import msgspec

from harness.beats.file import Recorder, number
from harness.logs import Reading, parameters
from harness.logs.reading import VALIDATIONS
from harness.model import SCHEMA, FiguresBeat, Number, StartBeat, StepBeat
from harness.model.beats import BETWEEN

VALIDATES = "validate"
SKIPS = "skip_update"
AHEAD = 5
"""The number of reports in a row that make their count the one that is believed."""
EARLY = 0.02
"""The share of the total that may be missing: the last report may come before the last step."""
DRAWN_S = 0.5
"""Seconds of steps that a bar may leave out, which is not drawn for each of them."""
NAMES = 64
"""Different names under which figures are kept of a run."""


class _Source:
    """One count of steps: what one output says in one format."""

    def __init__(self) -> None:
        self.step: int | None = None
        """The last that it named; None of one that names none."""
        self.losses = False
        """True if it gives any."""
        self.drawn = False
        """True of a bar, whose figures stand for a while."""
        self.said = 0
        """Steps that it has reported."""
        self.said_then = 0
        """The number of steps it had reported when the leading source last reported one."""
        self.lead_then = 0
        """The number of steps the leading source had reported when this one last reported one."""
        self.below = 0
        """Steps in a row, rising, that are not above the last one."""
        self.low = 0
        """The last of those."""


class LogBeats:
    """Writes the beats of a training that is known by its log alone.

    A report of a step that is not the one before says how long all of them took together, and its
    beat says so (`covers`). The position stays at the last step that was reported.

    Steps are often reported more than once: by a bar and by a line, by each rank, on both outputs,
    and one may count from 0 and the other from 1. Only one source's count is believed, that of the
    one that leads; what else is said of a step completes it, in a beat that covers no step.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells when it was printed."""
        self._clock = clock
        self.total: int | None = None
        """Steps that there are to be, where the log says so."""
        self.every: int | None = None
        """The number of steps between two reports, by the last two; None before there are two."""
        self._total_of: _Source | None = None
        self._first: tuple[int, float] | None = None
        """The first step that was reported, and when."""
        self._judged = False
        """True once any figure was told: what only counts may be no training."""
        self.lock = threading.Lock()
        """Held by whoever takes a reading: a command has two outputs."""
        self._recorder = Recorder(folder)
        self._since = clock()
        self._phases: dict[str, float] = {}
        self._phase = "start"
        self._step: int | None = None
        self._stepped_at = self._since
        self._sources: dict[Hashable, _Source] = {}
        self._lead: _Source | None = None
        self._known = Reading()
        """The values known for the last step."""
        self._exact = False
        """True once lines have told losses with their steps: a bar's are not listened to then."""
        self._clock_told: float | None = None
        """The last step's time by the log's own clock."""
        self._under_way: Reading | None = None
        """The step that lines name the phases of, with the memory that they told."""
        self._phased = self._skipped = 0
        self._modeled = False
        self._names: set[str] = set()
        self._told: dict[str, bool] = {}
        """The figures told of the last step, and whether each was finite."""
        self._closed = False

    def started(self, pid: int, name: str, rank: int = 0) -> None:
        """Write down that the command runs, as a worker would."""
        now, wall = self._clock(), time.time()
        self._recorder.write(
            StartBeat(t=now, schema=SCHEMA, pid=pid, wall=wall, scenario=name, rank=rank)
        )

    def take(self, reading: Reading, source: Hashable = None) -> None:
        """Turn what a line of `source` said into what happened. Never raises."""
        if self._closed:
            return  # of one that is kept: for us it is over
        now = self._clock()
        if reading.trainable is not None:
            if not self._modeled:  # others may be parts of it
                self._recorder.write(parameters.beat(reading.trainable, now))
            self._modeled = True
            return
        if reading.drawn and self._exact and (reading.loss is not None or reading.figures):
            reading = msgspec.structs.replace(reading, loss=None, figures=None)
        if reading.validation and (reading.batch is not None or reading.loss is None):
            self._turn(VALIDATES, now)  # under way, as a bar shows it
        elif reading.validation:
            self._phase = VALIDATES  # over: it is what has taken the time until now
            self._turn(BETWEEN, now)
            self._figures(reading, now)
        elif reading.loss is not None or (reading.step is not None and reading.phase is None):
            said = self._sources.setdefault(source, _Source())
            said.losses = said.losses or reading.loss is not None
            said.drawn = reading.drawn
            if reading.loss is not None and reading.step is not None and not reading.drawn:
                self._exact = True
            self._turn(BETWEEN, now)
            self._stepped(reading, said, now)
            self._figures(reading, now)
            if reading.phase is not None:
                self._turn(reading.phase, now)
        elif reading.phase is not None and reading.step is not None and _within(reading.phase):
            self._in_phase(reading, (source, "phases"), now)
        elif reading.phase is not None:
            self._turn(reading.phase, now, reading.step)
        else:
            self._turn(BETWEEN, now)
            self._figures(reading, now)

    def _in_phase(self, reading: Reading, source: Hashable, now: float) -> None:
        """Take a line that names a phase of a step: the step is over when another one begins."""
        assert reading.step is not None
        assert reading.phase is not None
        before = self._under_way
        self._turn(reading.phase, now, reading.step)
        if before is None or reading.step != before.step:
            self._phased += 1
            self._step_is_over(source, now)
            self._under_way = reading
        else:
            memory, peak = reading.memory_bytes, reading.peak_bytes
            self._under_way = msgspec.structs.replace(
                reading,
                memory_bytes=before.memory_bytes if memory is None else memory,
                peak_bytes=max(filter(None, (before.peak_bytes, peak)), default=None),
            )
        self._skipped += reading.phase == SKIPS
        if reading.phase == "end":
            self._step_is_over(source, now)
            self._under_way = msgspec.structs.replace(reading, memory_bytes=None, peak_bytes=None)
        at = -1 if self._step is None else self._step
        self._recorder.begin(max(at, reading.step), reading.phase)
        self._figures(reading, now)

    def _step_is_over(self, source: Hashable, now: float) -> None:
        over = self._under_way
        if over is not None:
            said = self._sources.setdefault(source, _Source())
            self._stepped(msgspec.structs.replace(over, phase=None), said, now)

    @property
    def skips(self) -> tuple[int, int]:
        """(steps that say that they skip their update, steps that name their phases)."""
        return self._skipped, self._phased

    @property
    def early(self) -> tuple[int, int] | None:
        """(steps done, steps that there were to be) of a training that ended well before its total.

        None where that is not certain: the total must come from the reports that the steps come
        from, and more must be missing than lies between two reports or two drawings of a bar.
        """
        lead, total = self._lead, self.total
        if lead is None or total is None or self._total_of is not lead or not self._judged:
            return None
        if self._step is None or self._first is None:
            return None
        first, began = self._first
        done = self._step + (first == 0 and not lead.drawn)
        missing = total - done
        if missing <= max(2 * (self.every or 1), EARLY * total):
            return None
        pace = (self._stepped_at - began) / max(1, self._step - first)
        if lead.drawn and missing * pace < DRAWN_S:
            return None
        return done, total

    def _figures(self, reading: Reading, now: float) -> None:
        """Write down what the line says beside the loss; of a step each name once.

        Another time only if it is no number then: another rank's is not to be lost.
        """
        figures = dict(reading.figures or ())
        self._judged = self._judged or bool(figures) or reading.loss is not None
        if reading.validation:
            figures = {_of_validation(name): value for name, value in figures.items()}
            if reading.loss is not None:
                figures["val_loss"] = reading.loss
        elif reading.learning_rate is not None:
            figures["learning_rate"] = reading.learning_rate
        if reading.tokens_per_s is not None:
            figures["tokens_per_s"] = reading.tokens_per_s
        new: dict[str, Number] = {}
        for name, value in figures.items():
            finite = abs(value) < float("inf")
            if name in self._told and (finite or not self._told[name]):
                continue
            if name not in self._names and len(self._names) >= NAMES:
                continue
            self._names.add(name)
            self._told[name] = finite
            new[name] = number(value)
        if new:
            step = -1 if self._step is None else self._step
            self._recorder.write(FiguresBeat(t=now, step=step, figures=new))

    def _turn(self, phase: str, now: float, step: int | None = None) -> None:
        self._phases[self._phase] = self._phases.get(self._phase, 0.0) + max(0.0, now - self._since)
        self._phase, self._since = phase, now
        # Also where the phase is the same: that something was printed is progress.
        self._recorder.begin(-1 if self._step is None else max(self._step, step or 0), phase)

    def _stepped(self, reading: Reading, source: _Source, now: float) -> None:
        own = source.step
        further = reading.step is None or reading.step != own
        source.step = reading.step
        source.said += further
        lead = self._lead
        if lead is None or (lead is not source and further and self._leads(source, lead)):
            # How long it took since its own last report is not known where they count differently.
            before = self._step if own == self._step else None
            self._lead = source
            for other in self._sources.values():
                other.lead_then = source.said
        elif lead is source:
            before = self._step
        else:
            exact = lead.drawn and not reading.drawn
            self._complete(reading, now, own=further and (exact or not lead.losses), exact=exact)
            return
        if further:
            for other in self._sources.values():
                other.said_then = other.said
        step = reading.step
        if step is None:
            step = 0 if self._step is None else self._step + 1
        if reading.total and reading.epoch is None:
            self.total, self._total_of = reading.total, source
        if step == self._step or (before is not None and self._is_late(source, step, before)):
            if before is None:
                self._phases = {}  # from here on it is its reports that tell how long a step takes
            self._complete(reading, now, own=False)
            return
        if before is not None:
            self.every = step - before
        self._step = step
        self._stepped_at = now
        self._first = self._first or (step, now)
        self._told.clear()
        self._recorder.begin(step, BETWEEN)
        covers = 0 if before is None else max(1, step - before)
        phases, self._phases = self._phases, {}
        if reading.clock is not None:
            phases = _dated(phases, self._clock_told, reading.clock)
            self._clock_told = reading.clock
        self._known = reading
        self._write(step, now, phases, covers, reading)

    def _leads(self, source: _Source, lead: _Source) -> bool:
        """True if the count of `source` is the better one from now on: a bar's or a line's?

        It is when the one that leads has fallen silent, or tells of fewer steps. Where both tell of
        each step it is the one that has numbers, and losses with them.
        """
        if source.said - source.said_then >= AHEAD:
            return True
        as_often = lead.said - source.lead_then <= 2  # each output is read by a thread of its own
        source.lead_then = lead.said
        if not as_often or source.step is None:
            return False
        return lead.step is None or (source.losses and not lead.losses)

    def _is_late(self, source: _Source, step: int, last: int) -> bool:
        """True if a step below the last one is the line of another rank that came late.

        Else the training has gone back, as to a checkpoint: then all that follow are.
        """
        rises = source.below == 0 or step > source.low
        source.below = (source.below + 1 if rises else 1) if step < last else 0
        source.low = step
        if source.below < AHEAD:
            return source.below > 0
        source.below = 0
        return False

    def _complete(self, reading: Reading, now: float, own: bool, exact: bool = False) -> None:
        """Add to the last step what was not known of it; of its losses the first one counts.

        But none is lost that is no number, nor any where it is the only one that tells losses
        (`own`): several of its steps may fall into one that is counted. A line that is `exact`
        knows its own step, where a bar is drawn before it or after it.
        """
        known, loss = self._known, reading.loss
        if loss is not None and known.loss is not None and not own:
            bad = not abs(loss) < float("inf") and abs(known.loss) < float("inf")
            loss = loss if bad else None
        memory = reading.memory_bytes if known.memory_bytes is None else None
        peak = reading.peak_bytes if known.peak_bytes is None else None
        if loss is None and memory is None and peak is None:
            return  # a bar, drawn again
        self._known = msgspec.structs.replace(
            known,
            loss=known.loss if loss is None else loss,
            memory_bytes=known.memory_bytes if memory is None else memory,
            peak_bytes=known.peak_bytes if peak is None else peak,
        )
        assert self._step is not None
        beside = exact and reading.step is not None and abs(reading.step - self._step) == 1
        step = reading.step if beside and reading.step is not None else self._step
        told = Reading(loss=loss, memory_bytes=memory, peak_bytes=peak)
        self._write(step, now, {}, 0, told)

    def _write(
        self, step: int, now: float, phases: dict[str, float], covers: int, reading: Reading
    ) -> None:
        loss = reading.loss
        self._recorder.write(
            StepBeat(
                t=now,
                step=step,
                phases=phases,
                loss=None if loss is None else number(loss),
                active=reading.memory_bytes,
                peak=reading.peak_bytes,
                covers=covers,
            )
        )

    def close(self, ended_well: bool = False) -> None:
        """`ended_well`: the command did, so that the step under way is over too."""
        with self.lock:
            if ended_well and not self._closed and self._under_way is not None:
                at = self._under_way
                if self._step is None or (at.step is not None and at.step > self._step):
                    now = self._clock()
                    self._turn(BETWEEN, now)
                    for said in [said for key, said in self._sources.items() if _of_phases(key)]:
                        self._stepped(msgspec.structs.replace(at, phase=None), said, now)
            self._closed = True
            self._recorder.close()


def _within(phase: str) -> bool:
    """Return True for a phase that each step has, not one that comes between steps."""
    return phase not in (VALIDATES, "checkpoint")


def _of_phases(key: Hashable) -> bool:
    return isinstance(key, tuple) and key[-1:] == ("phases",)


def _dated(phases: dict[str, float], before: float | None, now: float) -> dict[str, float]:
    """`phases` with as many seconds in all as passed by the log's own clock.

    Lines that were held back come late and all at once; their clock does not.
    """
    passed = 0.0 if before is None else now - before
    seen = sum(phases.values())
    if passed <= 0:
        return phases
    if seen <= 0:
        return {BETWEEN: passed}
    return {name: seconds * passed / seen for name, seconds in phases.items()}


def _of_validation(name: str) -> str:
    return name if name.partition("_")[0] in VALIDATIONS else f"val_{name}"
