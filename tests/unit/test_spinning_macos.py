"""Loops as `sample` shows them: the functions of the interpreter, and those of Python at best."""

from __future__ import annotations

import msgspec
import pytest
from observations import SPIN, busy, seen

from harness.detect.policy import LOG_POLICY, STANDARD, Policy
from harness.detect.spinning import (
    Inspection,
    inspect,
    may_spin,
    may_work,
    spins,
)
from harness.model.world import More
from harness.observe import platform
from harness.observe.macos.platform import MacOS
from harness.stacks.joined import joined
from harness.stacks.parse import parse
from harness.supervise import loops

replace = msgspec.structs.replace
EVAL = "_PyEval_EvalFrameDefault  (in Python)"
LOOP = {(EVAL,): 12, (EVAL, "PyObject_IsTrue  (in Python)"): 8}
"""What the looks of one capture see of a loop: paths from the outermost function on."""
UNKNOWN = {(EVAL, "???  (in libpython3.14.dylib)  load address 0x1 + 0x20"): 20}
DIGEST, OTHER = "ab" * 16, "cd" * 16


def sampled(ways, python=("look", "step"), digest=DIGEST):
    """One capture of a process with one thread; `python`: what it tells of itself, innermost
    first."""
    lines = [
        "Call graph:",
        "    20 Thread_1: Main Thread   DispatchQueue_1",
        "    + 20 start  (in dyld) + 1",
    ]
    for path, looks in ways.items():
        lines += [
            f"    + {'  ' * (1 + depth)}{looks} {name} + 8  [0x1]"
            for depth, name in enumerate(path)
        ]
    threads = parse("sample", "\n".join(lines), 1)
    if not python:
        return threads
    text = "Current thread 0x10 (most recent call first):\n"
    text += "".join(
        f'  File "/home/me/train.py", line 7 in {name}\n' for name in (*python, "<module>")
    )
    text += f"Variables of thread 0x10: {digest}\n" if digest else ""
    return joined(threads, parse("faulthandler", text, 1), {})


def observed(*captures, calls=5, one=SPIN):
    """A process that uses the CPU while these captures are taken."""
    found = seen(one, later=(busy(one),), stacks={1: captures}, shows_waits=False)
    counts = iter((5, 5, 5, 5, 5, calls))
    windows = tuple(
        tuple(
            replace(look, more={1: More(started=1, minor_faults=0, calls=next(counts))})
            for look in window
        )
        for window in found.windows
    )
    return replace(found, windows=windows)


@pytest.fixture
def mac(monkeypatch):
    """This machine is a Mac, as far as the inspection asks."""
    monkeypatch.setattr(platform, "current", lambda: MacOS("darwin", "arm64"))


def history(mac, made, times, policy=None):
    return [replace(loops.inspect(made, policy), t=t) for t in times]


def test_a_worker_that_stays_in_its_functions_with_the_same_variables_is_in_a_loop(mac):
    every = history(mac, observed(sampled(LOOP), sampled(LOOP)), (0.0, 5.0))
    assert spins(every, Policy()) == {1: "train.py:7 in look"}
    assert may_spin(every[:1])


@pytest.mark.parametrize(
    "captures",
    [
        (sampled(LOOP), sampled(LOOP, digest=OTHER)),
        (sampled(LOOP, digest=""), sampled(LOOP, digest="")),
        (sampled({(EVAL, "list_sort  (in Python)"): 20}),) * 2,
        (sampled(UNKNOWN),) * 2,
    ],
    ids=["change", "untold", "call", "unknown"],
)  # fmt: skip
def test_one_that_may_work_is_believed_for_minutes(mac, captures):
    made = observed(*captures)
    assert spins(history(mac, made, (0.0, 5.0, STANDARD.call_believed_s - 1)), Policy()) == {}
    assert spins(history(mac, made, (0.0, 5.0, STANDARD.call_believed_s)), Policy()) != {}
    assert not may_spin(history(mac, made, (0.0,)))


@pytest.mark.parametrize(
    "captures",
    [
        (sampled(LOOP), sampled(LOOP, python=("other", "step"))),
        (sampled({(EVAL, "f  (in a.so)"): 10, (EVAL, "g  (in a.so)"): 10}),) * 2,
    ],
    ids=["functions", "places"],
)  # fmt: skip
def test_one_that_goes_elsewhere_stays_nowhere(captures):
    assert inspect(observed(*captures)).stays == {}


def test_a_program_whose_lines_are_not_seen_is_believed_for_half_an_hour(mac):
    made = observed(sampled(LOOP, python=()), sampled(LOOP, python=()))
    (stay,) = inspect(made).stays.values()
    assert (stay.unseen, stay.where) == (True, "Python, in lines that are not seen")
    wanted = LOG_POLICY.unseen_loop_s
    assert spins(history(mac, made, (0.0, 600.0, wanted - 1)), LOG_POLICY) == {}
    assert spins(history(mac, made, (0.0, 600.0, wanted)), LOG_POLICY) == {1: stay.where}
    # It may be anywhere: one inspection more would tell nothing.
    assert not may_spin([Inspection(t=0.0, stays={1: stay})])


@pytest.mark.parametrize("calls", [6, None])
def test_it_works_if_it_calls_the_kernel_or_that_is_not_counted(calls):
    made = observed(sampled(LOOP, python=()), sampled(LOOP, python=()), calls=calls)
    assert inspect(made).stays == {}
    # Where its functions are seen, that does not matter.
    assert inspect(observed(sampled(LOOP), sampled(LOOP), calls=calls)).stays != {}


YIELD = ("os_sched_yield  (in Python)", "sched_yield  (in libsystem_pthread.dylib)",
         "swtch_pri  (in libsystem_kernel.dylib)")  # fmt: skip
TURN = ("take_gil  (in Python)", "__psynch_cvwait  (in libsystem_kernel.dylib)")


def test_who_does_nothing_but_yield_is_in_a_loop_and_believed_for_half_an_hour(mac):
    ways = {(EVAL, *YIELD): 14, (EVAL, *TURN): 4, (EVAL,): 2}
    made = observed(*(sampled(ways, python=()),) * 2, calls=99)
    every = history(mac, made, (0.0, 5.0))
    assert spins(every, LOG_POLICY) == {1: "swtch_pri"}
    assert may_work(every) == {1: STANDARD.yield_believed_s - 5.0}
    assert may_spin(every[:1])


@pytest.mark.parametrize(
    "ways",
    [
        {(EVAL, *YIELD): 14, (EVAL,): 6},
        {(EVAL, *YIELD): 19, (EVAL, "long_mul  (in Python)"): 1},
        {(EVAL, *TURN): 20, (EVAL,): 1},
    ],
    ids=["computes", "calls", "never"],
)
def test_who_does_more_between_works(ways):
    assert inspect(observed(*(sampled(ways, python=()),) * 2, calls=99)).stays == {}
