"""Whether a worker still makes progress. Pure: beats and snapshots in, a judgement out.

No timeout is fixed. A phase is suspected when it has lasted far beyond what the same phase took
before in this run, and a suspicion is confirmed only after several looks at which nothing at all
moved: no beat, no thread that runs or wants to, no I/O, no page fault, no child that came or went.
A slow step uses the CPU; a first compile has a busy compiler as its child; both stay alive here
however long they take.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import Any

import msgspec

from harness.detect.io_activity import io_done
from harness.model import AnyBeat, Cause, Process, Snapshot, StepBeat
from harness.model.beats import BETWEEN
from harness.stats import quantile
from harness.text.units import duration

_CPU, _RUNNABLE = "uses the CPU", "a thread is runnable"
_BY_A_SIGNAL = "stopped by a signal"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    floor_s: float = 6.0
    """No phase is suspected sooner, however fast it usually is."""
    first_s: float = 30.0
    """Nor so soon when it is the first of its kind: nothing is known of how long it takes."""
    factor: float = 3.0
    """Nor before it has lasted this many times its own p99."""
    confirm_s: float = 3.0
    """How long nothing may have moved before a suspicion is confirmed..."""
    confirm_looks: int = 8
    """... and at how many looks. A supervisor that was starved itself has not looked."""
    cpu_share: float = 0.02
    """CPU time of the whole tree, as a share of one core, that counts as work."""
    busy_floor_s: float = 3.5
    busy_factor: float = 3.5
    """A phase that uses the CPU is overdue after this long, and this many times its longest..."""
    busy_history: int = 3
    """... once that many of its kind are known. A first one is never overdue."""
    loops: bool = True
    """Whether a main thread that uses the CPU in the same place still is taken to be hung."""
    tick_s: float = 0.0101
    """CPU time is counted in ticks of a hundredth of a second: a single one, at a look between two
    that saw none, has been gathered by many wakes over seconds."""
    gap_s: float = 2.0
    """Two looks further apart than this: we were stopped or asleep, and the time does not count."""


QUIET = Policy(floor_s=0.0, first_s=0.0)
"""For one rank of a job that is overdue as a whole: does anything move in it?"""


class State(str, Enum):
    ALIVE = "alive"
    SUSPECT = "suspect"
    STOPPED = "stopped"
    CONFIRMED = "confirmed"


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    state: State
    reason: str = ""
    about: str = ""
    """What the doubt is about, where a state can have several reasons: another one is told anew."""
    cause: Cause | None = None
    """Set when confirmed."""
    still: bool = False
    """Whether nothing at all moved since the look before."""
    overdue: bool = False
    """Busy, and for far longer than this phase ever was: the stacks must say with what."""
    last_progress: float = 0.0
    """`t` of the last look at which a beat had come."""


class Watchdog:
    """Folds the beats and snapshots of one worker, in the order in which they came."""

    def __init__(self, policy: Policy | None = None) -> None:
        self._policy = policy or Policy()
        self._durations: dict[str, deque[float]] = {}
        self._before: Snapshot | None = None
        self._moved_at = 0.0
        """Last look at which anything moved at all."""
        self._beat_at = 0.0
        """Last look at which a beat had come."""
        self._still_looks = 0
        self._ticked = False
        """Whether the look before saw CPU time."""
        self._not_counted = 0.0
        """Seconds since the last beat in which the worker or we could not run."""

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

    def look(self, now: Snapshot) -> Judgement:
        """Judge the worker at `now`, given all that came before."""
        before, self._before = self._before, now
        if before is None or _beat_came(before, now):
            self._beat_at = self._moved_at = now.t
            self._still_looks = 0
            self._not_counted = 0.0
            return self._judgement(State.ALIVE)
        passed = now.t - before.t
        state = now.processes[0].state if now.processes else ""
        if state == "T":
            return self._paused(now, passed, State.STOPPED, _BY_A_SIGNAL)
        # One that is traced is looked at, by us most likely: it cannot run, and nobody stopped it.
        if state == "t" or passed > self._policy.gap_s:
            return self._paused(now, passed, State.ALIVE)
        why = _activity(before, now, self._policy.cpu_share)
        ticked, self._ticked = self._ticked, why == _CPU
        if why == _CPU and not ticked and _spent(before, now) <= self._policy.tick_s:
            why = ""
        if why:
            self._moved_at = now.t
            self._still_looks = 0
            return (
                self._busy(now, why)
                if why in (_CPU, _RUNNABLE)
                else self._judgement(State.ALIVE, why)
            )
        held = next((process for process in now.processes if process.state == "T"), None)
        if held is not None:
            # What it waits for may be that one, and will then go on when that is continued.
            told = f"a process that it has started ({held.pid}, {held.name}) is {_BY_A_SIGNAL}"
            return self._paused(now, passed, State.STOPPED, told)
        self._still_looks += 1
        return self._doubt(now)

    def flows(self, t: float) -> Judgement:
        """Take note that data came or went by the look at `t`, which no snapshot shows."""
        self._moved_at = t
        self._still_looks = 0
        return self._judgement(State.ALIVE, "receives or sends data")

    def _paused(self, now: Snapshot, passed: float, state: State, reason: str = "") -> Judgement:
        """It could not go on, or we could not look: the time does not count."""
        self._not_counted += passed
        self._moved_at = now.t
        self._still_looks = 0
        return self._judgement(state, reason)

    def _busy(self, now: Snapshot, why: str) -> Judgement:
        phase = now.position.phase if now.position else "start"
        durations = self._durations.get(phase, ())
        policy = self._policy
        lasted = now.t - self._beat_at - self._not_counted
        if len(durations) < policy.busy_history or lasted < max(
            policy.busy_floor_s, policy.busy_factor * max(durations)
        ):
            return self._judgement(State.ALIVE, why)
        place = "after the last report" if phase == BETWEEN else f"in phase {phase}"
        told = f"busy {place} for {duration(lasted)} (before, at most {duration(max(durations))})"
        return msgspec.structs.replace(self._judgement(State.SUSPECT, told), overdue=True)

    def _doubt(self, now: Snapshot) -> Judgement:
        phase = now.position.phase if now.position else "start"
        lasted = now.t - self._beat_at - self._not_counted
        allowed = self.allowance(phase)
        if lasted < allowed:
            return self._judgement(State.ALIVE)
        still = now.t - self._moved_at
        policy = self._policy
        if still < policy.confirm_s or self._still_looks < policy.confirm_looks:
            told = f"phase {phase} has lasted {duration(lasted)}"
            if phase == BETWEEN:
                told = f"no report for {duration(lasted)}"
            return self._judgement(State.SUSPECT, told)
        return self._judgement(State.CONFIRMED, cause=self._stalled(now, phase, lasted, still))

    def _stalled(self, now: Snapshot, phase: str, lasted: float, still: float) -> Cause:
        durations = self._durations.get(phase)
        step = now.position.step if now.position else -1
        of = f" of step {step}" if step >= 0 else ""
        told = f"phase {phase}{of} has lasted {duration(lasted)}"
        if phase == BETWEEN:
            told = f"no report after that{of} for {duration(lasted)}"
        usual = f" (before, at most {duration(max(durations))})" if durations else ""
        evidence: dict[str, Any] = {
            "phase_s": round(lasted, 3),
            "allowed_s": round(self.allowance(phase), 3),
            "still_s": round(still, 3),
            "looks": self._still_looks,
            "phase_max_s": round(max(durations), 6) if durations else None,
            "threads": _threads(now.processes),
        }
        return Cause(
            code="stalled",
            summary=f"{told}{usual}, and nothing has moved for "
            f"{duration(still)}: no CPU time, no I/O, no page fault, no child",
            evidence=evidence,
        )

    def _judgement(self, state: State, reason: str = "", cause: Cause | None = None) -> Judgement:
        return Judgement(
            state=state,
            reason=reason,
            cause=cause,
            still=self._still_looks > 0,
            last_progress=self._beat_at,
        )


_BLOCKED = frozenset(("collective", "lock", "gil", "queue", "io"))
"""Waits beside which CPU time is no progress; a child that is waited for may be working."""
_LIBRARY_INSPECTIONS = 6
"""So many must agree on a loop in a library: most of what it computes may be in one function."""


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What two captures of an overdue worker's stacks, a second apart, showed."""

    category: str
    """Of the wait site, as in `harness.stacks.wait_rules`."""
    main: bool
    """Whether it is the main thread's own."""
    moved: bool
    fingerprint: str
    told: str
    calls: frozenset[str] = frozenset()
    """The functions that the main thread was in, one line a capture."""
    library: bool = False
    """Whether the innermost of them was native, and neither the C library's nor Python's."""
    gpu_busy: bool = False
    """Whether it has a GPU open, and a GPU of this machine was at work."""


def burns(looks: Sequence[Inspection], policy: Policy | None = None) -> Cause | None:
    """The cause when an overdue worker uses the CPU and gets nowhere; None when it may be working.

    So it is when its last two inspections agree and show that the thread which matters is blocked,
    so that another one spins (a ring's socket thread does). So it is, too, when most inspections,
    the last ones of all, saw the main thread in the very same functions at each capture: one that
    goes from function to function works. Of a library's native code more of them are asked for. A
    stream's thread that computes is work, however long it takes, and so is what a GPU does: the
    host then waits, or hands out the same work over and over.
    """
    if len(looks) < 2 or looks[-1].fingerprint != looks[-2].fingerprint:
        return None
    last = looks[-2:]
    if any(one.gpu_busy for one in last):
        return None
    blocked = all(one.category in _BLOCKED and not one.moved for one in last)
    wanted = _LIBRARY_INSPECTIONS if last[-1].library else 2
    most = looks[-max(wanted, len(looks) // 2 + 1) :]
    loops = (
        (policy or Policy()).loops
        and len(most) >= wanted
        and all(one.category == "running" and one.main for one in most)
        and len(frozenset[str]().union(*(one.calls for one in most))) == 1
    )
    if not (blocked or loops):
        return None
    told = last[-1].told
    return Cause(
        code="stalled",
        summary=f"uses the CPU and gets nowhere: the main thread {told}"
        if loops
        else f"{told}, while another thread spins",
        evidence={"inspections": len(looks), "fingerprint": last[-1].fingerprint},
    )


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
    if cause.code != "stalled" or category not in _REFINED:
        return cause
    code, told = _REFINED[category]
    return msgspec.structs.replace(cause, code=code, summary=f"{told}: {cause.summary}")


def _beat_came(before: Snapshot, now: Snapshot) -> bool:
    return now.position != before.position or now.steps != before.steps


def _activity(before: Snapshot, now: Snapshot, cpu_share: float) -> str:
    """What moved between two looks, in words; empty when nothing did."""
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


def _threads(processes: tuple[Process, ...]) -> list[dict[str, Any]]:
    """The threads of the tree as evidence; enough of them to see what they are."""
    return [
        {"pid": process.pid, "tid": thread.tid, "name": thread.name, "state": thread.state}
        for process in processes
        for thread in process.threads
    ][:64]
