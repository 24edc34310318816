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
from harness.detect.deadlock import SPAN_S, deadlock, prove
from harness.model.world import Surroundings

archs = st.sampled_from(["x86_64", "aarch64"])
replace = msgspec.structs.replace


@st.composite
def trees(draw, arch):
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
        threads = [waiting(pid + n, arch, op) for n, op in enumerate(operations)]
        if index in parents[1:] and draw(st.booleans()):
            threads[0] = replace(threads[0], syscall=WAIT4[arch], args=(2**64 - 1, 0, 0, 0, 0, 0))
        ppid = 1 if index == 0 else 100 * (parents[index] + 1)
        processes.append(process(pid, ppid, threads))
    return tuple(processes)


def codes(worlds, arch="x86_64"):
    return {reason.code for reason in prove(worlds, arch)}


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


@given(st.data(), archs)
def test_a_closed_world_in_which_nothing_moves_is_proven(data, arch):
    processes = data.draw(trees(arch))
    order = data.draw(st.permutations(processes))
    assert prove(looks(processes), arch) == ()
    assert prove(looks(tuple(order)), arch) == ()


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


@given(st.data(), archs, st.sampled_from(WAYS_OUT))
def test_any_single_thread_that_may_move_forbids_it(data, arch, way):
    code, changes = way
    processes = data.draw(trees(arch))
    count = sum(len(p.threads) for p in processes)
    index = data.draw(st.integers(0, count - 1))
    if "args" in changes:
        changes = {**changes, "syscall": FUTEX[arch]}
    assert code in codes(looks(with_thread(processes, index, **changes)), arch)


@given(st.data(), archs, st.sampled_from(sorted(CALLS)))
def test_any_call_that_something_outside_can_end_forbids_it(data, arch, call):
    number = {name: n for n, name in syscalls.TABLES[arch].items()}[call]
    processes = data.draw(trees(arch))
    count = sum(len(p.threads) for p in processes)
    index = data.draw(st.integers(0, count - 1))
    changed = with_thread(processes, index, syscall=number, args=(3, 1, 0, 0, 0, 0))
    assert CALLS[call] in codes(looks(changed), arch)


SURROUNDINGS = [
    ("traced", {"tracer": 77}),
    ("signal_pending", {"pending": True}),
    ("timer", {"timers": 1}),
    ("timer", {"alarm": True}),
    ("device", {"devices": ("/dev/nvidia0",)}),
    ("async_io", {"asynchronous": ("anon_inode:[io_uring]",)}),
] + [("unreadable", {name: None}) for name in Surroundings.__struct_fields__]


@given(st.data(), archs, st.sampled_from(SURROUNDINGS))
def test_anything_around_a_process_that_could_wake_it_forbids_it(data, arch, way):
    code, changes = way
    processes = data.draw(trees(arch))
    pid = data.draw(st.sampled_from([p.pid for p in processes]))
    around = {p.pid: ALONE for p in processes}
    around[pid] = replace(ALONE, **changes)
    assert codes(looks(processes, around=around), arch) == {code}


@given(st.data(), archs)
def test_what_moves_between_two_looks_forbids_it(data, arch):
    processes = data.draw(trees(arch))
    count = sum(len(p.threads) for p in processes)
    index = data.draw(st.integers(0, count - 1))
    change = data.draw(
        st.sampled_from([{"cpu_s": 1.51}, {"switches": 41}, {"args": (9, 128, 2, 0, 0, 0)}])
    )
    worlds = looks(processes, count=4)
    place = data.draw(st.integers(0, 3))
    changed = with_thread(processes, index, **change)
    worlds[place] = replace(worlds[place], processes=changed)
    assert "moved" in codes(worlds, arch)


@given(st.data(), archs)
def test_a_thread_or_process_that_comes_or_goes_forbids_it(data, arch):
    processes = data.draw(trees(arch))
    worlds = looks(processes)
    more = process(900, processes[0].pid, [waiting(900, arch)])
    worlds[1] = replace(worlds[1], processes=(*processes, more))
    assert "moved" in codes(worlds, arch)


def test_too_few_looks_or_too_short_a_time_is_too_soon():
    tree = (process(1, 0, [waiting(1, "x86_64")]),)
    assert codes(looks(tree, count=2)) == {"too_soon"}
    assert codes(looks(tree, span=SPAN_S / 2)) == {"too_soon"}
    assert codes([]) == {"unreadable"}
    assert codes(looks(())) == {"unreadable"}


WAITID = {"x86_64": 247, "aarch64": 95}
ANY = 2**64 - 1
ENDED = "Z"


@st.composite
def families(draw, arch):
    """(parent without its wait, its children, some of which have ended)."""
    states = draw(st.lists(st.sampled_from(["S", "S", ENDED]), min_size=1, max_size=5))
    children = [
        process(10 + n, 1, [waiting(10 + n, arch)] if state == "S" else [], state)
        for n, state in enumerate(states)
    ]
    return waiting(1, arch), children


def wait(parent, arch, call, first, second=0, options=0):
    """`parent` in wait4(first) or waitid(first, second)."""
    args = (first, 0, options, 0) if call is WAIT4 else (first, second, 0, options)
    return replace(parent, syscall=call[arch], args=(*args, 0, 0))


def waits_for(data, arch, parent, pid):
    """`parent` in a wait for the child `pid` alone."""
    if data.draw(st.booleans()):
        return wait(parent, arch, WAIT4, pid)
    return wait(parent, arch, WAITID, 1, pid, options=4)


def waits_for_any(data, arch, parent, options=0):
    """`parent` in a wait for which any child may do."""
    first = data.draw(st.sampled_from([ANY, 0xFFFFFFFF, 0, ANY - 4711]))  # -1, a group, a group
    if data.draw(st.booleans()):
        return wait(parent, arch, WAIT4, first, options=options)
    kind, id = data.draw(st.sampled_from([(0, 0), (2, 4711), (3, 5)]))  # P_ALL, P_PGID, P_PIDFD
    return wait(parent, arch, WAITID, kind, id, options=4 | options)


@given(st.data(), archs)
def test_a_wait_for_one_child_is_as_closed_as_that_one_whatever_the_others_are(data, arch):
    parent, children = data.draw(families(arch))
    chosen = data.draw(st.sampled_from(children))
    tree = (process(1, 0, [waits_for(data, arch, parent, chosen.pid)]), *children)
    assert codes(looks(tree), arch) == ({"child"} if chosen.state == ENDED else set())


@given(st.data(), archs)
def test_a_wait_for_any_child_is_as_closed_as_all_of_them(data, arch):
    parent, children = data.draw(families(arch))
    tree = (process(1, 0, [waits_for_any(data, arch, parent)]), *children)
    ended = any(child.state == ENDED for child in children)
    assert codes(looks(tree), arch) == ({"child"} if ended else set())


@given(st.data(), archs)
def test_a_wait_for_a_child_that_is_not_seen_forbids_it(data, arch):
    parent, children = data.draw(families(arch))
    tree = (process(1, 0, [waits_for(data, arch, parent, 99)]), *children)
    assert codes(looks(tree), arch) == {"child"}
    alone = (process(1, 0, [waits_for_any(data, arch, parent)]),)
    assert codes(looks(alone), arch) == {"child"}


@given(st.data(), archs)
def test_a_look_for_children_that_does_not_block_is_no_wait(data, arch):
    parent, children = data.draw(families(arch))
    tree = (process(1, 0, [waits_for_any(data, arch, parent, options=1)]), *children)
    assert codes(looks(tree), arch) == {"running"}


@given(st.data(), archs)
def test_a_child_that_may_move_is_told_whoever_waits_for_it(data, arch):
    parent, children = data.draw(families(arch))
    runs = process(50, 1, [replace(waiting(50, arch), state="R")])
    how = data.draw(st.sampled_from([waits_for_any, lambda *a: waits_for(*a, children[0].pid)]))
    tree = (process(1, 0, [how(data, arch, parent)]), *children, runs)
    assert "running" in codes(looks(tree), arch)


def test_a_zombie_that_nobody_waits_for_changes_nothing():
    tree = (process(1, 0, [waiting(1, "x86_64")]), process(2, 1, [], state="Z"))
    assert codes(looks(tree)) == set()


def test_a_tree_that_has_ended_is_not_hung():
    assert codes(looks((process(1, 0, [], state="Z"),))) == {"ended"}
    ended = replace(waiting(1, "x86_64"), state="Z", syscall=None, args=())
    assert codes(looks((process(1, 0, [ended], state="Z"),))) == {"ended"}
    tree = (process(1, 0, [], state="Z"), process(2, 1, [waiting(2, "x86_64")]))
    assert codes(looks(tree)) == {"ended"}


@given(st.data(), archs)
def test_a_process_whose_main_thread_alone_has_ended_is_alive(data, arch):
    processes = list(data.draw(trees(arch)))
    index = data.draw(st.integers(0, len(processes) - 1))
    one = processes[index]
    ended = replace(waiting(one.pid, arch), state="Z", syscall=None, args=())
    left = replace(one, state="Z", threads=(ended, waiting(one.pid + 50, arch)))
    processes[index] = left
    assert "main_thread_ended" in codes(looks(tuple(processes)), arch)
    processes[index] = replace(left, threads=(ended,))
    # The first one's end is the tree's; another's may be what a parent waits for.
    found = codes(looks(tuple(processes)), arch)
    assert found == {"ended"} if index == 0 else found <= {"child"}


def test_processes_without_readable_threads_or_surroundings_are_unknown_not_dead():
    tree = (process(1, 0, []),)
    assert codes(looks(tree)) == {"unreadable"}
    tree = (process(1, 0, [waiting(1, "x86_64")]),)
    assert codes(looks(tree, around={2: ALONE})) == {"unreadable"}


def test_a_machine_whose_calls_are_not_known_proves_nothing():
    tree = (process(1, 0, [waiting(1, "x86_64")]),)
    assert codes(looks(tree), "riscv64") == {"machine"}


@given(st.data(), archs, st.sets(st.integers(1000, 1010)))
def test_a_child_that_is_hidden_may_end_and_signal_its_parent(data, arch, hidden):
    worlds = looks(data.draw(trees(arch)))
    worlds[-1] = replace(worlds[-1], unseen=tuple(hidden))
    assert codes(worlds, arch) == ({"unreadable"} if hidden else set())


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_every_call_that_is_judged_has_its_number(arch):
    names = set(syscalls.TABLES[arch].values())
    assert names >= set(CALLS) | {"futex", "futex_wait", "wait4", "waitid"}
    assert len(names) == len(syscalls.TABLES[arch])


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_select_on_no_file_is_a_timed_wait(arch):
    sleeper = replace(waiting(1, arch), syscall=SELECT[arch], args=(0, 0, 0, 0, 0x7FFC, 0))
    assert codes(looks((process(1, 0, [sleeper]),)), arch) == {"timed_wait"}


def told(*processes, arch="x86_64"):
    return deadlock(looks(processes), "in phase forward of step 3", arch)


def test_the_cause_says_who_waits_for_whom():
    one, two = waiting(1, "x86_64"), waiting(2, "x86_64")
    zombie = process(9, 1, [replace(waiting(9, "x86_64"), state="Z", syscall=None, args=())], "Z")
    place = "deadlock in phase forward of step 3: "
    alone = told(process(1, 0, [one]), zombie)
    assert alone.summary == place + "its only thread waits for what only that thread could do"
    both = "2 threads of {} can only be woken by one another, and nothing else can end it"
    assert told(process(1, 0, [one, two])).summary == place + both.format("one process")
    family = told(process(1, 0, [one]), process(2, 1, [two]), zombie)
    assert family.summary == place + both.format("2 processes")


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_the_cause_names_each_threads_call(arch):
    parent = waiting(1, arch)
    waits = (
        parent,
        wait(parent, arch, WAIT4, 4711),
        wait(parent, arch, WAIT4, ANY),
        wait(parent, arch, WAITID, 1, 4711),
        wait(parent, arch, WAITID, 0),
    )
    threads = told(process(1, 0, waits), arch=arch).evidence["threads"]
    assert [one["waits_in"] for one in threads] == [
        "futex 0x7f00",
        "wait4 of process 4711",
        "wait4 of any child",
        "waitid of process 4711",
        "waitid of any child",
    ]
