"""Who ended a process, and how its end is told."""

from __future__ import annotations

import pytest
from records import INFO, make, settings

from harness.analysis import death
from harness.analysis.classify import classify
from harness.death.code_table import CODES
from harness.model import Ending, Outcome, Position
from harness.model.death import DeadChild, EndFacts, KernelWord, Kind, LastWords, Limits

GB = 1 << 30
KILL = KernelWord(kind="oom_kill", pid=7, name="python", text="with 4 GiB in use", of_group=True)
WORDS = LastWords(kind=Kind.EXCEPTION, text="ValueError: x", place="a.py:3 in f", uncaught=True)


def ended(**fields):
    facts = {name: fields.pop(name) for name in list(fields) if name in EndFacts.__struct_fields__}
    return Ending(wall_s=9.0, facts=EndFacts(pid=7, **facts), **fields)


def told(record=None, command=True, **fields):
    return classify(record or make(steps=0, end=False), ended(**fields), INFO,
                    None if command else settings(10))  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"kernel": (KILL,)}, "oom_killer", "ended it, with 4 GiB in use, for the memory"),
        ({"group_kills": 1}, "oom_killer", "for the memory of its control group was full"),
        ({"group_kills": 0, "oom_kills": 3}, "unknown", "from outside, by whom is not known"),
        ({"oom_kills": 3}, "oom_killer", "was active while it ran"),
        ({"jetsam": "the machine had too few free pages"}, "jetsam", "(jetsam): the machine had"),
        ({"cpu_s": 60.0, "limits": Limits(cpu_s=60)}, "cpu_limit", "limit of 1 m"),
        ({"cpu_s": 0.7, "limits": Limits(cpu_s=1)}, "cpu_limit", "limit of 1 s"),
        ({"cpu_s": 10.0, "limits": Limits(cpu_s=60)}, "unknown", "by whom is not known"),
        ({}, "unknown", "by whom is not known"),
    ],
)  # fmt: skip
def test_who_killed_it(fields, code, says):
    found = death.killer(ended(signal="SIGKILL", **fields))
    assert found is not None
    assert found.code == code
    assert says in found.told


@pytest.mark.parametrize(("kills", "says"), [(1, "of its control group"), (None, "while it ran")])
def test_the_kill_of_what_it_had_started_is_told_as_far_as_it_was_seen(kills, says):
    other = KernelWord(kind="oom_kill", pid=8, name="python", text="")
    found = death.killer(ended(exit_code=5, group_kills=kills, oom_kills=1, kernel=(other,)))
    assert found is not None
    assert found.code == "oom_killer"
    assert found.told.endswith(f"had ended process 8 (python) {says}")


def test_a_kill_of_another_process_is_not_its_own():
    other = KernelWord(kind="oom_kill", pid=8, name="python", text="")
    assert death.killer(ended(signal="SIGKILL", group_kills=0, kernel=(other,))).code == "unknown"


@pytest.mark.parametrize(
    ("signal", "code"),
    [("SIGXCPU", "cpu_limit"), ("SIGXFSZ", "file_limit"), ("SIGPIPE", "broken_pipe"),
     ("SIGTERM", "unknown"), ("SIGHUP", "unknown"), ("SIGINT", "unknown")],
)  # fmt: skip
def test_other_signals(signal, code):
    assert death.killer(ended(signal=signal)).code == code


@pytest.mark.parametrize(
    ("peak", "signal", "near"),
    [(0.96, "SIGSEGV", True), (0.94, "SIGSEGV", False), (0.99, "SIGABRT", True),
     (0.99, "SIGKILL", False)],
)  # fmt: skip
def test_a_crash_near_the_limit_of_the_addresses_is_out_of_memory(peak, signal, near):
    limit = 4 * GB
    found = death.killer(
        ended(signal=signal, limits=Limits(address_space=limit), address_peak=int(peak * limit))
    )
    assert (found is not None and found.code == "address_limit") is near
    if near:
        assert "out of memory" in found.told


def test_a_fault_as_the_kernel_tells_it():
    word = KernelWord(kind="fault", pid=7, name="a", text="its stack was used up, in a+0x12")
    assert death.killer(ended(signal="SIGSEGV", kernel=(word,))).code == "stack"
    assert death.killer(ended(signal="SIGSEGV")) is None


def test_the_reason_of_a_command_is_its_exception():
    result = told(exit_code=1, words=WORDS)
    assert result.outcome is Outcome.CRASHED
    assert result.reason == "ValueError: x, at a.py:3 in f"
    at = told(make(steps=3, end=False), exit_code=1, words=WORDS, position=Position(3, "eval", 3.0))
    assert at.reason == "ValueError: x, at a.py:3 in f (in step 3, phase eval)"


def test_an_exit_code_stays_where_the_words_are_not_those_of_the_end():
    line = LastWords(kind=Kind.LINE, text="no such option")
    assert told(exit_code=2, words=line).reason == (
        "exited with code 2: its last line was: no such option"
    )
    other = LastWords(kind=Kind.EXCEPTION, text="E: y", who="thread loader")
    assert (
        told(exit_code=4, other=other).reason == "exited with code 4: its thread loader raised E: y"
    )
    assert told(exit_code=4).reason == "exited with code 4"


def test_a_shell_says_by_which_signal():
    assert "stands for SIGKILL" in told(exit_code=137).reason
    assert told(exit_code=200).reason == "exited with code 200"


def test_a_time_that_was_over():
    assert told(exit_code=124, timed=True).reason == (
        "exited with code 124: timeout ended it, for its time was over"
    )
    assert told(exit_code=124).reason == "exited with code 124"


def test_a_child_that_nobody_asked_for():
    child = DeadChild(pid=9, name="loader", code=-11)
    result = told(exit_code=8, children=(child,))
    assert result.reason == (
        "exited with code 8: its child, process 9 (loader), was killed by SIGSEGV and nobody "
        "asked for it"
    )
    (found,) = (one for one in result.findings if one.code == "child_died")
    assert found.severity == "warning"


@pytest.mark.parametrize("code", [-15, -9, -1, -2, -13])
def test_children_that_a_program_ends_itself_are_ordinary(code):
    result = told(make(), exit_code=0, children=(DeadChild(pid=9, name="", code=code),))
    assert result.outcome is Outcome.COMPLETED
    assert {one.severity for one in result.findings if one.code == "child_died"} == {"info"}


def test_a_known_error_has_the_memory_at_that_time():
    row = next(row for row in CODES if row.code == "metal_out_of_memory")
    result = told(make(), exit_code=1, words=WORDS, error=row, line="x", rss_peak=GB)
    (found,) = (one for one in result.findings if one.code == "known_error")
    assert found.evidence["error"] == "metal_out_of_memory"
    assert found.evidence["cure"] == row.cure
    assert found.evidence["source"].startswith("https://")
    assert found.evidence["RSS_peak_bytes"] == GB
    assert found.evidence["active_bytes"] > 0
    assert "RSS peak 1 GiB" in found.summary


def test_what_died_after_its_program_had_ended():
    result = told(signal="SIGSEGV", over=True)
    assert "died_at_exit" in {one.code for one in result.findings}
    assert "its program had come to its end" in result.reason


@pytest.mark.parametrize("how", [{"over_budget": True}, {"interrupted": True}])
def test_what_we_have_ended_has_no_cause_of_death(how):
    findings = list(death.find(make(), ended(signal="SIGTERM", **how)))
    assert findings == []


def test_an_exception_of_a_worker_has_its_line():
    record = make(steps=2, end=False)
    trace = (
        'Traceback (most recent call last):\n  File "/s/mine.py", line 4, in step\n    x\nE: y\n'
    )
    assert death.place(trace) == "mine.py:4 in step"
    assert death.place("") == ""
    assert record.error is None
