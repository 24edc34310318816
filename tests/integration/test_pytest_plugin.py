"""The plugin in projects that use it; pytest runs in a process of its own, as a user starts it."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
OPTIONS = ("-p", "harness.pytest_plugin")
XDIST = ("-p", "xdist", "-n2")
STEPS = """
import functools
import threading
import time

import pytest


def batches(training):
    import mlx.core as mx

    while True:
        yield mx.array(2.0)


def make_step(training, scale=1.0):
    return lambda batch: scale * batch / (1 + training.step)


def deadlocked(training):
    lock = threading.Lock()

    def step(batch):
        if training.step == 3:
            with lock, lock:
                pass
        return batch / (1 + training.step)

    return step


def asleep(training):
    return lambda batch: time.sleep(1000)


def broken(training):
    raise ValueError("the data set is gone")


"""
HANG = "hung in step 3, forward: deadlock (proven): waits for a Python lock"


@pytest.fixture
def project(pytester, monkeypatch):
    """Runs pytest on a test module that begins with STEPS."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    # Other plugins that happen to be installed take three times as long to import as all the rest.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(text, *options, name="test_it"):
        pytester.makepyfile(**{name: STEPS + text})
        return pytester.runpytest_subprocess(*OPTIONS, *options)

    run.pytester = pytester
    return run


def report(result) -> Path:
    """The only report that the output names."""
    (path,) = set(re.findall(r"report: (\S+)", result.stdout.str()))
    return Path(path)


def test_a_training_can_be_looked_at(project):
    result = project(
        """
pytestmark = pytest.mark.training(steps=7, expect="hung")

@pytest.mark.training(steps=4, expect="completed")
def test_it(harness_run):
    run = harness_run(make_step, batches=batches)
    assert run.outcome == "completed"
    assert list(run.losses) == [2.0, 1.0, pytest.approx(2 / 3), 0.5]
    assert len(run.step_times) == 4
    assert run.cause is None
    assert not any(finding.severity == "error" for finding in run.findings)
    assert len(harness_run(make_step, batches=batches, steps=2).losses) == 2
    assert harness_run(functools.partial(make_step, scale=3), batches=batches).losses[0] == 6.0

def test_hung(harness_run):
    run = harness_run(deadlocked, batches=batches)
    assert (run.cause.code, run.cause.proven) == ("deadlock", True)
    assert run.result.steps_requested == 7
"""
    )
    result.assert_outcomes(passed=2)


def test_a_hang_fails_with_its_wait_site_its_stacks_and_its_report(project):
    result = project("def test_it(harness_run):\n    harness_run(deadlocked, batches=batches)\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">   *harness_run(deadlocked, batches=batches)",
            f"E *deadlocked {HANG} (PyThread_acquire_lock_timed), from test_it.py:* in step",
            "E *3 of 10 steps; last progress * after the start, verdict * later",
            "E *stacks by *, innermost first",
            "E *thread * (main): waits for a Python lock",
            "E *test_it.py:* in step",
            "E *report: *report.md",
        ]
    )
    assert "running.py" not in result.stdout.str()
    assert "deadlock" in report(result).read_text()


SAID = {
    "other": (
        "expect='hung'",
        "make_step, batches=batches",
        "make_step completed (expected: hung)",
    ),
    "crash": ("", "broken", "broken crashed in *setup: ValueError: the data set is gone*"),
    "file": ("", "'nothing.py'", "*UsageError: no such scenario file: nothing.py*"),
    "inner": ("", "lambda training: None", "*UsageError: *not at the top level of a module*"),
    "option": ("", "make_step, stepps=2", "*UsageError: stepps is unknown (did you mean steps?)"),
    "empty": (
        "",
        "make_step, expect=[]",
        "*UsageError: expect is empty; name at least one outcome",
    ),
    "word": ("expect='fine'", "make_step", "*UsageError: *'fine' is not a valid Outcome*hung*"),
    "number": (
        "20",
        "make_step",
        "*UsageError: the marker `training` takes keyword arguments only*",
    ),
}
"""Marks and calls that are not as expected, and what is said of each."""


def test_what_is_not_as_expected_is_said_in_a_line(project):
    """After a crash, the end of the worker's output stands below it."""
    result = project(
        "".join(
            f"@pytest.mark.training({mark})\n"
            f"def test_{name}(harness_run):\n    harness_run({call})\n\n"
            for name, (mark, call, _) in SAID.items()
        )
    )
    result.assert_outcomes(failed=len(SAID))
    _, *shown = re.split(r"(?m)^_+ test_(\w+) _+$", result.stdout.str())
    failures = dict(zip(shown[::2], shown[1::2], strict=True))
    assert list(failures) == list(SAID)
    for name, (_, _, told) in SAID.items():
        lines = failures[name].splitlines()
        assert fnmatch.filter(lines, f"E *{told}"), failures[name]
        assert len(lines) < 80
        if "UsageError" in told:
            assert not re.search(r"(running|api|from_function|load)\.py:", failures[name])
    pytest.LineMatcher(failures["crash"].splitlines()).fnmatch_lines(
        ["E *end of the worker's stderr", "E *in broken", "E *ValueError: the data set is gone"]
    )


LIMITS = (4, 20, 50)
"""Seconds for a training, one after another: a loaded machine may need longer to come to step 0.
None is as long as the patience with one that sleeps."""


@pytest.mark.waits
def test_a_training_that_its_budget_ends_is_told_with_its_place(project):
    for budget in LIMITS:
        result = project(
            f"@pytest.mark.training(budget={budget})\n"
            "def test_it(harness_run):\n    harness_run(asleep, batches=batches)\n"
        )
        result.assert_outcomes(failed=1)
        if "unfinished in step 0" in result.stdout.str():
            break
    result.stdout.fnmatch_lines(["E *asleep unfinished in step 0, *; it sleeps*"])


def test_what_cannot_run_here_is_skipped(project):
    result = project(
        "from harness.errors import SkipError\n\n"
        "def elsewhere(training):\n    raise SkipError('needs a moon')\n\n"
        "def test_it(harness_run):\n    harness_run(elsewhere)\n",
        "-rs",
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * needs a moon"])


def test_a_test_that_trains_nothing_does_not_pass(project):
    result = project(
        "@pytest.mark.training(steps=3)\ndef test_marked():\n    pass\n\n"
        "@pytest.mark.usefixtures('harness_run')\n@pytest.mark.training(steps=3)\n"
        "def test_uses():\n    pass\n\n"
        "def test_asks(harness_run):\n    pass\n\n"
        "def test_no(harness_run):\n    pytest.skip('no')\n"
    )
    result.assert_outcomes(passed=2, errors=3, skipped=1)
    result.stdout.fnmatch_lines_random(
        [
            "*test_marked has the marker `training`, but not the fixture harness_run*",
            "*test_uses passed, but it did not call its fixture harness_run*",
            "*test_asks passed, but it did not call its fixture harness_run*",
        ]
    )


def test_one_can_select_stop_and_repeat(project):
    text = """
def test_a(harness_run):
    harness_run(broken)

def test_b(harness_run):
    harness_run(make_step, batches=batches)

def test_c(harness_run):
    harness_run(broken)
"""
    project(text, "-k", "b").assert_outcomes(passed=1, deselected=2)
    project(text, "-x").assert_outcomes(failed=1)
    project(text).assert_outcomes(passed=1, failed=2)
    project(text, "--lf").assert_outcomes(failed=2)


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_modules_are_found_wherever_pytest_finds_them(project, mode):
    folder = project.pytester.mkpydir("inner")
    (folder / "helper.py").write_text("SCALE = 2.0\n")
    (folder / "test_in.py").write_text(
        STEPS + "from .helper import SCALE\n\n"
        "def scaled(training):\n    return make_step(training, SCALE)\n\n"
        "def test_it(harness_run):\n"
        "    assert harness_run(scaled, batches=batches, steps=1).losses == (4.0,)\n"
    )
    project("", f"--import-mode={mode}").assert_outcomes(passed=1)


def test_xdist(project):
    pytest.importorskip("xdist")
    result = project(
        "@pytest.mark.parametrize('n', range(3))\n"
        "def test_it(harness_run, n):\n    harness_run(make_step, batches=batches)\n\n"
        "def test_hung(harness_run):\n    harness_run(deadlocked, batches=batches)\n",
        *XDIST,
    )
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines([f"E *{HANG}*"])
    assert report(result).is_file()


@pytest.mark.waits
@pytest.mark.parametrize("method", ["signal", "thread"])
def test_the_outer_limit_of_pytest_timeout_shows_the_stacks(project, method):
    pytest.importorskip("pytest_timeout")
    for limit in LIMITS:
        result = project(
            f"@pytest.mark.timeout({limit}, method='{method}')\n"
            "def test_limit(harness_run):\n    harness_run(asleep, batches=batches)\n\n"
            "def test_after(harness_run):\n    harness_run(make_step, batches=batches)\n",
            *("-p", "pytest_timeout"),
        )
        said = result.stdout.str()
        # The first of its stacks may be taken before it has come there.
        if "asleep in step 0" in said and re.search(r"(?m)^E +test_it\.py:\d+ in <lambda>", said):
            break
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            f"E *Timeout (>{limit}*s) from pytest-timeout: asleep in step 0, forward: sleeps *",
            "E *stacks by *",
            "E *test_it.py:* in <lambda>",
        ]
    )
    text = report(result).read_text()
    assert f"ended by pytest-timeout after {limit} s in step 0, phase forward; it sleeps" in text
    assert "Stacks of asleep" in text


@pytest.mark.slow
def test_the_outer_limit_is_given_back_after_a_training(project):
    pytest.importorskip("pytest_timeout")
    result = project(
        "@pytest.mark.timeout(60)\n"
        "def test_it(harness_run):\n"
        "    harness_run(make_step, batches=batches)\n    time.sleep(1000)\n",
        *("-p", "pytest_timeout"),
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">   *time.sleep(1000)", "E *Timeout*from pytest-timeout*"])


@pytest.mark.parametrize(
    ("number", "options"),
    [(signal.SIGINT, ()), (signal.SIGTERM, ()), (signal.SIGKILL, ()), (signal.SIGKILL, XDIST)],
)
def test_nothing_outlives_pytest(project, tmp_path, number, options):
    if options:
        pytest.importorskip("xdist")
    ready = tmp_path / "ready"
    text = (
        f"def waiting(training):\n    open({str(ready)!r}, 'w').close()\n    time.sleep(1000)\n\n"
        "def test_it(harness_run):\n    harness_run(waiting)\n"
    )
    project.pytester.makepyfile(test_it=STEPS + text)
    mark = f"{tmp_path}"
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *OPTIONS, *options],
        env={**os.environ, "HARNESS_TEST_MARK": mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_for(ready.exists)
        process.send_signal(number)
        process.wait()
    wait_for(lambda: not any(environment(one) == mark for one in psutil.process_iter()))
    if number == signal.SIGINT:
        assert process.returncode == pytest.ExitCode.INTERRUPTED


def environment(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("HARNESS_TEST_MARK")
    except (psutil.Error, OSError):
        return None


def wait_for(condition) -> None:
    """Generous: a loaded machine is slow, not wrong."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_folders_are_kept_of_what_failed_or_where_it_was_asked_for(project):
    text = (
        "def test_good(harness_run):\n    harness_run(make_step, batches=batches)\n\n"
        "def test_bad(harness_run):\n    harness_run(broken)\n"
    )
    base = project.pytester.path / "base"
    project(text, f"--basetemp={base}")
    assert [path.name for path in base.glob("test_*") if not path.is_symlink()] == ["test_bad0"]
    project(text, "--harness-out=kept")
    found = sorted((project.pytester.path / "kept").glob("*/0/*/report.md"))
    names = [path.parents[2].name for path in found]
    assert names == ["test_it.py-test_bad", "test_it.py-test_good"]


HEALTHY = '"""It is well."""\nfrom baseline_update import make_step\nSETTINGS = {"steps": 2}\n'
CONTROL = (
    '"""It waits."""\nimport threading\n\n\ndef make_step(training):\n'
    "    lock = threading.Lock()\n\n    def step(*batch):\n        with lock, lock:\n"
    "            pass\n\n    return step\n\n\n"
)


def test_scenario_files_are_tests(project):
    scenarios = project.pytester.mkdir("scenarios")
    files = {
        "healthy": HEALTHY.replace("baseline_update", "their.steps"),
        "two_locks": CONTROL + 'VERDICT = {"outcome": "hung", "cause": "deadlock"}\n',
        "wrongly": HEALTHY + 'VERDICT = {"outcome": "hung"}\n',
        "broken": "def make_step(training):\n    raise ValueError('gone')\n",
        "conftest": "def make_step(): pass\n",
        "train": "# make_step\ndef main():\n    from healthy import make_step\n",
        "no_scenario": "raise AssertionError('must not be imported')\n",
        "_helper": "def make_step(training): pass\n",
        "test_steps": "def make_step(training): pass\n\ndef test_plain(): pass\n",
    }
    for name, text in files.items():
        (scenarios / f"{name}.py").write_text(text)
    # What a test of the project can import, a scenario can.
    project.pytester.makeini("[pytest]\npythonpath = src\n")
    their = project.pytester.mkdir("src") / "their"
    their.mkdir()
    (their / "steps.py").write_text("from baseline_update import make_step\n")
    run = project.pytester.runpytest_subprocess
    run(*OPTIONS, "scenarios").assert_outcomes(passed=1)
    result = run(*OPTIONS, "--harness", "scenarios", "-v")
    result.assert_outcomes(passed=3, failed=2)
    result.stdout.fnmatch_lines(
        [
            "scenarios/broken.py::broken FAILED*",
            "scenarios/healthy.py::healthy PASSED*",
            "scenarios/test_steps.py::test_plain PASSED*",
            "scenarios/two_locks.py::two_locks PASSED*",
            "scenarios/wrongly.py::wrongly FAILED*",
            "broken crashed *ValueError: gone*",
            "wrongly completed (completed, not hung)",
        ]
    )
    named = run(*OPTIONS, "--harness", "scenarios/healthy.py", "scenarios/wrongly.py", "--lf")
    named.assert_outcomes(failed=1)


def test_a_broken_scenario_is_an_error_of_collection(project):
    project.pytester.makepyfile(odd="SETTINGS = {'steps': 'many'}\ndef make_step(t): pass\n")
    result = project.pytester.runpytest_subprocess(*OPTIONS, "--harness")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*odd.py: SETTINGS: steps: expected int, got str"])


@pytest.mark.parametrize("used", [False, True])
def test_nothing_is_imported_before_it_is_used_and_mlx_never(project, used):
    project.pytester.makeconftest(
        "import sys\n\ndef pytest_sessionfinish():\n"
        "    names = ('harness.api', 'msgspec', 'psutil', 'mlx')\n"
        "    print('IMPORTED', [name for name in names if name in sys.modules])\n"
    )
    fixture, call = (
        ("harness_run", "harness_run(make_step, batches=batches)") if used else ("",) * 2
    )
    result = project(f"def test_it({fixture}):\n    {call or 'pass'}\n", "-s")
    result.assert_outcomes(passed=1)
    names = "'harness.api', 'msgspec', 'psutil'" if used else ""
    result.stdout.fnmatch_lines([f"*IMPORTED [[]{names}]"])


def test_an_outside_project(project, monkeypatch):
    """Beside all plugins that are installed."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    home = project.pytester.path / "theirs"
    shutil.copytree(ROOT / "tests" / "outside_project", home)
    os.chdir(home)
    result = project.pytester.runpytest_subprocess("-p", "no:randomly", *OPTIONS, "-rA")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(
        ["E *make_waiting hung in step 5, forward: deadlock (proven)*test_regression.py:* in step"]
    )
