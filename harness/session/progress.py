"""The progress of a run that the Python API started: a line below the cell of a notebook."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Sequence
from typing import Any

from harness.model import ScenarioResult
from harness.supervise.job import Job
from harness.supervise.scheduler import Silent
from harness.text.units import duration, plural

REDRAW_S = 0.5


class Line:
    """An observer that keeps one line of a notebook up to date."""

    def __init__(self, total: int, display: Any) -> None:
        """`display` is IPython's function of that name."""
        self._total = total
        self._done = 0
        self._next = 0.0
        self._began = time.monotonic()
        self._handle = display(_text("starts"), raw=True, display_id=True)

    def started(self, job: Job) -> None:
        pass

    def looked(self, jobs: Sequence[Job]) -> None:
        now = time.monotonic()
        if now < self._next or not jobs:
            return
        self._next = now + REDRAW_S
        told = [self._told(job) for job in jobs]
        self._show(f"{self._done} of {plural(self._total, 'run')} ended; {'; '.join(told)}")

    def finished(self, job: Job, result: ScenarioResult) -> None:
        self._done += 1
        lasted = duration(time.monotonic() - self._began)
        self._show(f"{self._done} of {plural(self._total, 'run')} ended, after {lasted}")

    def _told(self, job: Job) -> str:
        where = job.position
        if where is None or where.step < 0:
            return f"{job.info.name} starts"
        steps = job.spec.settings.steps if job.spec.settings else None
        of = f" of {steps}" if steps else ""
        doubt = job.judgment.reason
        return f"{job.info.name}: step {where.step}{of}, {where.phase}" + (
            f" ({doubt})" if doubt else ""
        )

    def _show(self, text: str) -> None:
        self._handle.update(_text(text), raw=True)


def observer(total: int) -> Silent | Line:
    """The observer for this process: a line where it is a notebook's kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    # An interactive shell in a terminal has none.
    if getattr(shell, "kernel", None) is None:
        return Silent()
    return Line(total, importlib.import_module("IPython.display").display)


def _text(text: str) -> dict[str, str]:
    return {"text/plain": text}
