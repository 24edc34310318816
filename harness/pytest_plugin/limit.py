"""The limit of pytest-timeout, which ends a training only after its evidence is saved.

While a training runs, its supervisor enforces the limit in place of pytest-timeout. It does so
between two observations, takes the stacks first, and fails the test. The method `thread` of
pytest-timeout would end all of pytest. The timer of pytest-timeout is set somewhat later, for a
supervisor that does not return.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from harness.pytest_plugin import TIMER
from harness.supervise import evidence, launch
from harness.supervise.job import Job
from harness.supervise.scheduler import Silent
from harness.text.units import duration

EVIDENCE_S = 30.0
"""Seconds beyond the limit in which the stacks are taken and the worker is ended."""


class Limit(Silent):
    """An observer that ends the run at the limit."""

    def __init__(self, at: float | None = None, settings: Any = None) -> None:
        self.fired = False
        self.evidence: dict[str, Any] = {}
        """The content of the stacks, with the keys of the evidence of a cause."""
        self._at = at
        self.settings = settings

    def looked(self, jobs: Sequence[Job]) -> None:
        if self._at is None or self.fired or time.monotonic() < self._at or self._debugged():
            return
        for job in jobs:
            taken = (job.folder / "stacks").exists()
            if taken and time.monotonic() < self._at + EVIDENCE_S / 2:
                return  # a hang was confirmed just now: its evidence is being saved
            if job.snapshot is not None and not taken:
                handler = job.folder / launch.FAULTHANDLER
                last = evidence.Last(job.last)
                collected = evidence.collect(
                    job.folder, job.snapshot, last, handler, ranks=job.ranks
                )
                self.evidence = collected.told
            by = f"ended by pytest-timeout after {duration(self.settings.timeout)}"
            job.interrupt(0.0, by, str(self.evidence.get("wait_site", "")))
        self.fired = True

    def _debugged(self) -> bool:
        from pytest_timeout import is_debugging  # type: ignore[import-untyped]

        return bool(not self.settings.disable_debugger_detection and is_debugging())


@contextlib.contextmanager
def taken_over(item: pytest.Item) -> Iterator[Limit]:
    """The limit of the test `item`, which the harness enforces until the block ends."""
    if TIMER not in item.stash:
        yield Limit()
        return
    at, settings = item.stash[TIMER]
    limit = Limit(at, settings)
    _set(item, settings, at + EVIDENCE_S)
    try:
        yield limit
    finally:
        if limit.fired:
            item.ihook.pytest_timeout_cancel_timer(item=item)
        else:
            _set(item, settings, at)
            item.stash[TIMER] = (at, settings)


def _set(item: pytest.Item, settings: Any, at: float) -> None:
    item.ihook.pytest_timeout_cancel_timer(item=item)
    left = max(0.001, at - time.monotonic())
    item.ihook.pytest_timeout_set_timer(item=item, settings=settings._replace(timeout=left))
