"""The pytest plugin: trainings as tests, each in a watched process of its own.

See docs/guide/pytest.md.

The plugin is installed with the package and inert until a test uses it. This module imports pytest
alone; the first test that needs the rest imports it. So a project with a `harness` of its own keeps
that name: there the plugin stays inert, and one warning says so.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlx_harness import cure, occupant, package

if TYPE_CHECKING:
    from harness.pytest_plugin.running import HarnessRun

MARKER = (
    "training(steps=10, budget=60, patience=15, expect='completed', fail_on='error', **settings): "
    "the settings, the time limit and the patience in seconds, the expected outcome (or outcomes), "
    "and the findings that fail the test, of the fixture harness_run"
)
TIMER = pytest.StashKey[tuple[float, Any]]()
"""The limit that pytest-timeout sets for a test: its end by time.monotonic(), and its settings."""
PASSED = pytest.StashKey[bool]()
FIRST_WORKER = "gw0"
"""The worker of pytest-xdist that warns. All of them collect the tests; one warning is enough."""


class NameTakenWarning(pytest.PytestWarning):
    """The project has a `harness` of its own, so the plugin does nothing."""


def taken() -> str | None:
    """The reason why the plugin cannot work in this process; None where it can."""
    other = occupant()
    if other is None:
        return None
    return f"the pytest plugin of mlx-hang-harness is off: {cure(other)}"


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.getgroup("harness", "watched trainings").addoption
    add("--harness", action="store_true", dest="harness_scenarios",
        help="collect scenario files, which are files with a make_step, as tests")  # fmt: skip
    add("--harness-out", metavar="DIR", dest="harness_out",
        help="keep the folder of each run in DIR (default: keep those of failed tests in the "
        "temporary folder of pytest)")  # fmt: skip
    add("--harness-fail-on", metavar="WORDS", dest="harness_fail_on",
        help="unexpected findings that fail a test whose training completed: error or warning for "
        "that severity or worse, codes of findings, or none (default: error)")  # fmt: skip
    parser.addini("harness_fail_on", "the default of --harness-fail-on (default: error)")
    parser.addini(
        "harness_patience",
        "seconds for which a training is doubted before it is called hung, if it is not proven "
        "dead (default: a quarter of its budget, at least 5 and at most 60)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Warn of another `harness` once, after conftest files and test modules changed the path."""
    worker = getattr(session.config, "workerinput", {}).get("workerid", FIRST_WORKER)
    why = taken()
    if why is None or worker != FIRST_WORKER:
        return
    why += "; `-p no:harness.pytest_plugin` ends this warning"
    try:
        warnings.warn(NameTakenWarning(why), stacklevel=1)
    except NameTakenWarning:
        # Where warnings are errors, this one must not end tests that do not use the plugin.
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"warning: {why}", yellow=True)


@pytest.fixture
def harness_run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[HarnessRun, None, None]:
    """Run a training in a process of its own: `run = harness_run(make_step, steps=20)`.

    The test fails when the outcome is not the expected one, within seconds of a hang, and when
    it completed with an unexpected finding that says that it is wrong.
    """
    if (why := taken()) is not None:
        pytest.fail(why, pytrace=False)
    package()
    from harness.pytest_plugin.running import HarnessRun

    run = HarnessRun(request.node, tmp_path_factory)
    yield run
    run.home.leave()
    if request.node.stash.get(PASSED, False) and not run.called:
        pytest.fail(
            f"{request.node.name} passed, but it did not call its fixture harness_run, so it "
            "trained nothing; call harness_run or remove the fixture",
            pytrace=False,
        )


def pytest_runtest_setup(item: pytest.Item) -> None:
    marked = any(mark.name == "training" for mark in item.own_markers)
    if marked and "harness_run" not in getattr(item, "fixturenames", ("harness_run",)):
        pytest.fail(
            f"{item.name} has the marker `training`, but not the fixture harness_run, so it trains "
            "nothing; add the fixture or remove the marker",
            pytrace=False,
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


# -- scenario files as tests


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    # A file that is named on the command line is a module to pytest: the next hook handles it.
    return None if parent.session.isinitpath(file_path) else _scenario(file_path, parent)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Any:
    return _scenario(module_path, parent)


def _scenario(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    config = parent.config
    if not config.getoption("harness_scenarios") or path.suffix != ".py" or path.name[0] == "_":
        return None
    if path.name == "conftest.py":
        return None
    if any(fnmatch(path.name, pattern) for pattern in config.getini("python_files")):
        return None
    source = path.read_bytes()
    if b"make_step" not in source:
        return None
    if (why := taken()) is not None:
        raise pytest.UsageError(why)
    package()
    from harness.pytest_plugin.collect import ScenarioFile, is_scenario

    if not is_scenario(source):
        return None

    collector: pytest.Collector = ScenarioFile.from_parent(parent, path=path)
    return collector


# -- the limit of pytest-timeout, where it is installed


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> Generator[None, Any, Any]:
    item.stash[TIMER] = (time.monotonic() + settings.timeout, settings)
    return (yield)


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> Generator[None, Any, Any]:
    if TIMER in item.stash:
        del item.stash[TIMER]
    return (yield)
