"""Steps that a loop reports itself come back as told; where nobody listens, nothing is done."""

from __future__ import annotations

import math
import sys
from decimal import Decimal
from itertools import pairwise

import pytest

from harness.beats import report as beats
from harness.beats.file import BEATS, read_beats, read_position
from harness.inject import hook_report
from harness.model import StartBeat, StepBeat

pytestmark = pytest.mark.usefixtures("without_mlx")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where somebody listens."""
    monkeypatch.setattr(beats, "_folder", str(tmp_path))
    monkeypatch.setattr(beats, "_writer", None)
    return tmp_path


@pytest.fixture
def nobody(monkeypatch):
    monkeypatch.setattr(beats, "_folder", None)
    monkeypatch.setattr(beats, "_writer", None)


class Array:
    """Of mlx: asking for its value would evaluate it."""

    def __float__(self):
        raise AssertionError("evaluated")

    item = __float__


def steps_of(folder):
    return [beat for beat in read_beats(folder) if isinstance(beat, StepBeat)]


def test_steps_and_their_losses_come_back(folder):
    for loss in (2.0, 1.5):
        with beats.step() as step:
            step.loss = loss
    first, *steps = read_beats(folder)
    assert isinstance(first, StartBeat)
    assert [(step.step, step.loss) for step in steps] == [(0, 2.0), (1, 1.5)]
    assert all("step" in step.phases for step in steps)


def test_one_sees_where_the_loop_is(folder):
    seen = []

    def look():
        position = read_position(folder)
        seen.append((position.step, position.phase))

    def batches():
        for _ in range(2):
            look()
            yield None

    for _ in beats.track(batches()):
        look()
    look()
    with beats.phase("validate"):
        look()
    look()
    beats.phase("checkpoint")
    look()
    assert seen == [
        (0, "data"),
        (0, "step"),
        (1, "data"),
        (1, "step"),
        (1, "between"),
        (1, "validate"),
        (1, "between"),
        (1, "checkpoint"),
    ]


def test_tracked_batches_are_the_batches_and_every_one_is_a_step(folder):
    steps = beats.track([5, 6, 7])
    assert len(steps) == 3
    got = []
    for batch in steps:
        steps.loss = batch
        got.append(batch)
    assert got == [5, 6, 7]
    assert [(step.step, step.loss) for step in steps_of(folder)] == [(0, 5.0), (1, 6.0), (2, 7.0)]


def test_the_steps_of_a_second_epoch_go_on(folder):
    for _ in range(2):
        for _ in beats.track("ab"):
            pass
    assert [step.step for step in steps_of(folder)] == [0, 1, 2, 3]


def test_the_loss_of_one_batch_is_not_the_next_ones(folder):
    steps = beats.track("ab")
    for batch in steps:
        if batch == "a":
            steps.loss = 1.0
    assert [step.loss for step in steps_of(folder)] == [1.0, None]


def test_a_step_that_raises_did_not_return_and_its_error_is_the_loops(folder):
    with pytest.raises(KeyError), beats.step():
        raise KeyError
    with pytest.raises(ZeroDivisionError):
        [1 / batch for batch in beats.track([0])]
    with beats.step():
        pass
    assert [step.step for step in steps_of(folder)] == [2]


def test_an_error_of_the_batches_is_the_loops(folder):
    def broken():
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(beats.track(broken()))
    assert [step.step for step in steps_of(folder)] == [0]
    assert read_position(folder).phase == "data"


def test_no_time_is_lost_between_two_steps(folder):
    for _ in range(3):
        with beats.step(), beats.phase("inner"):
            pass
        beats.phase("outside")
    steps = steps_of(folder)
    for before, step in pairwise(steps):
        assert math.isclose(sum(step.phases.values()), step.t - before.t, abs_tol=3e-6)
    assert set(steps[1].phases) == {"between", "outside", "step", "inner"}


@pytest.mark.parametrize("loss", [Array(), Decimal(1), "1.0", None, 10**400, 1j, object()])
def test_a_loss_that_is_no_number_is_left_out_and_never_evaluated(folder, loss):
    with beats.step() as step:
        step.loss = loss
    assert [step.loss for step in steps_of(folder)] == [None]


def test_a_loss_that_json_cannot_hold(folder):
    for loss in (math.nan, math.inf, -math.inf):
        with beats.step() as step:
            step.loss = loss
    assert [step.loss for step in steps_of(folder)] == ["nan", "inf", "-inf"]


def test_mlx_lms_reports_are_steps_that_stand_for_those_before(folder):
    callback = beats.TrainingCallback()
    callback.on_val_loss_report({"iteration": 0, "val_loss": 3.0, "val_time": 0.0})
    for iteration in (10, 20, 25):
        callback.on_train_loss_report({"iteration": iteration, "train_loss": 2.0})
    assert [(step.step, step.covers) for step in steps_of(folder)] == [(9, 0), (19, 10), (24, 5)]
    assert "validate" in steps_of(folder)[0].phases
    assert read_position(folder).phase == "after_report"


@pytest.mark.parametrize("info", [None, {}, {"iteration": None}, {"iteration": math.inf}, 3])
def test_a_report_of_another_shape_is_ignored(folder, info):
    callback = beats.TrainingCallback()
    callback.on_train_loss_report(info)
    callback.on_val_loss_report(info)
    assert steps_of(folder) == []
    assert hook_report(folder) is None


def test_nothing_is_done_where_nobody_listens(nobody, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with beats.step() as step, beats.phase("validate"):
        step.loss = Array()
    steps = beats.track([1, 2])
    for _ in steps:
        steps.loss = Array()
    assert list(steps) == [1, 2]
    callback = beats.TrainingCallback()
    callback.on_train_loss_report({"iteration": 10, "train_loss": 1.0})
    callback.on_val_loss_report({"val_time": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_a_second_one_that_reports_stays_silent(folder):
    (folder / BEATS).touch()
    with beats.step() as step:
        step.loss = 1.0
    assert list(beats.track([1])) == [1]
    assert [path.name for path in folder.iterdir()] == [BEATS]
    assert (folder / BEATS).read_bytes() == b""


def test_a_folder_that_is_gone_stops_nothing(folder, monkeypatch):
    monkeypatch.setattr(beats, "_folder", str(folder / "gone"))
    with beats.step() as step:
        step.loss = 1.0
    assert list(beats.track([1])) == [1]


def test_a_model_where_there_is_no_mlx_is_not_followed(folder, monkeypatch):
    monkeypatch.setattr(beats, "_followed_folder", str(folder))
    monkeypatch.setitem(sys.modules, "harness.inject.inside.watched", None)
    beats.watch(object(), object())
    assert list(folder.iterdir()) == []
