"""Variants of an outside command: what the file may say, and what the diagnosis makes of them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.diagnosis import diagnose
from harness.errors import UsageError
from harness.model import (
    LossSummary,
    MemorySummary,
    Metrics,
    Outcome,
    ScenarioResult,
    StepTimes,
    Support,
)
from harness.observe import environment
from harness.session import plan, variants

FILE = """
command = "python 'my train.py' --steps 20"
env = { A = "1", B = "2" }
pattern = "(?P<step>\\\\d+)"

[variants.baseline_update]

[variants.sgd_step]
args = ["--optimizer", "sgd"]
env = { B = "3" }

[variants.mine]
command = ["sh", "-c", "exit 3"]
"""


def test_a_variant_adds_to_what_is_common():
    base, sgd, mine = variants.parse(FILE)
    assert (base.name, base.command.argv) == (
        "baseline_update", ("python", "my train.py", "--steps", "20")
    )  # fmt: skip
    assert sgd.command.argv == (*base.command.argv, "--optimizer", "sgd")
    assert base.command.variables == {"A": "1", "B": "2"}
    assert sgd.command.variables == {"A": "1", "B": "3"}
    assert mine.command.argv == ("sh", "-c", "exit 3")
    assert {one.command.pattern for one in (base, sgd, mine)} == {r"(?P<step>\d+)"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("command = 'x'", "no variants"),
        ("[variants.a]", "no command"),
        ("command = ''\n[variants.a]", "empty"),
        ('command = "a \'b"\n[variants.a]', "quotation"),
        ("command = 3\n[variants.a]", "string or a list"),
        ("command = 'x'\nsteps = 3\n[variants.a]", "unknown key steps"),
        ("command = 'x'\n[variants.a]\nenviron = {}", "variant a has the unknown key environ"),
        ("command = 'x'\n[variants.a]\nenv = { A = 1 }", "table of strings"),
        ("command = 'x'\n[variants.'../a']", "letters, digits"),
        ("command = 'x'\ninject = 3\n[variants.a]", "true or false"),
        ("command = 'x'\n[variants]\na = 3", "a must be a table"),
    ],
)
def test_what_is_wrong_is_said(text, told):
    with pytest.raises(UsageError, match=told):
        variants.parse(text)


@pytest.mark.parametrize("content", [None, b"\xff", b"= 3"])
def test_a_file_that_cannot_be_read_is_the_users_to_mend(tmp_path, content):
    path = tmp_path / "v.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"v\.toml"):
        variants.load(path)


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused(text):
    with contextlib.suppress(UsageError, variants.tomllib.TOMLDecodeError):
        assert all(info.name in text for info in variants.parse(text))


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(UsageError, match="pattern"):
        plan.commands(variants.parse("command='x'\npattern='('\n[variants.a]"), 1)


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (("python", "train.py", "--x"), "train.py"),
        (("/usr/bin/python3.11", "-u", "-m", "mlx_lm", "lora"), "mlx_lm"),
        (("mlx_lm.lora", "--train"), "mlx_lm.lora"),
        (("python", "-X", "faulthandler", "x.py", "y.py"), "x.py"),
        (("python3", "-W", "error", "-m", "train"), "train"),
        (("python", "-c", "print()"), "python"),
        (("uv", "run", "train.py"), "train.py"),
        (("./my trainer",), "my_trainer"),
        (("sh", "-c", "echo; x"), "sh"),
        (("..",), "command"),
    ],
)
def test_a_command_is_called_what_it_runs(argv, name):
    assert plan.name_of(argv) == name


def ran(scenario, outcome=Outcome.COMPLETED, active=None, second=0.05):
    return ScenarioResult(
        scenario=scenario,
        outcome=outcome,
        steps_requested=20,
        steps_completed=20,
        wall_s=2.0,
        metrics=Metrics(
            step_s=StepTimes(first=0.05, median=0.05, p99=0.06, max=0.06, second=second),
            phase_s={"after_report": 0.05},
            loss=LossSummary(first=3.0, last=2.0, min=2.0, max=3.0, finite=True),
            memory=MemorySummary(active_peak=active),
        ),
    )


def verdicts(*results):
    found = diagnose.diagnose(results, None, environment.gather())
    return {one.id: one.verdict for one in found.hypotheses}, found


def test_what_a_command_does_not_report_is_untested_and_not_refuted():
    told, found = verdicts(*(ran(name) for name in diagnose.LADDER))
    assert {told[id] for id in ("leak", "data", "retrace")} == {Support.UNTESTED}
    assert told["deadlock"] is Support.REFUTED
    reasons = {one.id: one.because for one in found.hypotheses}
    assert reasons["leak"] == ("the command does not report the figure",)


def test_memory_that_is_reported_and_stays_refutes_a_leak():
    told, _ = verdicts(ran("baseline_update", active=10**9))
    assert told["leak"] is Support.REFUTED


def test_the_next_experiment_is_a_variant_to_describe():
    _, found = verdicts(ran("sgd_step"))
    assert found.next_experiment.startswith("a variant [variants.baseline_update]")
