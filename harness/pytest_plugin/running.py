"""The fixture `harness_run`, and the part that it has in common with collected scenarios."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.analysis import failing
from harness.analysis.failing import FailOn
from harness.api import Changes, Run, Runnable, Runs, Scenario, Step, carry_out, own
from harness.errors import HarnessError, UsageError
from harness.model import Locate, Outcome, Patience, ScenarioInfo, Settings
from harness.model.settings import short_patience
from harness.pytest_plugin import PASSED, failure
from harness.pytest_plugin.limit import taken_over
from harness.session.plan import Options

if TYPE_CHECKING:
    from typing_extensions import Unpack

BUDGET_S = 60.0
"""The limit of one training in a test, in seconds."""

Expected = str | Outcome | Collection[str]


class Home:
    """The folders of the runs of one test, in --harness-out or in a temporary folder."""

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
        """End the test: remove the temporary folders of one that passed."""
        if self._out is None and self._item.stash.get(PASSED, False):
            for folder in self._made:
                shutil.rmtree(folder, ignore_errors=True)


def folder_name(nodeid: str) -> str:
    """The name of a folder, which no other test has."""
    joined = nodeid.replace("::", "-")
    name = re.sub(r"[^\w.-]+", "-", joined)[-100:].strip("-")
    # Two names that differ only in characters that a folder cannot have need two folders.
    return name if name == joined else f"{name}-{hashlib.sha256(nodeid.encode()).hexdigest()[:8]}"


class HarnessRun:
    """The value of the fixture, which a test calls with its training; see `__call__`."""

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
        patience: float | None = None,
        expect: Expected | None = None,
        fail_on: str | None = None,
        **settings: Unpack[Changes],
    ) -> Run:
        """Train in a watched worker and wait for its end.

        `scenario` and `batches` are as for `harness.run`. The marker gives the other arguments
        that are omitted, if it has them. The test fails when the outcome is not an expected one,
        and when a training that completed has a finding of `fail_on` that it does not expect
        (`Scenario(..., expects=[...])`). It is skipped when the scenario cannot run here. Raises
        UsageError for a wrong setting or scenario.
        """
        __tracebackhide__ = True
        self.called = True
        described = (
            scenario if isinstance(scenario, Scenario) else Scenario(scenario, batches=batches)
        )
        try:
            return self._train(described, budget, patience, expect, fail_on, settings)
        except HarnessError as error:
            # The message is enough: the traceback leads into the harness, not into the test.
            raise error.with_traceback(None) from None

    def _train(
        self,
        scenario: Scenario,
        budget: float | None,
        patience: float | None,
        expect: Expected | None,
        fail_on: str | None,
        settings: Changes,
    ) -> Run:
        __tracebackhide__ = True
        marked = _marked(self._item)
        expected = _outcomes(marked.get("expect", Outcome.COMPLETED) if expect is None else expect)
        seconds = marked.get("budget", BUDGET_S) if budget is None else budget
        own_words = ("expect", "budget", "patience", "fail_on")
        changes = {k: v for k, v in marked.items() if k not in own_words} | settings
        patience = marked.get("patience") if patience is None else patience
        counting = counted(self._item, marked.get("fail_on") if fail_on is None else fail_on)
        folder = self.home.new()
        info = own(scenario.info(folder), changes)
        # One that is to diverge need not be explained, and its test has a time limit.
        locate = Locate.NEVER if Outcome.DIVERGED in expected else Locate.DIVERGED
        run = watched(self._item, info, folder, float(seconds), patience, locate)[0]
        if run.outcome not in expected:
            if run.outcome is Outcome.SKIPPED:
                pytest.skip(run.reason or "the scenario cannot run here")
            other = (
                [f"expected: {' or '.join(outcome.value for outcome in expected)}"]
                if expected != (Outcome.COMPLETED,)
                else []
            )
            pytest.fail(failure.failure(run, *other))
        if found := wrong(run, counting):
            pytest.fail(failure.failure(run, *found))
        return run


def counted(item: pytest.Item, words: object = None) -> FailOn:
    """The findings that fail a test: those of `words`, of the command line or of the ini file.

    Raises UsageError for words that are none, and for outcomes, which `expect` names.
    """
    given = words, item.config.getoption("harness_fail_on"), item.config.getini("harness_fail_on")
    text = next((str(one) for one in given if one), "error")
    counting = failing.parse(text)
    if counting.outcomes not in (failing.FAILURES, ()):
        raise UsageError(f"fail_on: {text} names an outcome; name outcomes in expect")
    return counting


def wrong(run: Run, counting: FailOn) -> tuple[str, ...]:
    """The codes for which a training that completed fails its test.

    One that diverged as it was expected to has findings that say so.
    """
    if run.outcome is not Outcome.COMPLETED:
        return ()
    return tuple(dict.fromkeys(f.code for f in failing.findings(run.result, counting)))


def watched(
    item: pytest.Item,
    info: ScenarioInfo,
    folder: Path,
    budget: float,
    patience: float | None = None,
    locate: Locate = Locate.DIVERGED,
) -> Runs:
    """Run one scenario; the test fails at the limit of pytest-timeout."""
    __tracebackhide__ = True
    options = Options(
        out=folder,
        budget=budget,
        patience=_patience(item, info, budget, patience),
        locate=locate,
    )
    with taken_over(item) as limit:
        command = ("pytest", item.nodeid)
        runs = carry_out([info], Settings(), options, observer=limit, command=command)
    if limit.fired:
        pytest.fail(failure.timeout(runs[0], limit.settings.timeout, limit.evidence))
    return runs


def _patience(
    item: pytest.Item, info: ScenarioInfo, budget: float, seconds: float | None
) -> Patience | None:
    """The patience that is given, or that of the ini file; a control has its own."""
    if seconds is None and (text := str(item.config.getini("harness_patience") or "")):
        try:
            seconds = float(text)
        except ValueError:
            raise UsageError(f"harness_patience must be a number of seconds, not {text}") from None
    if seconds is not None:
        return Patience(seconds=float(seconds))
    return None if info.verdict is not None else short_patience(budget)


def _marked(item: pytest.Item) -> dict[str, Any]:
    """The keywords of the marker `training`; the nearest marker comes before that of the module."""
    keywords: dict[str, Any] = {}
    for marker in item.iter_markers("training"):
        if marker.args:
            raise UsageError("the marker `training` takes keyword arguments only, such as steps=20")
        keywords = {**marker.kwargs, **keywords}
    return keywords


def _outcomes(expect: Expected) -> tuple[Outcome, ...]:
    names = (expect,) if isinstance(expect, str) else tuple(expect)
    if not names:
        raise UsageError("expect is empty; name at least one outcome")
    try:
        return tuple(Outcome(name) for name in names)
    except ValueError as error:
        known = ", ".join(outcome.value for outcome in Outcome)
        raise UsageError(f"expect: {error}; use some of {known}") from None
