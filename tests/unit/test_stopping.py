"""Whether a tool may stop a process while it looks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from observations import DISK, READS, calls, process, sleeps, thread
from still_worlds import number

from harness.stacks.stopping import any_of, why_not


def why(program="trainer", **fields):
    return why_not(process(1, thread(1), thread(7, **fields)), program, "x86_64")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (DISK, "waits in the kernel, and a stop would strike it later"),
        (calls(number("read"), 5, wchan="request_wait_answer"), "does not answer"),
        (calls(number("nanosleep"), wchan="get_signal"), "is frozen"),
        (calls(number("write"), 5), "cut short the write"),
        (calls(number("recvfrom"), 5, 1, 1, 0x100), "cut short the recvfrom"),
        (calls(number("recvfrom"), 5, 1, 1, 0), "end the recvfrom that thread 7 is in"),
        (calls(number("epoll_wait"), 5), "end the epoll_wait that thread 7 is in"),
        (calls(number("semop"), 5), "with an error"),
        (calls(number("rt_sigtimedwait"), 5), "with an error"),
        (calls(number("io_uring_enter"), 5), "with an error"),
        (calls(number("accept"), 5), "with an error"),
    ],
)
def test_a_thread_that_a_stop_would_harm_forbids_it(fields, words):
    assert words in why(**fields)
    assert "7" in why(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        READS,
        sleeps(5.0),
        calls(number("poll"), 5, 1, 2**64 - 1),
        calls(number("msgrcv"), 5),
        calls(number("mq_timedreceive"), 5),
        calls(number("connect"), 5),
        calls(number("wait4"), 5),
        {"state": "R", "syscall": None},
        {"state": "T", "syscall": number("epoll_wait"), "args": (0,) * 6},
        {"state": "S", "syscall": None},
        calls(999),
    ],
)
def test_what_the_kernel_begins_anew_may_be_stopped(fields):
    assert why(**fields) == ""


def test_a_read_from_a_socket_with_a_timeout_of_its_own_ends_with_an_error():
    reads = process(1, thread(7, **calls(number("read"), 5)))
    assert why_not(reads, "trainer", "x86_64") == ""
    assert "end the read that thread 7 is in" in why_not(reads, "trainer", "x86_64", {7})
    # A runtime repeats the call, and knows nothing of the timeout: it waits for all of it again.
    assert why_not(reads, "python3.12", "x86_64") == ""
    assert "begin anew" in why_not(reads, "python3.12", "x86_64", {7})


@pytest.mark.parametrize("call", ["semop", "semtimedop", "io_uring_enter", "io_pgetevents"])
def test_a_call_that_only_an_extension_makes_is_not_repeated_by_its_runtime(call):
    assert "with an error" in why("python3.12", **calls(number(call), 5))


@pytest.mark.parametrize("program", ["python3.12", "python", "node"])
def test_a_runtime_that_repeats_a_call_may_be_stopped_in_it_but_not_in_a_transfer(program):
    for call in ("epoll_wait", "rt_sigtimedwait", "accept", "recvfrom"):
        assert why(program, **calls(number(call), 5)) == ""
    assert why(program, **calls(number("sendmsg"), 5))
    assert why(program, **DISK)


def test_of_several_looks_one_is_enough():
    """The call that it was in comes back: the next one may begin at any moment."""
    waits = process(1, thread(1, **calls(number("epoll_wait"), 5)))
    rests = process(1, thread(1))
    assert any_of([rests, rests], "trainer", "x86_64") == ""
    assert "epoll_wait" in any_of([rests, waits, rests], "trainer", "x86_64")
    assert any_of([], "trainer", "x86_64") == ""


@given(st.integers(-1, 500), st.text(max_size=9))
def test_what_waits_in_the_kernel_is_never_stopped(call, program):
    assert why(program, state="D", syscall=call, args=(0,) * 6)
