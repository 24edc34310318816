"""The answers of a process that is asked for its timers, and which of them are asked for."""

from __future__ import annotations

import pytest

from harness.model.world import Timers
from harness.observe.linux import ask_timer, real_timer

LISTED = "ID: {}\nsignal: 37/0000000000000000\nnotify: {}/pid.{}\nClockID: {}\n"


def test_timers_that_send_no_signal_or_count_cpu_time_are_not_asked_for():
    kinds = [
        ("signal", 0),
        ("thread", 1),
        ("none", 1),
        ("signal", 2),
        ("signal", -6),
        ("signal", 7),
    ]
    text = "".join(
        LISTED.format(number, notify, 4711, clock) for number, (notify, clock) in enumerate(kinds)
    )
    assert ask_timer._timers(text) == [0, 1, 5]
    assert ask_timer._timers("") == []


@pytest.mark.parametrize(
    ("left", "told", "timers"),
    [
        ([0.0], "False", Timers(armed=False)),
        ([34.5], "True 34.5", Timers(armed=True, rings_s=34.5)),
        ([0.0, 12.0, 0.0], "False 12.0", Timers(armed=False, rings_s=12.0)),
        ([9.0, 3.25], "True 3.25", Timers(armed=True, rings_s=3.25)),
        (None, "None", None),
    ],
)
def test_an_answer_says_if_the_interval_timer_is_armed_and_when_the_first_one_rings(
    left, told, timers, monkeypatch
):
    assert ask_timer._told(left) == told
    monkeypatch.setattr(real_timer, "_asked", lambda pids: f"20 {told}\n")
    monkeypatch.setitem(ask_timer.MACHINES, real_timer.platform.machine(), None)
    assert real_timer.timers([20]).get(20) == timers
