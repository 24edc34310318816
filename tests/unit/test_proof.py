"""The proof on made-up worlds: any single way out forbids it, and what lives beside it does not."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from still_worlds import (
    ALONE,
    ANY_CHILD,
    FUTEX,
    WAIT4,
    WAIT_BITSET_PRIVATE_REALTIME,
    WAIT_PRIVATE,
    WAIT_SHARED,
    WAITID,
    in_call,
    known,
    looks,
    number,
    process,
    waiting,
)

from harness import syscalls
from harness.detect import deadlock
from harness.detect.chain.closure import at_sight, closed, prove
from harness.detect.chain.links import Node
from harness.detect.policy import STANDARD
from harness.model.world import Futex, Link, Surroundings

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
            threads[0] = replace(threads[0], syscall=WAIT4[arch], args=ANY_CHILD)
        ppid = 1 if index == 0 else 100 * (parents[index] + 1)
        processes.append(process(pid, ppid, threads))
    return tuple(processes)


def codes(worlds, arch="x86_64", **relations):
    """Why the whole tree is not proven dead; empty when it is."""
    return {reason.code for reason in prove(worlds, known(arch, **relations))}


def codes_of(start, worlds, arch="x86_64", **relations):
    """Why the thread `start` is not proven dead, whatever lives beside it."""
    return {reason.code for reason in closed([start], worlds, known(arch, **relations))}


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
    assert codes(looks(processes), arch) == set()
    assert (
        codes(looks((processes[0], *(one for one in order if one != processes[0]))), arch) == set()
    )


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
    ("timed_wait", {"wakes_in": 3.0}),
    ("frozen", {"wchan": "get_signal"}),
    ("frozen", {"wchan": "__refrigerator"}),
]


@given(st.data(), archs, st.sampled_from(WAYS_OUT))
def test_what_is_against_it_at_sight_is_against_it_with_all_else_known(data, arch, way):
    processes = data.draw(trees(arch))
    every = sum(len(one.threads) for one in processes)
    changed = with_thread(processes, data.draw(st.integers(0, every - 1)), **way[1])
    worlds = looks(changed)
    found = at_sight(worlds[-1], arch)
    if found is not None:
        assert found[1].code in codes(worlds, arch)
    if way[0] in ("running", "uninterruptible", "stopped", "traced"):
        assert found is not None


def test_two_thousand_threads_are_proven_in_no_time():
    """Each of them might be woken by any other: that is asked of the process, and not of each."""
    worlds = looks((process(1, 0, [waiting(1 + n) for n in range(2000)]),))
    began = time.process_time()
    assert codes(worlds) == set()
    assert time.process_time() - began < 0.5


FOR_EVER = 0
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
    processes = data.draw(trees(arch))
    count = sum(len(p.threads) for p in processes)
    index = data.draw(st.integers(0, count - 1))
    changed = with_thread(
        processes, index, syscall=number(call, arch), args=(3, 1, FOR_EVER, 0, 0, 0)
    )
    assert CALLS[call] in codes(looks(changed), arch)


@pytest.mark.parametrize("wchan", ["", None, "do_epoll_wait"])
def test_a_futex_is_waited_in_where_the_kernel_says_so(wchan):
    thread = replace(waiting(1), wchan=wchan)
    assert codes(looks((process(1, 0, [thread]),))) == {"frozen"}
    inherits = replace(thread, wchan="rt_mutex_schedule")
    assert codes(looks((process(1, 0, [inherits]),))) == set()


SURROUNDINGS = [
    ("traced", {"tracer": 77}),
    ("signal_pending", {"pending": True}),
    ("timer", {"timers": 1}),
    ("timer", {"alarm": True}),
    ("device", {"devices": ("/dev/nvidia0",)}),
    ("async_io", {"asynchronous": ("anon_inode:[io_uring]",)}),
    ("signal_handler", {"handlers": ("SIGUSR1",)}),
] + [
    # Whether a timer is armed matters of a process that another one waits for: see below.
    ("unreadable", {name: None})
    for name in Surroundings.__struct_fields__
    if name != "alarm"
]


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
    # What the last look shows is judged by itself: another call would be another wait.
    place = data.draw(st.integers(0, 2 if "args" in change else 3))
    changed = with_thread(processes, index, **change)
    worlds[place] = replace(worlds[place], processes=changed)
    assert "moved" in codes(worlds, arch)


@given(st.data(), archs, st.integers(1, 2))
def test_a_thread_or_process_that_came_between_the_looks_forbids_it(data, arch, before):
    processes = data.draw(trees(arch))
    child = process(900, processes[0].pid, [waiting(900, arch)])
    with_one_more = (*processes, child)
    beside = replace(processes[0], threads=(*processes[0].threads, waiting(199, arch)))
    for later in (with_one_more, (beside, *processes[1:])):
        worlds = looks(later)
        worlds[:before] = looks(processes)[:before]
        assert "moved" in codes(worlds, arch)


def test_too_few_looks_or_too_short_a_time_is_too_soon():
    tree = (process(1, 0, [waiting(1, "x86_64")]),)
    assert codes(looks(tree, count=2)) == {"too_soon"}
    assert codes(looks(tree, span=STANDARD.proof_s / 2)) == {"too_soon"}
    assert codes([]) == {"unreadable"}
    assert codes(looks(())) == {"unreadable"}


ANY = ANY_CHILD[0]
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
    sleeper = in_call(1, "pselect6", 0, 0, 0, 0, 0x7FFC, arch=arch)
    assert codes(looks((process(1, 0, [sleeper]),)), arch) == {"timed_wait"}


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_the_evidence_names_each_threads_call(arch):
    parent = waiting(1, arch)
    waits = (
        parent,
        wait(parent, arch, WAIT4, 4711),
        wait(parent, arch, WAIT4, ANY),
        wait(parent, arch, WAITID, 1, 4711),
        wait(parent, arch, WAITID, 0),
    )
    worlds = looks((process(1, 0, waits), process(9, 1, [waiting(9, arch)], "Z")))
    told = deadlock.shown(worlds, arch)
    assert (told["looks"], told["span_s"]) == (len(worlds), STANDARD.proof_s)
    assert [one["waits_in"] for one in told["threads"]] == [
        "futex 0x7f00",
        "wait4 of process 4711",
        "wait4 of any child",
        "waitid of process 4711",
        "waitid of any child",
    ]


# --- a part of a tree, beside threads and processes that live -------------------------------------

MAIN, LOADER, BEAT, CHILD = Node(1, 1), Node(1, 2), Node(1, 3), Node(20, 20)
BEATS = in_call(3, "clock_nanosleep", 1, 1, 0x7FFC)
PIPE = Link(told="a pipe", kind="pipe")


def mutex(owner):
    return Futex(kind="mutex", owner=owner, sharers=(1,))


def test_a_cycle_of_mutexes_beside_a_heartbeat_is_proven():
    worlds = looks((process(1, 0, [waiting(1), waiting(2), BEATS]),))
    futexes = {1: mutex(2), 2: mutex(1)}
    assert codes_of(MAIN, worlds, futexes=futexes) == set()
    assert codes_of(LOADER, worlds, futexes=futexes) == set()
    assert codes(worlds, futexes=futexes) == {"timed_wait"}, "of the whole tree that is not true"


def test_a_mutex_whose_owner_lives_or_is_not_seen_is_not_proven():
    worlds = looks((process(1, 0, [waiting(1), waiting(2), BEATS]),))
    assert codes_of(MAIN, worlds, futexes={1: mutex(3)}) == {"timed_wait"}
    assert codes_of(MAIN, worlds, futexes={1: mutex(77)}) == {"owner"}


def test_a_mutex_that_a_thread_waits_for_and_has_itself_may_be_a_signal_of_another():
    """glibc lets any thread unlock it."""
    beats = looks((process(1, 0, [waiting(1), waiting(2), BEATS]),))
    assert codes_of(MAIN, beats, futexes={1: mutex(1)}) == {"timed_wait"}
    assert codes_of(LOADER, beats, futexes={2: mutex(1), 1: mutex(1)}) == {"timed_wait"}
    dead = looks((process(1, 0, [waiting(1), waiting(2)]),))
    assert codes_of(MAIN, dead, futexes={1: mutex(1)}) == set()


@pytest.mark.parametrize("kind", ["private", "rlock"])
def test_a_lock_that_any_thread_may_release_is_as_closed_as_its_process(kind):
    futexes = {1: Futex(kind=kind, owner=None if kind == "private" else 2)}
    dead = looks((process(1, 0, [waiting(1), waiting(2)]),))
    assert codes_of(MAIN, dead, futexes=futexes) == set()
    beats = looks((process(1, 0, [waiting(1), waiting(2), BEATS]),))
    assert codes_of(MAIN, beats, futexes=futexes) == {"timed_wait"}


def test_who_joins_a_thread_that_is_dead_is_dead():
    joins = waiting(1, operation=WAIT_SHARED)
    futexes = {1: Futex(kind="join", owner=2), 2: mutex(4), 4: mutex(2)}
    rest = [waiting(4), BEATS]
    worlds = looks((process(1, 0, [joins, waiting(2), *rest]),))
    assert codes_of(MAIN, worlds, futexes=futexes) == set()
    lives = looks((process(1, 0, [joins, replace(waiting(2), state="R"), *rest]),))
    assert codes_of(MAIN, lives, futexes=futexes) == {"running"}


SHARED = waiting(1, operation=WAIT_SHARED)
OURS = {"kind": "shared", "sharers": (1, 20)}


@pytest.mark.parametrize(
    ("futex", "code"),
    [
        (OURS, None),
        ({**OURS, "complete": False}, "shared_futex"),
        ({**OURS, "sharers": (1, 20, 99)}, "shared_futex"),
        ({**OURS, "sharers": (1,)}, None),  # all others are gone
        ({**OURS, "sharers": (1,), "complete": False}, "shared_futex"),
        ({"kind": "private", "sharers": (1,)}, None),
        ({"kind": "private", "sharers": (1, 20)}, "shared_futex"),
        ({"kind": "private", "sharers": (1,), "complete": False}, "shared_futex"),
        ({"kind": "vector", "sharers": (1,)}, "shared_futex"),
    ],
)
def test_a_shared_futex_is_closed_when_all_that_can_have_it_are_known(futex, code):
    call = "futex_waitv" if futex["kind"] == "vector" else "futex"
    main = replace(SHARED, syscall=number(call))
    family = (process(1, 0, [main]), process(20, 1, [waiting(20)]))
    assert codes_of(MAIN, looks(family), futexes={1: Futex(**futex)}) == ({code} if code else set())


@pytest.mark.parametrize("kind", ["mutex", "robust", "pi_mutex"])
def test_a_robust_lock_is_handed_over_when_any_thread_ends_the_process_of_its_owner(kind):
    """A watchdog beside the owner may do so. A plain mutex stays locked for ever."""
    family = (process(1, 0, [SHARED]), process(20, 1, [waiting(20), waiting(21), BEATS]))
    futexes = {1: Futex(kind=kind, owner=20, sharers=(1, 20)), 20: mutex(21), 21: mutex(20)}
    found = codes_of(MAIN, looks(family), futexes=futexes)
    assert found == (set() if kind == "mutex" else {"timed_wait"})


def test_another_operation_on_a_futex_of_ones_own_is_not_known_to_end_so():
    futex = Futex(kind="private", sharers=(1,))
    main = replace(SHARED, args=(SHARED.args[0], 11, *SHARED.args[2:]))
    assert codes_of(MAIN, looks((process(1, 0, [main]),)), futexes={1: futex}) == {"unknown_wait"}


def test_a_process_that_shares_the_futex_and_lives_forbids_it():
    family = (process(1, 0, [SHARED]), process(20, 1, [in_call(20, "nanosleep")]))
    assert codes_of(MAIN, looks(family), futexes={1: Futex(**OURS)}) == {"timed_wait"}


def reads(tid, **fields):
    return in_call(tid, "read", 5, **fields)


def piped(**peers):
    """By thread `t1` its link to the processes that hold the other end of its pipe."""
    return {
        int(tid[1:]): (replace(PIPE, peers=pids, only_own=not pids),) for tid, pids in peers.items()
    }


def test_two_processes_that_read_from_one_another_are_dead_beside_a_third_that_lives():
    family = (process(1, 0, [reads(1)]), process(20, 1, [reads(20)]), process(30, 1, [BEATS]))
    links = piped(t1=(20,), t20=(1,))
    assert codes_of(MAIN, looks(family), links=links) == set()
    assert codes_of(CHILD, looks(family), links=links) == set()
    assert codes_of(MAIN, looks(family), links=piped(t1=(20, 30), t20=(1,))) == {"timed_wait"}


def test_who_reads_from_itself_is_as_closed_as_its_own_threads():
    alone = looks((process(1, 0, [reads(1)]),))
    assert codes_of(MAIN, alone, links=piped(t1=())) == set()
    beside = looks((process(1, 0, [reads(1), BEATS]),))
    assert codes_of(MAIN, beside, links=piped(t1=())) == {"timed_wait"}


@pytest.mark.parametrize(
    "change",
    [
        {"complete": False},
        {"reopenable": True},
        {"kind": "fifo"},
        {"kind": "tcp"},
        {"kind": "terminal", "person": True},
        {"kind": "timerfd"},
        {"kind": "signalfd"},
        {"kind": "other"},
        {"peers": (20, 99)},
        {"queued": 12},
    ],
    ids=str,
)
def test_a_file_whose_other_end_others_may_hold_forbids_it(change):
    family = (process(1, 0, [reads(1)]), process(20, 1, [reads(20)]))
    links = piped(t1=(20,), t20=(1,))
    links[1] = (replace(links[1][0], **change),)
    assert codes_of(MAIN, looks(family), links=links) == {"io"}
    # So it does beside a pipe that is closed.
    polls = (process(1, 0, [in_call(1, "poll", 0x7F00, 2, ANY)]), family[1])
    links[1] = (*piped(t1=(20,))[1], *links[1])
    assert codes_of(MAIN, looks(polls), links=links) == {"poll"}


@pytest.mark.parametrize(("timed", "code"), [(False, None), (True, "timed_wait"), (None, "io")])
def test_a_socket_may_have_a_timeout_that_no_system_call_shows(timed, code):
    link = Link(told="a local socket", kind="local_socket", only_own=True, timed=timed)
    alone = looks((process(1, 0, [reads(1)]),))
    assert codes_of(MAIN, alone, links={1: (link,)}) == ({code} if code else set())


def test_a_file_of_which_nothing_is_known_forbids_it():
    assert codes_of(MAIN, looks((process(1, 0, [reads(1)]),))) == {"io"}


POLLS = {
    "poll": (0x7F00, 1, ANY),
    "ppoll": (0x7F00, 1, 0),
    "select": (6, 0x7F00, 0, 0, 0),
    "pselect6": (6, 0x7F00, 0, 0, 0),
    "epoll_wait": (4, 0x7F00, 1, 0xFFFFFFFF),
    "epoll_pwait": (4, 0x7F00, 1, ANY),
    "epoll_pwait2": (4, 0x7F00, 1, 0),
}
TIMEOUT_AT = {"poll": 2, "ppoll": 2, "select": 4, "pselect6": 4, "epoll_wait": 3,
              "epoll_pwait": 3, "epoll_pwait2": 3}  # fmt: skip


@pytest.mark.parametrize("call", POLLS)
def test_a_poll_is_closed_as_its_files_are_unless_it_has_a_timeout(call):
    args = list(POLLS[call])
    family = (process(1, 0, [in_call(1, call, *args)]), process(20, 1, [reads(20)]))
    links = piped(t1=(20,), t20=(1,))
    assert codes_of(MAIN, looks(family), links=links) == set()
    args[TIMEOUT_AT[call]] = 30_000
    timed = (process(1, 0, [in_call(1, call, *args)]), family[1])
    assert codes_of(MAIN, looks(timed), links=links) == {"timed_wait"}


def test_a_wait_for_a_process_by_its_pidfd_is_as_closed_as_that_one():
    parent = process(1, 0, [in_call(1, "poll", 0x7F00, 1, ANY)])
    links = {1: (Link(told="the end of process 20", kind="pidfd", peers=(20,)),)}
    for child, expected in (
        (process(20, 1, [waiting(20)]), set()),
        (process(20, 1, [BEATS]), {"timed_wait"}),
        (process(20, 1, [], ENDED), {"poll"}),
        (process(21, 1, [waiting(21)]), {"poll"}),
    ):
        assert codes_of(MAIN, looks((parent, child)), links=links) == expected


def test_a_child_beside_which_another_one_lives_is_waited_for_in_vain():
    """The loader and its parent are dead, whatever the monitor does."""
    parent = wait(waiting(1), "x86_64", WAIT4, 20)
    monitor = process(30, 1, [in_call(30, "clock_nanosleep", 1, 1, 0x7FFC)])
    family = (process(1, 0, [parent]), process(20, 1, [waiting(20)]), monitor)
    assert codes_of(MAIN, looks(family)) == set()
    any_child = replace(parent, args=ANY_CHILD)
    assert codes_of(MAIN, looks((process(1, 0, [any_child]), *family[1:]))) == {"timed_wait"}


def test_memory_that_a_living_child_may_share_forbids_it():
    family = (process(1, 0, [waiting(1)]), process(20, 1, [BEATS]))
    assert codes_of(MAIN, looks(family)) == set()
    assert codes_of(MAIN, looks(family), shares=frozenset({20})) == {"shared_memory"}
    assert codes(looks(family[:1]), shares=frozenset({1})) == {"shared_memory"}


def test_a_thread_that_lives_may_start_a_child_for_who_waits_for_any():
    """It ends, and so does the wait; of a wait for one child that is not true."""
    child = process(20, 1, [waiting(20)])
    for wanted, expected in ((ANY, {"timed_wait"}), (20, set())):
        parent = wait(waiting(1), "x86_64", WAIT4, wanted)
        family = (process(1, 0, [parent, BEATS]), child)
        assert codes_of(MAIN, looks(family)) == expected


def test_the_end_of_a_child_wakes_who_has_a_handler_for_it():
    """It may release what the parent waits for; so may the end of a child that is yet to start."""
    around = {1: replace(ALONE, child_handler=True), 20: ALONE}
    alive = process(20, 1, [in_call(20, "clock_nanosleep", 1, 1, 0x7FFC)])
    dead = process(20, 1, [waiting(20)])
    main = [waiting(1)]
    for threads, child, expected in (
        (main, alive, {"timed_wait"}),
        (main, dead, set()),
        ([*main, BEATS], dead, {"timed_wait"}),
    ):
        worlds = looks((process(1, 0, threads), child), around=around)
        futexes = {1: mutex(1)}
        assert codes_of(MAIN, worlds, futexes=futexes) == expected
    asked = looks((process(1, 0, main), dead), around={**around, 20: replace(ALONE, alarm=None)})
    assert codes_of(MAIN, asked) == {"timer_unknown"}


def test_a_thread_that_is_not_seen_is_not_proven():
    worlds = looks((process(1, 0, [waiting(1)]),))
    assert codes_of(Node(1, 9), worlds) == {"unreadable"}
    assert codes_of(Node(9, 9), worlds) == {"unreadable"}
