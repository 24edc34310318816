"""The fixture `harness_run`, and what it has in common with collected scenarios."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.api import Changes, Run, Runnable, Runs, Scenario, Step, carry_out, own
from harness.errors import HarnessError, UsageError
from harness.model import Outcome, ScenarioInfo, Settings
from harness.pytest_plugin import PASSED, failure
from harness.pytest_plugin.limit import taken_over
from harness.session.plan import Options

if TYPE_CHECKING:
    from typing_extensions import Unpack

BUDGET_S = 60.0
"""Of one training in a test."""

Expected = str | Outcome | Collection[str]


class Home:
    """Where the runs of one test go: below --harness-out, or in pytest's temporary folder."""

    def __init__(self, item: pytest.Item, factory: pytest.TempPathFactory) -> None:
        self._item = item
        self._factory = factory
        out = item.config.getoption("harness_out")
        self._out: Path | None = item.config.invocation_params.dir / out if out else None
        self._made: list[Path] = []

    def new(self) -> Path:
        """A folder for one more run."""
        if self._out is None:
            made = self._factory.mktemp(re.sub(r"[^\w.-]+", "-", self._item.name)[:40])
        else:
            made = self._out / folder_name(self._item.nodeid) / str(len(self._made))
            made.mkdir(parents=True, exist_ok=True)
        self._made.append(made)
        return made

    def leave(self) -> None:
        """The test is over. What one that passed has left in a temporary folder is removed."""
        if self._out is None and self._item.stash.get(PASSED, False):
            for folder in self._made:
                shutil.rmtree(folder, ignore_errors=True)


def folder_name(nodeid: str) -> str:
    """A folder's name that no other test has."""
    plain = nodeid.replace("::", "-")
    name = re.sub(r"[^\w.-]+", "-", plain)[-100:].strip("-")
    # Two tests whose names differ in what a folder's may not have would share one.
    return name if name == plain else f"{name}-{hashlib.sha256(nodeid.encode()).hexdigest()[:8]}"


class HarnessRun:
    """Called by a test with what it trains; see `__call__`."""

    def __init__(self, item: pytest.Item, factory: pytest.TempPathFactory) -> None:
        self.home = Home(item, factory)
        self.called = False
        self._item = item

    def __call__(
        self,
        scenario: Runnable,
        *,
        batches: Step | None = None,
        budget: float | None = None,
        expect: Expected | None = None,
        **settings: Unpack[Changes],
    ) -> Run:
        """Train in a worker, watched, and wait for its end.

        `scenario` and `batches` are as for `harness.run`; what is not given is the marker's, or its
        default. Fails the test when the outcome is not among those expected, and skips it when the
        scenario cannot run here. Raises UsageError for a wrong setting or scenario.
        """
        __tracebackhide__ = True
        self.called = True
        one = scenario if isinstance(scenario, Scenario) else Scenario(scenario, batches=batches)
        try:
            return self._train(one, budget, expect, settings)
        except HarnessError as error:
            # Its message says it all; where in the harness it was raised says nothing to the user.
            raise error.with_traceback(None) from None

    def _train(
        self, one: Scenario, budget: float | None, expect: Expected | None, settings: Changes
    ) -> Run:
        __tracebackhide__ = True
        marked = _marked(self._item)
        wanted = _outcomes(marked.get("expect", Outcome.COMPLETED) if expect is None else expect)
        seconds = marked.get("budget", BUDGET_S) if budget is None else budget
        changes = {k: v for k, v in marked.items() if k not in ("expect", "budget")} | settings
        folder = self.home.new()
        run = watched(self._item, own(one.info(folder), changes), folder, float(seconds))[0]
        if run.outcome not in wanted:
            if run.outcome is Outcome.SKIPPED:
                pytest.skip(run.reason or "it cannot run here")
            other = (
                [f"expected: {' or '.join(one.value for one in wanted)}"]
                if wanted != (Outcome.COMPLETED,)
                else []
            )
            pytest.fail(failure.failure(run, *other))
        return run


def watched(item: pytest.Item, info: ScenarioInfo, folder: Path, budget: float) -> Runs:
    """Run one scenario within the limits of the test; fails it when pytest-timeout's is over."""
    __tracebackhide__ = True
    options = Options(out=folder, budget=budget)
    with taken_over(item) as limit:
        command = ("pytest", item.nodeid)
        runs = carry_out([info], Settings(), options, observer=limit, command=command)
    if limit.fired:
        pytest.fail(failure.timeout(runs[0], limit.settings.timeout, limit.told))
    return runs


def _marked(item: pytest.Item) -> dict[str, Any]:
    """The keywords of the marker `training`, the nearest one's before those of its module."""
    found: dict[str, Any] = {}
    for marker in item.iter_markers("training"):
        if marker.args:
            raise UsageError("the marker training takes keywords alone, such as steps=20")
        found = {**marker.kwargs, **found}
    return found


def _outcomes(expect: Expected) -> tuple[Outcome, ...]:
    words = (expect,) if isinstance(expect, str) else tuple(expect)
    if not words:
        raise UsageError("expect: it is empty, so that no outcome would do")
    try:
        return tuple(Outcome(word) for word in words)
    except ValueError as error:
        known = ", ".join(one.value for one in Outcome)
        raise UsageError(f"expect: {error}: one of {known}") from None
