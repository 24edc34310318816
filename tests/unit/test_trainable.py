"""The number of trained parameters in a log: the unit of everything that is said of its memory."""

from __future__ import annotations

import pytest

from harness.analysis import findings
from harness.beats.record import load
from harness.logs import Reading, Recognizer
from harness.logs.parameters import trainable
from harness.supervise.log_beats import LogBeats

SIZE = 256 << 20


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("Trainable parameters: 8,030,261,248", 8_030_261_248),
        ("Trainable parameters: 0.509% (0.016M/3.220M)", 16_000),
        ("trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.06", 4_194_304),
        ("2026-01-01 12:00:00 INFO  Trainable params: 1.2 M", 1_200_000),
        ("Trainable parameters 1.704M", 1_704_000),
        ("Number of trainable params: 0.3456 M", 345_600),
        ("2 trainable parameters 5 of 10", None),
        ("Trainable parameters: 8.03B", 8_030_000_000),
        ("Non-trainable params: 12", None),
        ("Trainable parameters: 0.5%", None),
        ("trainable%: 0.06", None),
        ("Trainable parameters: 3.2", None),
        ("Trainable parameters: 0", None),
        ("Trainable parameters: none", None),
    ],
)
def test_the_number_of_trained_parameters(line, count):
    assert trainable(line) == count


def test_it_is_no_step_and_decides_no_format():
    recognizer = Recognizer()
    given = recognizer.feed(b"Trainable parameters: 1,000\nstep 1 loss=2.0\nstep 2 loss=1.9\n")
    assert given[0] == Reading(trainable=1000)
    assert [one.step for one in given[1:]] == [1, 2]
    assert recognizer.recognition.matched == 2


def grown(folder, *first, rise=SIZE // 20):
    """What is found of a log whose memory grows by `rise` a step, after such lines."""
    log = LogBeats(folder)
    for one in first:
        log.take(one)
    for step in range(40):
        held = 30 * SIZE + step * rise
        log.take(Reading(step=step, loss=2.0 - 0.01 * step, memory_bytes=held))
    log.close()
    return load(folder), {one.code: one for one in findings.find(load(folder))}


def test_it_is_the_unit_of_a_growth(tmp_path):
    """Without it, nothing is said: beside all that is held, the growth is small."""
    for name in ("alone", "told"):
        (tmp_path / name).mkdir()
    assert "memory_growth" not in grown(tmp_path / "alone")[1]
    told = Reading(trainable=SIZE // 4), Reading(trainable=7)
    record, found = grown(tmp_path / "told", *told)
    assert record.model is not None
    assert (record.model.trainable_bytes, record.model.printed) == (SIZE, True)
    assert found["memory_growth"].evidence["p_per_step"] == pytest.approx(0.05, rel=0.01)


def test_of_a_small_adapter_what_else_a_process_takes_is_no_growth(tmp_path):
    """100 KB a step beside 8 GB are much for 16,000 parameters, and nothing for the process."""
    assert not grown(tmp_path, Reading(trainable=16_000), rise=100_000)[1]
