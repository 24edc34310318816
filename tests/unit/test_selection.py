"""The scenarios that `-k` and `--skip` choose, and a project's own defaults."""

from __future__ import annotations

import argparse

import pytest

from harness import cli
from harness.cli import defaults, run_all, running, selection
from harness.errors import UsageError
from harness.model import Outcome
from harness.scenario import load

NAMES = ("baseline_update", "compiled_step", "lora_step", "tiny_model")


def chosen(expression=None, skipped=()):
    infos = [info for info in load.ladder() if info.name in NAMES]
    wanted = selection.expression(expression) if expression else None
    return {info.name for info in selection.choose(infos, wanted, skipped)}


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        (None, set(NAMES)),
        ("step", {"compiled_step", "lora_step"}),
        ("STEP and not lora", {"compiled_step"}),
        ("not (step or tiny)", {"baseline_update"}),
        ("compiled or tiny", {"compiled_step", "tiny_model"}),
    ],
)
def test_an_expression_chooses_by_parts_of_names(expression, names):
    assert chosen(expression) == names


@pytest.mark.parametrize("text", ["", "a b", "a and", "f(x)", "a.b", "1", "a == b", "~a", "a\0"])
def test_another_expression_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="cannot use the expression"):
        selection.expression(text)


def test_what_is_skipped_is_named_in_full():
    assert chosen(skipped=selection.names("tiny_model, lora_step")) == set(NAMES[:2])
    with pytest.raises(UsageError, match="did you mean tiny_model"):
        chosen(skipped=("tiny_modell",))
    with pytest.raises(UsageError, match="leave no scenario"):
        chosen("tiny", ("tiny_model",))


@pytest.fixture
def planned(monkeypatch):
    """The arguments and the names of the runs of the command that was started."""
    found = {}

    def carry_out(arguments, runs, *_):
        found.update(arguments=arguments, names=[run.info.name for run in runs])
        return 0

    monkeypatch.setattr(running, "carry_out", carry_out)
    return found


def test_run_all_runs_what_is_chosen(planned):
    assert cli.main(["run-all", "-k", "update", "--skip", "eval_after_update"]) == 0
    assert "baseline_update" in planned["names"]
    assert "eval_after_update" not in planned["names"]
    assert all("update" in name for name in planned["names"])


def test_the_names_that_people_know_are_understood(planned):
    words = ["--iters", "7", "--max-seq-length", "64", "--timeout", "30"]
    assert cli.main(["run-all", *words]) == 0
    arguments = planned["arguments"]
    assert (arguments.steps, arguments.seq_len, arguments.budget) == (7, 64, 30.0)
    watched = cli.parser(["watch"]).parse_args(["watch", "--timeout", "5", "--", "true"])
    assert watched.budget == 5.0


def project(tmp_path, monkeypatch, text):
    (tmp_path / "pyproject.toml").write_text(text)
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)


def test_a_project_has_defaults_of_its_own(tmp_path, monkeypatch, planned):
    project(tmp_path, monkeypatch, """
        [tool.harness]
        steps = 30
        seq_len = 48
        budget = 20.5
        out = "results"
        cold = true
        fail-on = ["hung", "crashed"]
        exit-code = "verdict"
        """)  # fmt: skip
    assert cli.main(["run-all", "--steps", "4"]) == 0
    arguments = planned["arguments"]
    assert (arguments.steps, arguments.seq_len, arguments.budget) == (4, 48, 20.5)
    assert (str(arguments.out), arguments.cold) == ("results", True)
    assert arguments.fail_on.outcomes == (Outcome.HUNG, Outcome.CRASHED)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("stepps = 3", "unknown option stepps; did you mean steps?"),
        ("quiet = true", "unknown option quiet"),
        ("steps = 0", "at least 1"),
        ("steps = true", "must be a text or a number"),
        ("cold = 1", "cold must be true or false"),
        ("device = 'tpu'", "must be one of cpu, gpu, not tpu"),
        ("steps = ", "cannot read"),
    ],
)
def test_a_default_that_cannot_be_is_refused(tmp_path, monkeypatch, capsys, line, told):
    project(tmp_path, monkeypatch, f"[tool.harness]\n{line}\n")
    assert cli.main(["run-all"]) == 2
    (shown,) = capsys.readouterr().err.splitlines()
    assert told in shown
    assert "pyproject.toml" in shown


def test_a_project_without_defaults_changes_nothing(tmp_path, monkeypatch, planned):
    project(tmp_path, monkeypatch, "[tool.ruff]\nline-length = 90\n")
    assert cli.main(["run-all"]) == 0
    assert planned["arguments"].steps == 10
    monkeypatch.setattr(defaults.Path, "cwd", lambda: defaults.Path("/no/such/folder"))
    assert defaults.find() is None


def test_run_all_and_its_variants_continue_no_run(tmp_path):
    words = ["run-all", "--variants", "x.toml", "--continue", str(tmp_path)]
    with pytest.raises(UsageError, match="--variants"):
        run_all.run(cli.parser(words).parse_args(words))
