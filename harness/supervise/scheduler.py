"""Runs a plan: so many jobs at once, in order, with the user's signals honored."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Protocol

from harness.model import ScenarioResult
from harness.supervise.job import GRACE_S, Job

TICK_S = 0.1
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The requests to stop: Ctrl-C, TERM, or a terminal that went away."""

NOTES = (signal.SIGUSR1, signal.SIGUSR2)
"""Signals that mean the command, and are no request to stop: a scheduler of a cluster announces the
end of a job's time by one."""


class Observer(Protocol):
    """Whoever shows a person how it goes."""

    def started(self, job: Job) -> None: ...
    def looked(self, jobs: Sequence[Job]) -> None: ...
    def finished(self, job: Job, result: ScenarioResult) -> None: ...


class Followers(Protocol):
    """Whoever lets another job follow one that has ended, before its result counts."""

    def next(self, job: Job, result: ScenarioResult) -> Job | None:
        """The job that follows; None if there is none."""
        ...

    def combined(self, job: Job, result: ScenarioResult) -> tuple[Job, ScenarioResult]:
        """The job that began it, and its result with what those that followed have shown."""
        ...


class Silent:
    """An observer that prints nothing."""

    def started(self, job: Job) -> None: ...
    def looked(self, jobs: Sequence[Job]) -> None: ...
    def finished(self, job: Job, result: ScenarioResult) -> None: ...


class Interrupts:
    """Takes the user's signals, as long as they are `caught`."""

    def __init__(self) -> None:
        self.count = 0
        """Requests to stop so far."""
        self._caught_so_far: list[int] = []
        self.woken, self._wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(self._wake, False)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self.count += number in STOPS
        self._caught_so_far.append(number)
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b"!")

    def taken(self) -> list[int]:
        """The signals that have come since the last call."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.woken, 64)
        taken, self._caught_so_far = self._caught_so_far, []
        return taken

    @contextlib.contextmanager
    def caught(self, *signals: int) -> Iterator[None]:
        before: dict[int, Any] = {
            number: signal.signal(number, self._caught)
            for number in signals
            # Who was started by nohup is to outlive the terminal.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def close(self) -> None:
        """Call once nothing is caught any more."""
        os.close(self.woken)
        os.close(self._wake)


@contextlib.contextmanager
def requests() -> Iterator[Interrupts]:
    """As long as this lasts, a request to stop is counted, and nothing is torn by it."""
    interrupts = Interrupts()
    try:
        with interrupts.caught(*STOPS):
            yield interrupts
    finally:
        interrupts.close()


def run(
    plan: Sequence[Callable[[], Job]],
    jobs: int,
    observer: Observer,
    interrupts: Interrupts,
    keep_going: Callable[[], bool] = lambda: True,
    wanted: Callable[[int], bool] = lambda index: True,
    followers: Followers | None = None,
) -> tuple[tuple[ScenarioResult, ...], bool]:
    """Start and finish every job of `plan`, at most `jobs` at once.

    Returns the results in the plan's order, and whether the user stopped us. `keep_going` is asked
    after each result; once it says no, all is ended. `wanted` is asked before each job, by its
    place in the plan; one that is not wanted is not started. A job of `followers` takes the place
    of the one that it follows. The first request to stop, of which
    `interrupts` tells, ends the running workers with their grace, a second one at once.
    """
    waiting = list(enumerate(plan))
    results: dict[int, ScenarioResult] = {}
    honored = 0
    with selectors.DefaultSelector() as selector:
        selector.register(interrupts.woken, selectors.EVENT_READ)
        active = _Active(selector)
        try:
            while waiting or active.jobs:
                if interrupts.count > honored:
                    honored = interrupts.count
                    waiting.clear()
                    active.interrupt(GRACE_S if honored == 1 else 0.0)
                while waiting and len(active.jobs) < jobs:
                    index, start = waiting.pop(0)
                    if wanted(index):
                        job = start()
                        active.add(job, index)
                        observer.started(job)
                selector.select(TICK_S)
                interrupts.taken()
                for ended, index, shown in active.ended():
                    job, result = ended, shown
                    if followers is not None:
                        following = None if interrupts.count else followers.next(ended, shown)
                        if following is not None:
                            active.add(following, index)
                            continue
                        job, result = followers.combined(ended, shown)
                    results[index] = result
                    observer.finished(job, result)
                    if not keep_going():
                        waiting.clear()
                        active.interrupt(GRACE_S)
                observer.looked(tuple(active.jobs))
        except BaseException:
            # Whoever called us may live on, and keep what is under way with the traceback.
            active.interrupt(0.0)
            raise
    return tuple(results[index] for index in sorted(results)), interrupts.count > 0


class _Active:
    """The jobs that run now, each with its place in the plan; `selector` wakes for each."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.jobs: dict[Job, int] = {}
        self._selector = selector

    def add(self, job: Job, index: int) -> None:
        self.jobs[job] = index
        self._selector.register(job.channel, selectors.EVENT_READ)

    def ended(self) -> Iterator[tuple[Job, int, ScenarioResult]]:
        """Let each job go on. Those that have ended are given, and no longer active."""
        for job in list(self.jobs):
            channel = job.channel
            result = job.tick()
            if result is not None:
                self._selector.unregister(channel)
                yield job, self.jobs.pop(job), result

    def interrupt(self, grace: float) -> None:
        for job in self.jobs:
            job.interrupt(grace)


def follow(
    job: Job,
    result: ScenarioResult,
    followers: Followers,
    observer: Observer,
    interrupts: Interrupts,
) -> ScenarioResult:
    """Run what follows `job`, which has ended with `result`; returns its result with that.

    A request to stop ends what follows, and nothing else.
    """
    before = interrupts.count
    while interrupts.count == before and (following := followers.next(job, result)) is not None:
        job, honored = following, before
        with selectors.DefaultSelector() as selector:
            selector.register(interrupts.woken, selectors.EVENT_READ)
            selector.register(job.channel, selectors.EVENT_READ)
            while (ended := job.tick()) is None:
                observer.looked((job,))
                selector.select(TICK_S)
                interrupts.taken()
                if interrupts.count > honored:
                    job.interrupt(GRACE_S if honored == before else 0.0)
                    honored = interrupts.count
        result = ended
    return followers.combined(job, result)[1]
