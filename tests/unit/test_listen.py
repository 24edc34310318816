"""What a command prints, turned into beats; and what is said of how it was watched."""

from __future__ import annotations

import time

import pytest

from harness.adapters import ADAPTERS, Reading, Recognition
from harness.beatfile import read_beats, read_position
from harness.findings import watching
from harness.inject import Told
from harness.model import StepBeat
from harness.record import load
from harness.supervise import listen
from harness.supervise.listen import BETWEEN, VALIDATES, Ear, LogBeats


def steps(folder):
    return [beat for beat in read_beats(folder) if isinstance(beat, StepBeat)]


def test_each_report_is_a_step_and_says_how_many_it_stands_for(tmp_path):
    log = LogBeats(tmp_path)
    for step, loss in ((10, 2.5), (20, 2.25), (25, float("nan"))):
        log.take(Reading(step=step, loss=loss, memory_bytes=7))
    assert [(beat.step, beat.covers, beat.loss, beat.active) for beat in steps(tmp_path)] == [
        (10, 0, 2.5, 7), (20, 10, 2.25, 7), (25, 5, "nan", 7)
    ]  # fmt: skip
    position = read_position(tmp_path)
    assert (position.step, position.phase) == (25, BETWEEN)


def test_how_long_the_first_report_took_is_no_steps_time(tmp_path):
    log = LogBeats(tmp_path)
    log.take(Reading(step=1, loss=2.5))
    log.take(Reading(step=2, loss=2.25))
    record = load(tmp_path)
    assert list(record.step) == [2]
    assert (list(record.loss_step), list(record.loss)) == ([1, 2], [2.5, 2.25])


def test_a_bar_drawn_again_is_progress_and_no_step(tmp_path):
    log = LogBeats(tmp_path)
    log.take(Reading(step=3, total=100))
    before = read_position(tmp_path)
    log.take(Reading(step=3, total=100, learning_rate=0.1))
    assert len(steps(tmp_path)) == 1
    assert read_position(tmp_path) != before
    assert log.total == 100


def test_losses_without_a_step_are_counted(tmp_path):
    log = LogBeats(tmp_path)
    for loss in (3.0, 2.0, 1.0):
        log.take(Reading(loss=loss))
    assert [(beat.step, beat.loss) for beat in steps(tmp_path)] == [(0, 3.0), (1, 2.0), (2, 1.0)]


def test_the_time_until_a_validation_is_over_is_the_validations(tmp_path):
    log = LogBeats(tmp_path)
    log.take(Reading(step=1, loss=2.0))
    log.take(Reading(step=1, loss=2.5, validation=True))
    log.take(Reading(step=2, loss=1.0))
    assert set(steps(tmp_path)[-1].phases) == {VALIDATES, BETWEEN}
    assert [beat.loss for beat in steps(tmp_path)] == [2.0, 1.0]


def test_a_bar_of_a_validation_is_its_phase(tmp_path):
    log = LogBeats(tmp_path)
    log.take(Reading(step=1, loss=2.0))
    log.take(Reading(validation=True, batch=3, total=10))
    assert read_position(tmp_path).phase == VALIDATES


def test_a_line_that_names_a_phase_begins_it(tmp_path):
    log = LogBeats(tmp_path)
    log.take(Reading(step=4, loss=2.0))
    log.take(Reading(step=5, phase="clear_cache"))
    position = read_position(tmp_path)
    assert (position.step, position.phase) == (5, "clear_cache")


def listened(tmp_path, *chunks):
    log = LogBeats(tmp_path)
    ear = Ear(log, ADAPTERS)
    for chunk in chunks:
        ear.hear(chunk)
    return ear


def test_a_line_that_is_not_ended_is_read_when_the_output_pauses(tmp_path, monkeypatch):
    ear = listened(tmp_path, b"step 1 loss 2.0\nstep 2 lo", b"ss 1.5")
    assert [beat.step for beat in steps(tmp_path)] == [1]
    ear.pause()
    assert [beat.step for beat in steps(tmp_path)] == [1]
    monkeypatch.setattr(listen, "PAUSE_S", 0.0)
    ear.pause()
    assert [beat.step for beat in steps(tmp_path)] == [1, 2]
    ear.close()
    assert [beat.step for beat in steps(tmp_path)] == [1, 2]


def test_what_comes_too_fast_is_skipped_but_for_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "CREDIT_S", 0.0)
    monkeypatch.setattr(listen, "SHARE", 0.0)
    ear = listened(tmp_path, b"step 1 loss 2.0\nstep 2 loss", b" 1.5\nstep 3 loss 1.0\n")
    assert steps(tmp_path) == []
    recognition = ear.close()
    assert ear.skipped == len(b"step 1 loss 2.0\nstep 2 loss")
    assert [beat.step for beat in steps(tmp_path)] == [3]
    assert recognition.matched == 1


def test_two_outputs_share_their_beats(tmp_path):
    log = LogBeats(tmp_path)
    out, err = Ear(log, ADAPTERS), Ear(log, ADAPTERS)
    out.hear(b"step 1 loss 2.0\n")
    err.hear(b"downloading\n")
    out.hear(b"step 2 loss 1.0\n")
    assert [beat.step for beat in steps(tmp_path)] == [1, 2]
    assert (out.close().matched, err.close().matched) == (2, 0)


def test_beats_have_the_time_of_their_line(tmp_path):
    before = time.monotonic()
    listened(tmp_path, b"step 1 loss 2.0\n")
    assert before <= steps(tmp_path)[0].t <= time.monotonic()


READ = Recognition(format="tqdm", matched=3, lines=9)
UNREAD = Recognition(format=None, matched=0, lines=5)


@pytest.mark.parametrize(
    ("outputs", "skipped", "itself", "hook", "codes"),
    [
        ((UNREAD, READ), 0, False, None, {"steps_printed"}),
        ((UNREAD, UNREAD), 0, False, None, {"no_steps_seen"}),
        ((), 0, False, None, {"no_steps_seen"}),
        ((READ,), 0, True, Told(), {"steps_reported"}),
        ((READ,), 10, False, None, {"steps_printed", "output_skipped"}),
        ((READ,), 0, False, Told(disabled="unknown"), {"steps_printed", "hook_disabled"}),
    ],
)
def test_how_it_was_watched_is_said(outputs, skipped, itself, hook, codes):
    assert {one.code for one in watching.find(outputs, skipped, itself, hook)} == codes
