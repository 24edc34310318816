"""Scenario files as tests: a control must get its verdict, any other must complete and be right."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.analysis import controls
from harness.errors import HarnessError, UsageError
from harness.model import Outcome, ScenarioInfo
from harness.pytest_plugin import failure
from harness.pytest_plugin.running import Home, counted, watched, wrong
from harness.scenario import load

BUDGET_S = 180.0
"""The limit of one scenario: several times the duration of the longest control on two cores."""


def is_scenario(source: bytes) -> bool:
    """True when `source` defines make_step at its top level; a mention of it is not enough."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        # A broken file that looks like a scenario is collected, so that pytest reports it.
        return re.search(rb"^def make_step\b", source, re.MULTILINE) is not None
    return "make_step" in load.names(tree)


def _python_path() -> str:
    """The PYTHONPATH of the worker, which can import what a test beside the scenario can import.

    The folders come from the option `pythonpath` of pytest or from a conftest.py.
    """
    prefixes = [Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)]
    added = [
        path
        for path in map(os.path.abspath, sys.path)
        if not any(Path(path).resolve().is_relative_to(prefix) for prefix in prefixes)
    ]
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return os.pathsep.join(dict.fromkeys([*added, *given]))


class ScenarioFile(pytest.File):
    """One file, one test."""

    def collect(self) -> Iterator[pytest.Item]:
        try:
            info = load.load(self.path)
        except UsageError as error:
            raise self.CollectError(str(error)) from error
        yield ScenarioItem.from_parent(self, name=info.name, info=info)


class ScenarioItem(pytest.Item):
    """One run of one scenario."""

    def __init__(self, *, info: ScenarioInfo, **node: Any) -> None:
        super().__init__(**node)
        self._info = info
        # The fixture of that name is this object; only functions can have fixtures.
        self._home = Home(self, self.config._tmp_path_factory)  # type: ignore[attr-defined]

    def runtest(self) -> None:
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("PYTHONPATH", _python_path())
                counting = counted(self)
                runs = watched(self, self._info, self._home.new(), BUDGET_S)
        except HarnessError as error:
            pytest.fail(str(error), pytrace=False)
        (run,) = runs
        if run.outcome is Outcome.SKIPPED:
            pytest.skip(run.reason or "the scenario cannot run here")
        differs: tuple[str, ...] = ()
        for row in controls.rows(runs.result):
            differs = row.wrong
        if self._info.verdict is None:
            differs = wrong(run, counting)
        if differs or (self._info.verdict is None and run.outcome is not Outcome.COMPLETED):
            pytest.fail(failure.failure(run, *differs), pytrace=False)

    def teardown(self) -> None:
        self._home.leave()

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, f"scenario {self.name}"
