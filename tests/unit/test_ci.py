"""What other programs read: junit.xml by a library that is not ours, the workflow, the examples."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import fakes
import junitparser
import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness import cli
from harness.model import Finding, Outcome, Severity
from harness.report import junit, markdown
from harness.report.input import ReportInput
from harness.session.conclude import conclude

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "docs" / "ci" / "harness.yml"


def read(run):
    suites = junitparser.JUnitXml.fromstring(junit.render(run))
    (suite,) = suites
    return suite, list(suite)


def test_a_reader_finds_each_run_with_what_became_of_it():
    outcomes = [*Outcome, Outcome.HUNG]
    runs = [
        fakes.result(f"s{n % 6}", outcome=one, repeat=n // 6, reason=f"why {n}", wall_s=1.5)
        for n, one in enumerate(outcomes)
    ]
    suite, cases = read(fakes.run(*runs))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (7, 4, 1, 1)
    assert suite.time == pytest.approx(7 * 1.5)
    kinds = {
        Outcome.COMPLETED: None,
        Outcome.HUNG: junitparser.Failure,
        Outcome.DIVERGED: junitparser.Failure,
        Outcome.UNFINISHED: junitparser.Failure,
        Outcome.CRASHED: junitparser.Error,
        Outcome.SKIPPED: junitparser.Skipped,
    }
    by_name = {one.name: one for one in cases}
    assert len(by_name) == 7
    for n, outcome in enumerate(outcomes):
        name = f"s{n % 6}" + (f"[{n // 6}]" if n % 6 == 0 else "")
        told = by_name[name].result
        if kinds[outcome] is None:
            assert told == []
        else:
            assert [type(one) for one in told] == [kinds[outcome]]
            assert f"why {n}" in told[0].message


@pytest.mark.parametrize(
    ("severity", "expected", "fails"),
    [
        (Severity.ERROR, False, True),
        (Severity.ERROR, True, False),
        (Severity.WARNING, False, False),
    ],
)
def test_a_run_that_learned_nothing_is_not_green(severity, expected, fails):
    found = Finding(
        code="parameters_unchanged", severity=severity, summary="Still.", expected=expected
    )
    suite, (case,) = read(fakes.run(fakes.result(findings=(found,))))
    assert suite.failures == fails
    told = [(one.type, one.message) for one in case.result]
    assert told == ([("parameters_unchanged", "Still.")] if fails else [])
    marked = " (expected)" if expected else ""
    assert case.system_out == f"{severity.value} parameters_unchanged{marked}: Still."


def test_a_reader_finds_what_a_hang_waits_for():
    _, (case,) = read(fakes.run(fakes.hung(wait_site="waits for a lock, from a.py:3")))
    assert ", at a.py:3. who: " in case.result[0].message
    assert "waits for a lock, from a.py:3" in case.result[0].message


@given(st.text())
def test_a_reader_takes_any_reason_and_any_name(text):
    _, (case,) = read(fakes.run(fakes.result(text or "x", outcome=Outcome.CRASHED, reason=text)))
    assert case.classname == "harness"


def scripts():
    """All that the workflow runs."""
    document = yaml.safe_load(WORKFLOW.read_text())
    steps = [step for job in document["jobs"].values() for step in job["steps"]]
    return [step["run"] for step in steps if "run" in step]


def commands():
    """The harness's command lines of the workflow."""
    return [script for script in scripts() if script.startswith("harness")]


@pytest.mark.parametrize(
    ("files", "installed"),
    [
        ({}, []),
        ({"pyproject.toml": "[tool.ruff]\n"}, []),
        ({"pyproject.toml": "[tool.ruff]\n", "requirements.txt": ""}, ["-r requirements.txt"]),
        ({"pyproject.toml": '[project]\nname = "x"\n'}, ["."]),
        ({"setup.py": ""}, ["."]),
    ],
)
def test_the_workflow_installs_what_an_outside_repository_has(files, installed, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    pip = tmp_path / "bin" / "pip"
    pip.parent.mkdir()
    pip.write_text('#!/bin/sh\necho "$@" >> pip.log\n')
    pip.chmod(0o755)
    (script,) = {text for text in scripts() if "requirements.txt" in text}
    path = f"{pip.parent}:{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, env={"PATH": path}, check=True, timeout=60
    )
    log = tmp_path / "pip.log"
    told = log.read_text().splitlines() if log.exists() else []
    assert told == [f"install {what}" for what in installed]


def test_the_workflow_names_only_options_that_there_are():
    assert commands()
    for command in commands():
        cli.parser().parse_args(shlex.split(command)[1:])


@pytest.mark.parametrize("columns", ["80", "200"])
@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_shows_an_example_that_can_be_typed(name, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit) as ended:
        cli.parser().parse_args([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    examples = re.findall(r"^  harness (.+)$", text.partition("example")[2], re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(example, comments=True)
        assert words[0] == name
        cli.parser().parse_args(words)


@pytest.mark.parametrize("line", [["list"], ["completion", "bash"], ["completion", "fish"]])
def test_an_example_that_is_cheap_runs(line, capsys):
    assert cli.main(line) == 0
    assert capsys.readouterr().out


def test_the_report_of_five_hundred_hung_runs_fits_an_issue(tmp_path):
    stack = "".join(f"  File x.py, line {n}, in function_{n}\n" for n in range(400))
    faults = tuple(fakes.finding(f"code_{n}_{'z' * 50}", summary="fault " * 99) for n in range(30))
    runs = [
        msgspec.structs.replace(
            fakes.hung(
                f"scenario_{n}_with_a_{'long_' * 20}name",
                repeat,
                f"{n} and {repeat} have not moved for 12 s " * 20,
                # No two of them are the same hang.
                fingerprint=f"{n:06x}{repeat:06x}",
                **{f"evidence_{one}": "x" * 500 for one in range(30)},
            ),
            findings=faults,
        )
        for n in range(25)
        for repeat in range(20)
    ]
    log = "".join(f"line {n} of a log that goes on and on and on\n" for n in range(500))
    text = markdown.render(
        ReportInput(
            conclude(fakes.run(*runs), tmp_path),
            log_tails=lambda _: {"stdout": log, "stderr": log},
            stack_texts=lambda _: {"pystack-1.txt": stack},
            stacks=lambda _: ("pystack-1.txt",),
        )
    )
    assert len(text) < 60_000
    assert all(f"scenario\\_{n}\\_" in text or f"scenario_{n}_" in text for n in range(25))
