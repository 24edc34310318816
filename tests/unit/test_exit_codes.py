"""The exit codes that other programs read, each for what it stands for."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import fakes
import msgspec
import pytest

from harness import cli
from harness.analysis import failing
from harness.api import Run
from harness.cli import options, running, watch
from harness.errors import Exit, HarnessError, NotWrittenError, UsageError
from harness.model import Finding, Outcome, Severity
from harness.report import runjson

FAILED = {Outcome.HUNG, Outcome.DIVERGED, Outcome.CRASHED, Outcome.UNFINISHED}


def ended(monkeypatch, act):
    """The exit code of a command that does `act`."""
    parsed = argparse.Namespace(command=act)
    monkeypatch.setattr(cli, "parser", lambda _: SimpleNamespace(parse_args=lambda _: parsed))
    return cli.main(["list"])


def raises(error):
    def act(_):
        raise error

    return act


def test_the_numbers_are_those_that_are_documented():
    assert [int(one) for one in Exit] == [0, 1, 2, 3, 75, 130]


@pytest.mark.parametrize("code", list(Exit))
def test_a_commands_own_code_is_passed_on(monkeypatch, code):
    assert ended(monkeypatch, lambda _: code) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no such scenario"), 2),
        (HarnessError("cannot write"), 3),
        (OSError(28, "No space left on device"), 3),
        (PermissionError(13, "Permission denied", "reports/a/run.json"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_ends_a_command_is_told_in_at_most_one_line(monkeypatch, capsys, error, code):
    assert ended(monkeypatch, raises(error)) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == (0 if code == 130 else 1)
    assert "Errno" not in told.err


def test_a_fault_of_our_own_keeps_its_traceback(monkeypatch, capsys):
    assert ended(monkeypatch, raises(ZeroDivisionError("ours"))) == 3
    assert "Traceback" in capsys.readouterr().err


def started(*words, **streams):
    """The exit code of a command in a process of its own, and what it says on stderr."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    done = subprocess.run([sys.executable, "-m", *words], text=True, **streams)
    return done.returncode, done.stderr


@pytest.fixture
def gone():
    """The end of a pipe that nobody reads (`| true`)."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def buffering(request, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", request.param)


@pytest.mark.usefixtures("buffering")
@pytest.mark.parametrize("words", [["--version"], ["completion", "bash"]])
def test_nothing_is_said_where_nobody_reads_the_output(words, gone):
    assert started("harness", *words, stdout=gone) == (3, "")


@pytest.mark.usefixtures("buffering")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["--version"], ["completion", "bash"]])
def test_an_output_on_a_full_disk_is_told_in_one_line(words):
    with Path("/dev/full").open("w") as full:
        code, told = started("harness", *words, stdout=full)
    assert code == 3
    assert re.fullmatch(r"harness: error: No space left on device; .*\n", told)


def test_an_error_that_nobody_reads_keeps_its_exit_code(gone):
    assert started("harness", "run", "no_such_scenario", stderr=gone)[0] == 2


def test_a_locale_without_a_character_gets_it_escaped(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("PYTHONPATH", str(Path(cli.__file__).parents[2]))
    for name in ("a", "µ"):
        (tmp_path / name).mkdir()
        runjson.write(fakes.run(fakes.result(name)), tmp_path / name)
    assert started("harness", "compare", str(tmp_path / "a"), str(tmp_path / "µ")) == (0, "")


@pytest.mark.parametrize("module", ["harness", "mlx_harness"])
def test_a_ctrl_c_while_the_program_is_read_says_nothing(module, tmp_path, monkeypatch):
    """It comes as the command line is imported: the user was quick."""
    quick = "import sys\n\nclass Quick:\n    def find_spec(self, name, *_):\n"
    quick += "        if name == 'harness.cli':\n            raise KeyboardInterrupt\n\n"
    (tmp_path / "sitecustomize.py").write_text(quick + "sys.meta_path.insert(0, Quick())\n")
    root = Path(cli.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(root)]))
    assert started(module, "list", stdout=subprocess.DEVNULL) == (130, "")


@pytest.mark.parametrize("argv", [["nonsense"], ["run"], ["run-all", "--steps", "0"]])
def test_a_command_line_that_is_wrong(argv):
    with pytest.raises(SystemExit) as left:
        cli.main(argv)
    assert left.value.code == 2


@pytest.mark.parametrize("command", [["run", "baseline_update"], ["run-all"]])
def test_to_stop_repeating_what_is_not_repeated_is_no_wish(command, tmp_path, capsys):
    assert cli.main([*command, "--stop-after", "1", "--out", str(tmp_path)]) == 2
    assert "--repeat" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def arguments(**given):
    return argparse.Namespace(**{"fail_on": None, "exit_code": "own"} | given)


def finding(code="parameters_unchanged", severity=Severity.ERROR, **fields):
    return Finding(code=code, severity=severity, summary="It is so.", **fields)


def run(outcome, **fields):
    return fakes.run(fakes.result("fine"), fakes.result("other", outcome=outcome, **fields))


@pytest.mark.parametrize("outcome", list(Outcome))
def test_each_outcome_of_a_run(outcome):
    assert options.exit_code(run(outcome), arguments()) == (1 if outcome in FAILED else 0)
    assert options.exit_code(run(outcome), arguments(fail_on=failing.NOTHING)) == 0
    assert options.exit_code(run(outcome), arguments(fail_on=failing.parse(outcome.value))) == 1


@pytest.mark.parametrize(
    ("found", "words", "code"),
    [
        (finding(), None, 1),
        (finding(expected=True), None, 0),
        (finding(severity=Severity.WARNING), None, 0),
        (finding(severity=Severity.WARNING), "warning", 1),
        (finding(), "warning", 1),
        (finding(severity=Severity.INFO), "warning", 0),
        (finding(), "error", 1),
        (finding(), "hung,crashed", 0),
        (finding(), "none", 0),
        (finding("loss_flat", Severity.WARNING), "error,loss_flat", 1),
        (finding("slow_step", Severity.INFO), "slow_step", 1),
        (finding("loss_flat", Severity.WARNING, expected=True), "loss_flat", 0),
    ],
)
def test_what_is_found_in_a_run_that_completed(capsys, found, words, code):
    given = None if words is None else failing.parse(words)
    result = run(Outcome.COMPLETED, findings=(found,))
    assert options.exit_code(result, arguments(fail_on=given)) == code
    told = capsys.readouterr().err
    assert (f"other counts as failed: {found.code}" in told) is bool(code)


@pytest.mark.parametrize(
    ("words", "outcomes", "severities", "codes"),
    [
        ("error", failing.FAILURES, 1, ()),
        ("error, warning", failing.FAILURES, 2, ()),
        ("loss_flat", failing.FAILURES, 0, ("loss_flat",)),
        ("hung,loss_flat,warning", (Outcome.HUNG,), 2, ("loss_flat",)),
        ("hung,diverged", (Outcome.HUNG, Outcome.DIVERGED), 0, ()),
        ("none", (), 0, ()),
    ],
)
def test_the_words_of_fail_on(words, outcomes, severities, codes):
    meant = failing.parse(words)
    assert (meant.outcomes, len(meant.severities), meant.codes) == (outcomes, severities, codes)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("los_flat", "did you mean loss_flat?"),
        ("hungg", "did you mean hung?"),
        ("none,error", "none goes with no other word"),
        (",", "nothing is named"),
        ("xyzzy", "use none, or some of completed"),
    ],
)
def test_a_word_that_fail_on_does_not_know_is_refused(words, told):
    with pytest.raises(UsageError, match=re.escape(told)):
        failing.parse(words)


def test_a_plain_run_fails_by_what_it_is_told(tmp_path):
    """The same words from Python."""
    result = fakes.result("mine", findings=(finding("loss_flat", Severity.WARNING),))
    mine = Run(result, tmp_path, tmp_path / "report.md")
    assert mine.failures() == ()
    assert mine.failures("warning") == ("loss_flat",)
    hung = Run(fakes.hung("mine"), tmp_path, tmp_path / "report.md")
    assert hung.failures("loss_flat") == ("hung",)
    with pytest.raises(UsageError):
        mine.failures("nonsense")


@pytest.mark.parametrize("outcome", list(Outcome))
def test_interrupted_is_told_before_any_verdict(outcome):
    stopped = msgspec.structs.replace(run(outcome), interrupted=True)
    assert options.exit_code(stopped, arguments()) == 130


@pytest.mark.parametrize(
    ("outcome", "fields", "own", "verdict"),
    [
        (Outcome.COMPLETED, {"exit_code": 0}, 0, 0),
        (Outcome.CRASHED, {"exit_code": 7}, 7, 1),
        (Outcome.CRASHED, {"signal": "SIGKILL", "exit_code": None}, 137, 1),
        (Outcome.CRASHED, {"signal": "SIGNAL_OF_ANOTHER_MACHINE", "exit_code": None}, 1, 1),
        (Outcome.HUNG, {"signal": "SIGTERM"}, 1, 1),
        (Outcome.DIVERGED, {"exit_code": 0}, 1, 1),
    ],
)
def test_a_watched_command(outcome, fields, own, verdict):
    watched = fakes.run(fakes.result("trainer", outcome=outcome, **fields))
    assert watch.exit_code(watched, arguments()) == own
    assert watch.exit_code(watched, arguments(exit_code="verdict")) == verdict


@pytest.mark.parametrize(
    ("own", "words", "code"),
    [(0, None, 0), (0, "error", 1), (0, "hung", 0), (7, "error", 7), (0, "completed", 1)],
)
def test_a_watched_command_keeps_its_own_code_unless_told(own, words, code):
    """What was found changes the code of a command only where --fail-on asks for it."""
    watched = fakes.run(fakes.result("trainer", exit_code=own, findings=(finding(),)))
    given = None if words is None else failing.parse(words)
    assert watch.exit_code(watched, arguments(fail_on=given)) == code
    assert watch.exit_code(watched, arguments(exit_code="verdict")) == 1


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.HUNG])
def test_a_full_disk_hides_no_verdict(monkeypatch, capsys, tmp_path, outcome):
    result = fakes.result("mine", outcome)
    run = fakes.run(result)

    def full(*_, **__):
        raise NotWrittenError("cannot write to x: No space left on device", run, run, tmp_path)

    monkeypatch.setattr(running, "execute", full)
    words = ["run", "baseline_update", "--json"]
    arguments = cli.parser(words).parse_args(words)
    code = running.carry_out(arguments, (), None)
    assert code == (Exit.OK if outcome is Outcome.COMPLETED else Exit.VERDICT)
    told = capsys.readouterr()
    assert f"1 {outcome.value}" in told.err
    assert "no report: cannot write to x: No space left on device" in " ".join(told.err.split())
    assert json.loads(told.out)["results"][0]["outcome"] == outcome.value


@pytest.mark.parametrize(
    ("outcomes", "fail_on", "code"),
    [
        ((Outcome.SKIPPED, Outcome.SKIPPED), None, Exit.VERDICT),
        ((Outcome.SKIPPED, Outcome.COMPLETED), None, Exit.OK),
        ((Outcome.SKIPPED,), failing.NOTHING, Exit.OK),
        ((), None, Exit.OK),
    ],
)
def test_a_run_of_which_all_was_skipped_is_not_green(capsys, outcomes, fail_on, code):
    run = fakes.run(*(fakes.result(f"s{n}", outcome) for n, outcome in enumerate(outcomes)))
    assert options.exit_code(run, argparse.Namespace(fail_on=fail_on)) == code
    assert ("every run was skipped" in capsys.readouterr().err) is (code is Exit.VERDICT)
