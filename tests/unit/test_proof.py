"""The proof on made-up worlds: any single way out forbids it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from still_worlds import (
    ALONE,
    FUTEX,
    WAIT4,
    WAIT_BITSET_PRIVATE_REALTIME,
    WAIT_PRIVATE,
    looks,
    process,
    waiting,
)

from harness import syscalls
from harness.proof import SPAN_S, Surroundings, prove

machines = st.sampled_from(["x86_64", "aarch64"])
replace = msgspec.structs.replace


@st.composite
def trees(draw, machine):
    """A dead tree: processes whose threads wait for futexes, some of them for their children."""
    count = draw(st.integers(1, 4))
    parents = [0] + [draw(st.integers(0, i - 1)) for i in range(1, count)]
    processes = []
    for index in range(count):
        pid = 100 * (index + 1)
        operations = draw(
            st.lists(
                st.sampled_from([WAIT_PRIVATE, WAIT_BITSET_PRIVATE_REALTIME]),
                min_size=1,
                max_size=4,
            )
        )
        threads = [waiting(pid + n, machine, op) for n, op in enumerate(operations)]
        if index in parents[1:] and draw(st.booleans()):
            threads[0] = replace(
                threads[0], syscall=WAIT4[machine], args=(2**64 - 1, 0, 0, 0, 0, 0)
            )
        ppid = 1 if index == 0 else 100 * (parents[index] + 1)
        processes.append(process(pid, ppid, threads))
    return tuple(processes)


def codes(worlds, machine="x86_64"):
    return {reason.code for reason in prove(worlds, machine)}


def with_thread(processes, index, **changes):
    """`processes` with the thread at `index`, counted through all of them, changed."""
    made = []
    for one in processes:
        threads = list(one.threads)
        if 0 <= index < len(threads):
            threads[index] = replace(threads[index], **changes)
        index -= len(one.threads)
        made.append(replace(one, threads=tuple(threads)))
    return tuple(made)


@given(st.data(), machines)
def test_a_closed_world_in_which_nothing_moves_is_proven(data, machine):
    processes = data.draw(trees(machine))
    order = data.draw(st.permutations(processes))
    assert prove(looks(processes), machine) == ()
    assert prove(looks(tuple(order)), machine) == ()


WAYS_OUT = [
    ("running", {"state": "R"}),
    ("uninterruptible", {"state": "D"}),
    ("stopped", {"state": "T"}),
    ("traced", {"state": "t"}),
    ("unreadable", {"syscall": None}),
    ("unreadable", {"switches": None}),
    ("unknown_wait", {"syscall": -1}),
    ("unknown_wait", {"syscall": 999}),
    ("timed_wait", {"args": (1, WAIT_PRIVATE, 2, 0x7FFC, 0, 0)}),
    ("shared_futex", {"args": (1, 0, 2, 0, 0, 0)}),
    ("unknown_wait", {"args": (1, 6 | 128, 2, 0, 0, 0)}),
    ("unreadable", {"args": ()}),
]
SELECT = {"x86_64": 270, "aarch64": 72}
CALLS = {
    "nanosleep": "timed_wait",
    "clock_nanosleep": "timed_wait",
    "restart_syscall": "timed_wait",
    "read": "io",
    "write": "io",
    "recvfrom": "io",
    "accept": "io",
    "connect": "io",
    "ioctl": "io",
    "io_uring_enter": "io",
    "ppoll": "poll",
    "pselect6": "poll",
    "epoll_pwait": "poll",
    "rt_sigsuspend": "signal_wait",
    "rt_sigtimedwait": "signal_wait",
    "futex_waitv": "shared_futex",
}


@given(st.data(), machines, st.sampled_from(WAYS_OUT))
def test_any_single_thread_that_may_move_forbids_it(data, machine, way):
    code, changes = way
    processes = data.draw(trees(machine))
    count = sum(len(p.threads) for p in processes)
    index = data.draw(st.integers(0, count - 1))
    if "args" in changes:
        changes = {**changes, "syscall": FUTEX[machine]}
    assert code in codes(looks(with_thread(processes, index, **changes)), machine)


@given(st.data(), machines, st.sampled_from(sorted(CALLS)))
def test_any_call_that_something_outside_can_end_forbids_it(data, machine, call):
    number = {name: n for n, name in syscalls.TABLES[machine].items()}[call]
    processes = data.draw(trees(machine))
    count = sum(len(p.threads) for p in processes)
    index = data.draw(st.integers(0, count - 1))
    changed = with_thread(processes, index, syscall=number, args=(3, 1, 0, 0, 0, 0))
    assert CALLS[call] in codes(looks(changed), machine)


SURROUNDINGS = [
    ("traced", {"tracer": 77}),
    ("signal_pending", {"pending": True}),
    ("timer", {"timers": 1}),
    ("timer", {"alarm": True}),
    ("device", {"devices": ("/dev/nvidia0",)}),
    ("async_io", {"asynchronous": ("anon_inode:[io_uring]",)}),
] + [("unreadable", {name: None}) for name in Surroundings.__struct_fields__]


@given(st.data(), machines, st.sampled_from(SURROUNDINGS))
def test_anything_around_a_process_that_could_wake_it_forbids_it(data, machine, way):
    code, changes = way
    processes = data.draw(trees(machine))
    pid = data.draw(st.sampled_from([p.pid for p in processes]))
    around = {p.pid: ALONE for p in processes}
    around[pid] = replace(ALONE, **changes)
    assert codes(looks(processes, around=around), machine) == {code}


@given(st.data(), machines)
def test_what_moves_between_two_looks_forbids_it(data, machine):
    processes = data.draw(trees(machine))
    count = sum(len(p.threads) for p in processes)
    index = data.draw(st.integers(0, count - 1))
    change = data.draw(
        st.sampled_from([{"cpu_s": 1.51}, {"switches": 41}, {"args": (9, 128, 2, 0, 0, 0)}])
    )
    worlds = looks(processes, count=4)
    place = data.draw(st.integers(0, 3))
    changed = with_thread(processes, index, **change)
    worlds[place] = replace(worlds[place], processes=changed)
    assert "moved" in codes(worlds, machine)


@given(st.data(), machines)
def test_a_thread_or_process_that_comes_or_goes_forbids_it(data, machine):
    processes = data.draw(trees(machine))
    worlds = looks(processes)
    more = process(900, processes[0].pid, [waiting(900, machine)])
    worlds[1] = replace(worlds[1], processes=(*processes, more))
    assert "moved" in codes(worlds, machine)


def test_too_few_looks_or_too_short_a_time_is_too_soon():
    tree = (process(1, 0, [waiting(1, "x86_64")]),)
    assert codes(looks(tree, count=2)) == {"too_soon"}
    assert codes(looks(tree, span=SPAN_S / 2)) == {"too_soon"}
    assert codes([]) == {"unreadable"}
    assert codes(looks(())) == {"unreadable"}


def waits_for_child(options=0, children=("S",)):
    parent = replace(waiting(1, "x86_64"), syscall=61, args=(2**64 - 1, 0, options, 0, 0, 0))
    tree = [process(1, 0, [parent])]
    tree += [
        process(10 + n, 1, [waiting(10 + n, "x86_64")] if state == "S" else [], state)
        for n, state in enumerate(children)
    ]
    return looks(tuple(tree))


def test_a_wait_for_children_is_as_closed_as_they_are():
    assert codes(waits_for_child()) == set()
    assert codes(waits_for_child(options=1)) == {"running"}
    assert codes(waits_for_child(children=())) == {"child"}
    assert codes(waits_for_child(children=("S", "Z"))) == {"child"}


def test_a_zombie_that_nobody_waits_for_changes_nothing():
    tree = (process(1, 0, [waiting(1, "x86_64")]), process(2, 1, [], state="Z"))
    assert codes(looks(tree)) == set()


def test_a_tree_that_has_ended_is_not_hung():
    assert codes(looks((process(1, 0, [], state="Z"),))) == {"ended"}
    ended = replace(waiting(1, "x86_64"), state="Z", syscall=None, args=())
    assert codes(looks((process(1, 0, [ended], state="Z"),))) == {"ended"}
    tree = (process(1, 0, [], state="Z"), process(2, 1, [waiting(2, "x86_64")]))
    assert codes(looks(tree)) == {"ended"}


def test_a_process_whose_main_thread_alone_has_ended_is_alive():
    ended = replace(waiting(2, "x86_64"), state="Z", syscall=None, args=())
    left = process(2, 1, [ended, waiting(3, "x86_64")], state="Z")
    assert codes(looks((process(1, 0, [waiting(1, "x86_64")]), left))) == {"main_thread_ended"}
    assert "main_thread_ended" in codes(looks((left,)))


def test_processes_without_readable_threads_or_surroundings_are_unknown_not_dead():
    tree = (process(1, 0, []),)
    assert codes(looks(tree)) == {"unreadable"}
    tree = (process(1, 0, [waiting(1, "x86_64")]),)
    assert codes(looks(tree, around={2: ALONE})) == {"unreadable"}


def test_a_machine_whose_calls_are_not_known_proves_nothing():
    tree = (process(1, 0, [waiting(1, "x86_64")]),)
    assert codes(looks(tree), "riscv64") == {"machine"}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_call_that_is_judged_has_its_number(machine):
    names = set(syscalls.TABLES[machine].values())
    assert names >= set(CALLS) | {"futex", "futex_wait", "wait4", "waitid"}
    assert len(names) == len(syscalls.TABLES[machine])


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_select_on_no_file_is_a_timed_wait(machine):
    sleeper = replace(waiting(1, machine), syscall=SELECT[machine], args=(0, 0, 0, 0, 0x7FFC, 0))
    assert codes(looks((process(1, 0, [sleeper]),)), machine) == {"timed_wait"}
