"""Runs a plan: so many jobs at once, in order, with the user's signals honoured."""

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


class Observer(Protocol):
    """Whoever shows a person how it goes."""

    def started(self, job: Job) -> None: ...
    def looked(self, jobs: Sequence[Job]) -> None: ...
    def finished(self, job: Job, result: ScenarioResult) -> None: ...


class Interrupts:
    """Takes the user's requests to stop: Ctrl-C, TERM, or a terminal that went away."""

    def __init__(
        self, signals: Sequence[int] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ) -> None:
        self.count = 0
        """Requests so far; to be suspended is none."""
        self._signals = signals
        self._caught_so_far: list[int] = []
        self.woken, self._wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(self._wake, False)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self.count += number != signal.SIGTSTP
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
    def caught(self) -> Iterator[None]:
        before: dict[int, Any] = {
            number: signal.signal(number, self._caught) for number in self._signals
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run(
    plan: Sequence[Callable[[], Job]],
    jobs: int,
    observer: Observer,
    keep_going: Callable[[], bool] = lambda: True,
    wanted: Callable[[int], bool] = lambda index: True,
) -> tuple[tuple[ScenarioResult, ...], bool]:
    """Start and finish every job of `plan`, at most `jobs` at once.

    Returns the results in the plan's order, and whether the user stopped us. `keep_going` is asked
    after each result; once it says no, all is ended. `wanted` is asked before each job, by its
    place in the plan; one that is not wanted is not started. The first request to stop ends the
    running workers with their grace, a second one at once.
    """
    interrupts = Interrupts()
    waiting = list(enumerate(plan))
    active: dict[Job, int] = {}
    results: dict[int, ScenarioResult] = {}
    honoured = 0
    with interrupts.caught(), selectors.DefaultSelector() as selector:
        selector.register(interrupts.woken, selectors.EVENT_READ)
        try:
            while waiting or active:
                while waiting and len(active) < jobs:
                    index, start = waiting.pop(0)
                    if not wanted(index):
                        continue
                    job = start()
                    active[job] = index
                    selector.register(job.channel, selectors.EVENT_READ)  # type: ignore[arg-type]
                    observer.started(job)
                selector.select(TICK_S)
                interrupts.taken()
                if interrupts.count > honoured:
                    honoured = interrupts.count
                    waiting.clear()
                    for job in active:
                        job.interrupt(GRACE_S if honoured == 1 else 0.0)
                for job in list(active):
                    channel = job.channel
                    result = job.tick()
                    if result is None:
                        continue
                    selector.unregister(channel)  # type: ignore[arg-type]
                    results[active.pop(job)] = result
                    observer.finished(job, result)
                    if not keep_going():
                        waiting.clear()
                        for other in active:
                            other.interrupt(GRACE_S)
                observer.looked(tuple(active))
        except BaseException:
            # Whoever called us may live on, and keep what is under way with the traceback.
            for job in active:
                job.interrupt(0.0)
            raise
    return tuple(results[index] for index in sorted(results)), interrupts.count > 0
