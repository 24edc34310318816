"""The watch over a worker's progress. Pure: beats and snapshots in, a judgment out.

A phase is overdue when it has lasted longer than it ever did, by far. That alone calls nothing
hung: `harness.detect.registry` says what an overdue worker waits for, and whether that will end. A
worker in which nothing at all moves may be dead: `harness.detect.chain.closure` proves it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum

import msgspec

from harness.detect.io_activity import io_done
from harness.detect.policy import Policy
from harness.detect.stopwatch import Stopwatch
from harness.model import AnyBeat, Cause, Process, Snapshot, StepBeat
from harness.model.beats import BETWEEN
from harness.stats import quantile
from harness.text.units import duration

_CPU, _RUNNABLE = "uses the CPU", "a thread is runnable"
_BY_A_SIGNAL = "stopped by a signal"


class State(str, Enum):
    """The state of a worker."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    STOPPED = "stopped"


class Judgment(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one look. Times in seconds, `last_progress` as of the looks' clock."""

    state: State
    reason: str = ""
    about: str = ""
    """The subject of the doubt, where a state can have several reasons: another one is told
    anew."""
    still: bool = False
    """True if nothing at all moved since the look before."""
    overdue: bool = False
    """True if the phase has lasted longer than it may without a closer look."""
    phase: str = "start"
    lasted: float = 0.0
    """Seconds that the phase has lasted."""
    allowed: float = 0.0
    """Seconds that the phase may last before it is looked at more closely."""
    usual: float | None = None
    """The longest that it lasted before; None when it is the first of its kind."""
    held: tuple[int, ...] = ()
    """Processes that it has started and that have been stopped for so long that it is to be asked
    whether it waits for one of them."""
    last_progress: float = 0.0
    """`t` of the last look at which a beat had come."""

    def stands(self, share: float) -> bool:
        """True if nothing moves, and the phase has lasted for this share of what it may."""
        return self.still and 0.0 < share * self.allowed <= self.lasted

    @property
    def overrun(self) -> str:
        """`eval has run for 12 s (longest before: 64 ms)`."""
        if self.phase == BETWEEN:
            text = f"no report for {duration(self.lasted)}"
        else:
            text = f"{self.phase} has run for {duration(self.lasted)}"
        return text + (f" (longest before: {duration(self.usual)})" if self.usual else "")


class Watchdog:
    """Folds the beats and snapshots of one worker, in the order in which they came."""

    def __init__(self, policy: Policy | None = None) -> None:
        self._policy = policy or Policy()
        self._durations: dict[str, deque[float]] = {}
        self._before: Snapshot | None = None
        self._since_beat = Stopwatch(0.0)
        """Started at the last look at which a beat had come; stands while nobody could run."""
        self._still_looks = 0
        self._held: list[Process] = []
        self._held_since: float | None = None
        self._beside: frozenset[int] = frozenset()
        self._ticked = False
        """True if the look before saw CPU time."""
        self._longest = 0.0
        """Longest time between two beats."""

    def learn(self, beat: AnyBeat) -> None:
        """Take the phases of a finished step into the history."""
        if isinstance(beat, StepBeat):
            for phase, seconds in beat.phases.items():
                self._durations.setdefault(phase, deque(maxlen=512)).append(seconds)

    def allowance(self, phase: str) -> float:
        """Seconds after which `phase` is suspected."""
        durations = self._durations.get(phase)
        if not durations:
            return self._policy.first_s
        return max(self._policy.floor_s, self._policy.factor * quantile(durations, 0.99))

    def look(self, now: Snapshot) -> Judgment:
        """Judge the worker at `now`, given all that came before."""
        before, self._before = self._before, now
        if before is None or _beat_came(before, now):
            if before is not None:
                self._longest = max(self._longest, self._since_beat.elapsed(now.t))
            self._since_beat.restart(now.t)
            self._still_looks = 0
            self._held_since, self._beside = None, frozenset()
            return self._judgment(State.ALIVE)
        passed = now.t - before.t
        state = now.processes[0].state if now.processes else ""
        if state == "T":
            return self._paused(now, passed, State.STOPPED, _BY_A_SIGNAL)
        why = _activity(before, now, self._policy.cpu_share)
        # One that was stopped, and that a tool of ours holds now, is stopped all the same.
        was = {p.pid for p in self._held}
        self._held = [
            p for p in now.processes if p.state == "T" or (p.state == "t" and p.pid in was)
        ]
        held = [p for p in self._held if p.pid not in self._beside]
        # One that is traced is looked at, by us most likely: it cannot run, and nobody stopped it.
        if state == "t" or passed > self._policy.gap_s:
            stopped = held and self._held_since is not None and not why
            state_now = State.STOPPED if stopped else State.ALIVE
            return self._paused(now, passed, state_now, _told(held) if stopped else "")
        ticked, self._ticked = self._ticked, why == _CPU
        if why == _CPU and not ticked and _spent(before, now) <= self._policy.tick_s:
            why = ""
        if why:
            self._still_looks = 0
            busy = why in (_CPU, _RUNNABLE)
            return self._judgment(State.ALIVE, why, now, self._limit(now, busy))
        if held:
            # What it waits for may be one of them, and will then go on when that is continued.
            if self._held_since is None:
                self._held_since = now.t
            judgment = self._paused(now, passed, State.STOPPED, _told(held))
            if now.t - self._held_since < self._policy.floor_s:
                return judgment
            return msgspec.structs.replace(judgment, held=tuple(p.pid for p in held))
        self._held_since = None
        self._still_looks += 1
        return self._judgment(State.ALIVE, now=now, limit=self._limit(now, busy=False))

    def beside(self, pids: Iterable[int]) -> None:
        """Nobody waits for these processes: until the next step, that they are stopped stops
        nothing."""
        self._beside |= frozenset(pids)

    def _paused(self, now: Snapshot, passed: float, state: State, reason: str = "") -> Judgment:
        """It could not go on, or we could not look: the time does not count."""
        self._since_beat.exclude(passed)
        self._still_looks = 0
        return self._judgment(state, reason)

    def _limit(self, now: Snapshot, busy: bool) -> float:
        """Seconds after which the phase is overdue: sooner where it uses the CPU, and is known."""
        phase, policy = _phase(now), self._policy
        durations = self._durations.get(phase, ())
        if busy and len(durations) >= policy.busy_history:
            return max(policy.busy_floor_s, policy.busy_factor * max(durations))
        return self.allowance(phase)

    def longest(self, phase: str) -> float:
        """The longest that a phase has lasted, or that any has: 0 when none is known."""
        durations = self._durations.get(phase) or [0.0]
        return max(*durations, self._longest, 0.0)

    def _judgment(
        self, state: State, reason: str = "", now: Snapshot | None = None, limit: float = 0.0
    ) -> Judgment:
        judgment = Judgment(
            state=state,
            reason=reason,
            still=self._still_looks > 0,
            last_progress=self._since_beat.start,
        )
        if now is None:
            return judgment
        phase = _phase(now)
        lasted = self._since_beat.elapsed(now.t)
        durations = self._durations.get(phase)
        return msgspec.structs.replace(
            judgment,
            overdue=lasted >= limit,
            phase=phase,
            lasted=lasted,
            allowed=limit,
            usual=max(durations) if durations else None,
        )


def _told(held: Sequence[Process]) -> str:
    return f"a process that it has started ({held[0].pid}, {held[0].name}) is {_BY_A_SIGNAL}"


def _phase(now: Snapshot) -> str:
    return now.position.phase if now.position else "start"


_REFINED = {
    "io": ("waiting", "waits for something outside"),
    "child": ("waiting", "waits for a child process"),
    "collective": ("waiting", "waits for another rank"),
    "jit": ("waiting", "waits for a compiler"),
    "memory": ("starved", "waits for memory"),
}


def refine(cause: Cause, category: str | None) -> Cause:
    """A stall whose wait site is known to lie outside the worker is `waiting`, or `starved`.

    `category` is that of the wait site, as in `harness.stacks.wait_rules`.
    """
    if cause.code != "stalled" or category not in _REFINED or "chain" in cause.evidence:
        return cause
    code, told = _REFINED[category]
    return msgspec.structs.replace(cause, code=code, summary=f"{told}: {cause.summary}")


def _beat_came(before: Snapshot, now: Snapshot) -> bool:
    return now.position != before.position or now.steps != before.steps


def _activity(before: Snapshot, now: Snapshot, cpu_share: float) -> str:
    """The motion between two looks, in words; empty when nothing moved."""
    old = {process.pid: process for process in before.processes}
    new = {process.pid: process for process in now.processes}
    if old.keys() != new.keys():
        return "a child process came or went"
    if _spent(before, now) > cpu_share * (now.t - before.t):
        return _CPU
    # Runnable at one look alone is a thread that wakes for a moment: one that polls. What has too
    # little of the CPU is so at every look.
    if _in_state(before, "R") & _in_state(now, "R"):
        return _RUNNABLE
    if _in_state(now, "D"):
        return "waits for a disk"
    for pid, process in new.items():
        if _grew(old[pid].major_faults, process.major_faults):
            return "pages are read in"
        if io_done(old[pid], process, now.t - before.t):
            return "reads or writes"
    return ""


def _spent(before: Snapshot, now: Snapshot) -> float:
    """Seconds of CPU time between two looks at the same processes."""
    return sum(p.cpu_s for p in now.processes) - sum(p.cpu_s for p in before.processes)


def _in_state(snapshot: Snapshot, state: str) -> set[int]:
    """The threads in this state; of a process whose threads are not known, the process."""
    return {
        thread.tid
        for process in snapshot.processes
        for thread in process.threads
        if thread.state == state
    } | {p.pid for p in snapshot.processes if not p.threads and p.state == state}


def _grew(before: int | None, now: int | None) -> bool:
    return before is not None and now is not None and now > before
