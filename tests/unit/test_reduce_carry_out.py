"""Which program a reduction leaves at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli
from harness.errors import Exit, UsageError
from harness.reduce import file
from harness.reduce.carry_out import _Reduction
from harness.reduce.errors import InterruptedReductionError
from harness.reduce.judge import Checked
from harness.reduce.symptom import Keep, Symptom
from harness.reduce.target import Target

WHOLE, SURE, GLANCED = "f()\ng()\nh( )\n", "f()\ng( )\n", "f( )\n"
WANTED = Symptom(keep=Keep.OUTCOME, parts=("crashed",), summary="crashed")


class Runs:
    """A judge that says which programs show the symptom each time, or is interrupted."""

    def __init__(self, steady=None):
        self.steady = steady
        self.asked = []

    def check(self, text, wanted, times):
        self.asked.append(text)
        if self.steady is None:
            raise InterruptedReductionError
        enough = text == file.formatted(self.steady)
        return Checked(times, times if enough else 1, enough, None)


def ended(judge):
    program = Target("train.py", WHOLE, 3, ("python",), ())
    reduction = _Reduction(program, judge, Path(), None, None)
    reduction._best, reduction._sure = GLANCED, SURE
    return reduction, reduction._checked(WANTED)


def test_the_program_that_was_checked_is_the_one_that_is_left():
    judge = Runs(steady=SURE)
    reduction, checked = ended(judge)
    assert checked.enough
    assert reduction._best == judge.asked[-1] == file.formatted(SURE)


def test_where_none_shows_it_each_time_the_whole_program_is_left():
    reduction, checked = ended(Runs(steady="pass"))
    assert checked is None
    assert reduction._best == file.formatted(WHOLE)


def test_a_check_that_is_interrupted_leaves_a_program_that_had_a_verdict():
    reduction, checked = ended(Runs())
    assert checked is None
    assert reduction._best == file.formatted(SURE)


class Slow(Runs):
    """A judge whose first run takes longer than there is time, or that the user interrupts."""

    over = staticmethod(lambda: False)

    def whole(self, text, trace):
        raise InterruptedReductionError


@pytest.mark.parametrize(
    ("deadline", "error", "message"),
    [(-1.0, UsageError, "the time was over"), (None, KeyboardInterrupt, None)],
)
def test_time_that_is_over_before_the_whole_program_failed_is_told(
    deadline, error, message, tmp_path
):
    program = Target("train.py", WHOLE, 3, ("python",), ())
    judge = Slow()
    reduction = _Reduction(program, judge, tmp_path, deadline, None)
    with pytest.raises(error, match=message):
        reduction.carry_out(None)
    assert judge.over() is (deadline is not None)


def test_an_interruption_without_a_result_is_told_too(monkeypatch, capsys, tmp_path):
    def interrupted(*asked, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.reduce.reduce", interrupted)
    program = tmp_path / "train.py"
    program.write_text("f()\n", encoding="utf-8")
    assert cli.main(["reduce", str(program)]) == Exit.INTERRUPTED
    assert "interrupted before there was a result" in capsys.readouterr().err
