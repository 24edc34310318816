"""Runs programs for as long as it takes to see a sign of their symptom, without a verdict."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from harness.observe import processes
from harness.reduce import glance, signs
from harness.reduce.glance import Pose
from harness.reduce.nursery import Copy, Nursery
from harness.reduce.symptom import DIED, Keep, Symptom, raised
from harness.supervise import launch, scheduler

TICK_S = 0.02
IDLE = 5
"""Looks in a row at which no process may run."""
CHILD = "child "
"""The beginning of the part of a symptom that is a wait for a process."""
LEAST_S, LATER = 0.8, 1.7
"""A program is given up after this many seconds, and this many times the time of those before."""


class Seen(NamedTuple):
    """The answer of one run."""

    shows: bool
    seconds: float
    """The time until it was known."""
    late: bool = False
    """True if it was given up while that was open."""


class Look(NamedTuple):
    """The question about one run."""

    argv: Sequence[str]
    """The words that run it where no nursery does."""
    file: Path
    variables: dict[str, str]
    folder: Path
    """An empty folder, for what it prints."""
    stacks: Path
    """The file to which it prints its stacks."""


class StoppedError(Exception):
    """The user asked to stop, or the time is over."""


class Sign(Protocol):
    """The signs of a program that shows the symptom."""

    def decided(self, run: Glanced) -> bool | None:
        """True if the run shows it, False if it will not, None while that is open."""


class Stands(NamedTuple):
    """The sign of a hang: the threads stand where those of the whole program do."""

    pose: Pose
    died: frozenset[str]
    """The threads that die in the symptom must have died."""
    children: frozenset[str] = frozenset()
    """The waits of the processes that it has started and that the symptom is also about."""
    waits: frozenset[str] = frozenset()
    """All that its threads wait in; empty: anything. One that sleeps with a lock lets it go."""
    idle: bool = False
    """True if the processes that it has started do nothing any more: until then it only waits for
    them to begin."""

    def decided(self, run: Glanced) -> bool | None:
        if run.ended:
            return False
        stands = glance.stands(run.poses(), self.pose)
        if not stands or not self.died <= raised(run.errors()):
            return None
        if self.idle and not run.is_idle():
            return None
        if self.children and not self.children <= run.waits(own=False):
            return None
        return True if not self.waits or run.waits(own=True) <= self.waits else None


class Ends(NamedTuple):
    """The sign of a crash: its end and its last words."""

    ending: signs.Ending
    keep: Keep

    def decided(self, run: Glanced) -> bool | None:
        if not run.ended:
            return None
        found = signs.ending(run.status, run.errors())
        return found.as_kept(self.keep) == self.ending


class Reports(NamedTuple):
    """The sign of a divergence: a loss in the output that is no number."""

    wanted: Symptom

    def decided(self, run: Glanced) -> bool | None:
        ended = run.ended
        if not ended and not run.printed_more():
            return None
        found = signs.numbers(run.output(), self.wanted)
        if found >= signs.ENOUGH:
            return True
        return run.status == 0 and found > 0 if ended else None


class Without(NamedTuple):
    """The sign of a program that is well: it ends, and does not show another sign."""

    sign: Sign

    def decided(self, run: Glanced) -> bool | None:
        if self.sign.decided(run):
            return False
        return True if run.ended else None


class Glanced:
    """One run under way."""

    def __init__(self, look: Look, nursery: Nursery | None) -> None:
        """Start it: as a copy of `nursery`, or by itself."""
        self._look = look
        self._nursery = nursery
        self.began = time.monotonic()
        self._run: Copy | launch.Launched
        if nursery is not None:
            self._run = nursery.start(look.file, look.variables, look.folder)
        else:
            self._run = launch.Launched(look.argv, look.folder, {**os.environ, **look.variables})
        self._printed = self._idle = 0
        self.times: list[tuple[float, Pose]] = []
        """Each pose so far, with the seconds from the start on."""

    @property
    def ended(self) -> bool:
        if isinstance(self._run, Copy):
            assert self._nursery is not None
            self._nursery.listen()
            return self._run.status is not None
        self._run.listen()
        return self._run.quiet or self._run.status is not None

    @property
    def status(self) -> int:
        """The wait status of one that has ended; that of a guard that was killed is -1."""
        return -1 if self._run.status is None else self._run.status

    def poses(self) -> list[Pose]:
        try:
            text = self._look.stacks.read_text(errors="replace")
        except OSError:
            text = ""
        found = glance.poses(text, self._look.file.name)
        at = time.monotonic() - self.began
        self.times += [(at, one) for one in found[len(self.times) :]]
        return found

    def waits(self, own: bool) -> frozenset[str]:
        """The kernel's functions in which its own threads wait, or those of what it has started."""
        if self._run.pid is None:
            return frozenset()
        found = processes.processes(self._run.pid, deep=True)
        some = found[:1] if own else found[1:]
        return frozenset(thread.wchan for one in some for thread in one.threads if thread.wchan)

    def is_idle(self) -> bool:
        """True if it has started processes, of which none has run when it was asked lately."""
        found = processes.processes(self._run.pid) if self._run.pid is not None else ()
        threads = [thread for one in found[1:] for thread in one.threads]
        works = not threads or any(thread.state in "RD" for thread in threads)
        self._idle = 0 if works else self._idle + 1
        return self._idle >= IDLE

    def errors(self) -> str:
        """Its standard error so far."""
        return self._read("stderr.log").decode("utf-8", "replace")

    def output(self) -> bytes:
        """Its standard output so far."""
        return self._read("stdout.log")

    def _read(self, name: str) -> bytes:
        try:
            return (self._look.folder / name).read_bytes()
        except OSError:
            return b""

    def printed_more(self) -> bool:
        """True if there is output since this was asked before."""
        try:
            size = (self._look.folder / "stdout.log").stat().st_size
        except OSError:
            size = 0
        before, self._printed = self._printed, size
        return size > before

    def kill(self) -> None:
        if isinstance(self._run, Copy):
            self._run.reap()
        else:
            self._run.reap(0.0)

    def close(self) -> None:
        """Wait until it has ended, once it was killed."""
        while not self._over:
            time.sleep(0.005)
        if not isinstance(self._run, Copy):
            self._run.close(keep_kernels=False)

    @property
    def _over(self) -> bool:
        ended = self.ended
        return ended if isinstance(self._run, Copy) else self._run.quiet


def first(look: Look, wanted: Symptom, limit: float, over: Callable[[], bool]
) -> Stands | None:  # fmt: skip
    """The sign of the whole program that hangs; None if it is not seen."""
    found: list[Stands] = []
    with_children = wanted.several or any(part.startswith(CHILD) for part in wanted.parts)

    class Settles:
        def decided(self, run: Glanced) -> bool | None:
            if run.ended:
                return False
            run.poses()
            pose = glance.wanted(run.times, wanted)
            idle = run.is_idle()
            # As long as its processes begin, a healthy program waits for them in the same way.
            begins = with_children and not idle and time.monotonic() - run.began < limit / 2
            if pose is None or begins:
                return None
            died = frozenset(part for part in wanted.parts if part.startswith(DIED))
            children = run.waits(own=False) if with_children else frozenset()
            waits = run.waits(own=True) if wanted.is_race else frozenset()
            found.append(Stands(pose[0], died, children, waits, idle))
            return True

    together([look], Settles(), limit, over, None)
    return found[0] if found else None


def ends(look: Look, limit: float, over: Callable[[], bool]) -> signs.Ending | None:
    """The end of the whole program; None if it takes too long."""
    found: list[signs.Ending] = []

    class Ended:
        def decided(self, run: Glanced) -> bool | None:
            if not run.ended:
                return None
            found.append(signs.ending(run.status, run.errors()))
            return True

    together([look], Ended(), limit, over, None)
    return found[0] if found else None


def together(
    looks: Sequence[Look], sign: Sign, limit: float, over: Callable[[], bool],
    nursery: Nursery | None,
) -> list[Seen]:  # fmt: skip
    """Run all of them side by side until each is seen to show `sign`, or not to, or is late.

    Raises StoppedError.
    """
    runs: list[Glanced] = []
    answers: dict[Glanced, Seen] = {}
    with scheduler.requests() as interrupts:
        try:
            runs += (Glanced(look, nursery) for look in looks)
            while len(answers) < len(runs):
                if interrupts.count or over():
                    raise StoppedError
                for run in runs:
                    if run not in answers:
                        seconds = time.monotonic() - run.began
                        answer = sign.decided(run)
                        late = answer is None and seconds > limit
                        if answer is not None or late:
                            answers[run] = Seen(bool(answer), seconds, late)
                            run.kill()
                time.sleep(TICK_S)
        finally:
            for run in runs:
                run.kill()
            for run in runs:
                run.close()
    return [answers[run] for run in runs]
