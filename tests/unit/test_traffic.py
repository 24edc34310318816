"""What exchanges data, on made-up worlds: it is told from what is dead and from what polls."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from still_worlds import FUTEX, WAIT4, looks, process, waiting

from harness import syscalls
from harness.detect.sleeping import timed_poll
from harness.detect.transfers import OFTEN, flows

archs = st.sampled_from(["x86_64", "aarch64"])
replace = msgspec.structs.replace
SPAN = 0.5
"""Of three looks, two intervals of a quarter of a second."""
MANY = int(OFTEN)


def call(name, arch):
    return {n: number for number, n in syscalls.TABLES[arch].items()}[name]


def exchanging(tid, arch, name="recvfrom", args=(3, 0, 0, 0, 0, 0), **changes):
    return replace(waiting(tid, arch), syscall=call(name, arch), args=args, **changes)


def woken(threads, wakes, beside=()):
    """Three looks at process 1, whose `threads` are switched in so often between two."""
    worlds = looks((process(1, 0, [*threads, *beside]),), span=SPAN)
    return [
        replace(
            world,
            processes=(
                process(1, 0, [*(replace(t, switches=40 + i * wakes) for t in threads), *beside]),
            ),
        )
        for i, world in enumerate(worlds)
    ]


@given(archs, st.sampled_from(["recvfrom", "recvmsg", "read", "sendto", "epoll_pwait"]))
def test_a_main_thread_that_is_given_data_goes_on(arch, name):
    main = exchanging(1, arch, name, args=(3, 0, 0, 2**64 - 1, 0, 0))
    worlds = woken([main], 1, beside=[waiting(2, arch)])
    assert flows(worlds, arch, still=True)
    assert not flows(worlds[:2], arch, still=True)
    assert not flows(woken([main], 0), arch, still=True)


@given(archs, st.integers(0, 100))
def test_what_is_no_exchange_may_be_woken_as_often_as_it_likes(arch, wakes):
    names = ("futex", "clock_nanosleep", "wait4", "rt_sigtimedwait", "flock", "ioctl")
    for name in names:
        assert not flows(woken([exchanging(1, arch, name)], wakes), arch, still=True)


@given(archs, st.floats(0.0, 100.0))
def test_what_its_own_timeout_may_have_woken_has_been_given_nothing(arch, timeout):
    polls = exchanging(1, arch, "ppoll", args=(1, 1, 0x7FFC, 0, 0, 0), wakes_in=timeout)
    assert flows(woken([polls], 1), arch, still=True) == (timeout > SPAN)
    unknown = replace(polls, wakes_in=None)
    assert not flows(woken([unknown], 1), arch, still=True)


@given(archs, st.integers(0, 200))
def test_beside_the_main_thread_a_trickle_is_no_progress(arch, wakes):
    worlds = woken([exchanging(2, arch)], wakes, beside=[waiting(1, arch)])
    often = wakes > OFTEN * SPAN / 2
    assert flows(worlds, arch, still=True) == often
    # Nor is it one of the main thread where the CPU is used: who looks at it wakes it as well.
    assert flows(woken([exchanging(1, arch)], wakes), arch, still=False) == often


def test_it_may_be_at_work_on_what_came_at_a_look_but_not_at_all_of_them():
    main = exchanging(1, "x86_64")
    runs = replace(main, state="R", syscall=None, args=())
    for states, found in (("RSR", True), ("SSR", True), ("SRS", False), ("RRR", False)):
        worlds = [
            replace(
                world,
                processes=(
                    process(1, 0, [replace(main if s == "S" else runs, switches=40 + MANY * i)]),
                ),
            )
            for i, (s, world) in enumerate(
                zip(states, looks((process(1, 0, [main]),)), strict=True)
            )
        ]
        assert flows(worlds, "x86_64", still=False) == found, states
    stuck = woken([replace(main, state="D")], MANY)
    assert not flows(stuck, "x86_64", still=True)


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_a_shell_goes_on_as_its_child_does_and_nobody_elses_counts(arch):
    def family(parent_call, ppid):
        parent = replace(waiting(1, arch), syscall=parent_call, args=(2**64 - 1, 0, 0, 0, 0, 0))
        worlds = looks((process(1, 0, [parent]), process(2, ppid, [exchanging(2, arch)])))
        return [
            replace(
                world,
                processes=(
                    world.processes[0],
                    process(2, ppid, [exchanging(2, arch, switches=40 + i * wakes)]),
                ),
            )
            for i, world in enumerate(worlds)
        ]

    wakes = 1
    assert flows(family(WAIT4[arch], 1), arch, still=True)
    # One that it does not wait for may be a helper that keeps a connection alive.
    assert not flows(family(FUTEX[arch], 1), arch, still=True)
    wakes = MANY
    assert flows(family(FUTEX[arch], 1), arch, still=True)
    assert not flows(family(WAIT4[arch], 77), arch, still=True)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_polls_timeout_is_an_int_whatever_else_its_register_holds(above, below):
    thread = exchanging(1, "x86_64", "poll", args=(1, 1, above << 32 | below, 0, 0, 0))
    assert timed_poll(thread, "x86_64") == (0 < below < 1 << 31)
