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


@pytest.mark.parametrize(
    ("number", "result", "anew"),
    [(45, -512, True), (45, -4, True), (45, 7, False), (2**64 - 1, -4, False)],
)
def test_a_call_is_made_anew_where_only_the_stop_has_ended_it(number, result, anew):
    """A handler of a signal that has just returned leaves the result alone, and no call."""
    machine = ask_timer.MACHINES["x86_64"]
    registers = [0] * machine.size
    registers[machine.pc], registers[machine.result] = 0x1002, result % 2**64
    registers[ask_timer._ORIGINAL] = number
    found = ask_timer._Tracer(1, machine)._made_anew(registers, returns=0x1002)
    assert (found is not None) is anew
    if found:
        assert (found[machine.pc], found[machine.number]) == (0x1000, number)


def test_where_posix_timers_are_not_listed_the_interval_timer_is_still_asked_for(tmp_path):
    """As on a kernel without CONFIG_CHECKPOINT_RESTORE."""
    assert ask_timer._listed(str(tmp_path / "timers")) == []
    (tmp_path / "timers").write_text(LISTED.format(3, "signal", 4711, 1))
    assert ask_timer._listed(str(tmp_path / "timers")) == [3]
