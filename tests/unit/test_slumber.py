"""What only sleeps, on made-up worlds: it is told from what polls and from what is stuck."""

from __future__ import annotations

import msgspec
import pytest
from still_worlds import WAIT_BITSET_PRIVATE_REALTIME, looks, process, waiting

from harness.detect.sleeping import asleep, polls, wakes_in

SELECT = {"x86_64": 270, "aarch64": 72}
replace = msgspec.structs.replace

SLEEPS = [
    (230, (0, 1, 0x7FFC, 0, 0, 0)),
    (202, (0x7F00, WAIT_BITSET_PRIVATE_REALTIME, 0, 0x7FFC, 0, 0)),
    (7, (1, 1, 60_000, 0, 0, 0)),
    (270, (4, 1, 0, 0, 0x7FFC, 0)),
]


@pytest.mark.parametrize(("call", "args"), SLEEPS)
def test_a_single_timed_wait_is_sleep_and_a_poll_loop_is_not(call, args):
    sleeper = replace(waiting(1, "x86_64"), syscall=call, args=args)
    worlds = looks((process(1, 0, [sleeper, waiting(2, "x86_64")]),))
    assert asleep(worlds, "x86_64")
    woken = (process(1, 0, [replace(sleeper, switches=41), waiting(2, "x86_64")]),)
    assert not asleep([*worlds[:2], replace(worlds[2], processes=woken)], "x86_64")
    assert not asleep(worlds[:2], "x86_64")


def test_an_untimed_wait_is_not_sleep_whatever_another_thread_does():
    sleeper = replace(waiting(2, "x86_64"), syscall=230, args=(0, 1, 0x7FFC, 0, 0, 0))
    for call, args in ((202, (1, 128, 2, 0, 0, 0)), (7, (1, 1, 2**64 - 1, 0, 0, 0)), (0, (3,))):
        main = replace(waiting(1, "x86_64"), syscall=call, args=args)
        assert not asleep(looks((process(1, 0, [main, sleeper]),)), "x86_64")


def test_a_parent_sleeps_as_its_children_do():
    parent = replace(waiting(1, "x86_64"), syscall=61, args=(2**64 - 1, 0, 0, 0, 0, 0))
    child = replace(waiting(2, "x86_64"), syscall=230, args=(0, 0, 0x7FFC, 0, 0, 0))
    assert asleep(looks((process(1, 0, [parent]), process(2, 1, [child]))), "x86_64")
    assert not asleep(looks((process(1, 0, [parent]),)), "x86_64")
    stuck = waiting(3, "x86_64")
    family = (process(1, 0, [parent]), process(2, 1, [child]), process(3, 1, [stuck]))
    assert not asleep(looks(family), "x86_64")


def test_a_sleep_ends_when_it_says_or_when_a_childs_does():
    sleeper = replace(
        waiting(1, "x86_64"), syscall=230, args=(0, 0, 0x7FFC, 0, 0, 0), wakes_in=12.0
    )
    (look, *_) = looks((process(1, 0, [sleeper]),))
    assert wakes_in(look, "x86_64") == 12.0
    parent = replace(waiting(9, "x86_64"), syscall=61, args=(2**64 - 1, 0, 0, 0, 0, 0))
    other = replace(sleeper, tid=2, wakes_in=7.0)
    family = (process(9, 0, [parent]), process(1, 9, [sleeper]), process(2, 9, [other]))
    assert wakes_in(looks(family)[0], "x86_64") == 7.0
    unknown = (*family[:2], process(2, 9, [replace(other, wakes_in=None)]))
    assert wakes_in(looks(unknown)[0], "x86_64") is None


def test_who_is_switched_in_and_out_polls():
    before = looks((process(1, 0, [waiting(1, "x86_64")]),))
    assert not polls(before)
    assert not polls(before[:1])
    woken = (process(1, 0, [replace(waiting(1, "x86_64"), switches=41)]),)
    assert polls([*before[:2], replace(before[2], processes=woken)])


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_select_on_no_file_is_a_sleep(arch):
    sleeper = replace(waiting(1, arch), syscall=SELECT[arch], args=(0, 0, 0, 0, 0x7FFC, 0))
    assert asleep(looks((process(1, 0, [sleeper]),)), arch)
