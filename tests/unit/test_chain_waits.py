"""What a thread waits for, row by row of the table in docs/internals/wait-chains.md."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from observations import (
    ALONE,
    DISK,
    PAUSE,
    READS,
    RUNNING,
    SHARED,
    awaits,
    busy,
    calls,
    process,
    seen,
    sleeps,
    stack,
    thread,
)
from still_worlds import number

from harness.detect.chain import gpus
from harness.detect.chain.facts import Facts
from harness.detect.chain.follow import follow
from harness.detect.chain.links import Ends, Node
from harness.detect.chain.waits import wait_of
from harness.detect.deadlock import awaited
from harness.detect.observation import Doings
from harness.detect.policy import Policy
from harness.detect.tree import judge_tree
from harness.detect.verdicts import Answer
from harness.model import Machine
from harness.model.world import Futex, GpuUse, Link, More
from harness.stacks.parse.frames import Frame, Gil

MAIN, OTHER = Node(1, 1), Node(1, 2)
replace = msgspec.structs.replace


def wait(found, node=MAIN):
    return wait_of(node, Facts(found))


KNOWN_BESIDE = ("links", "futexes", "rearmed", "doings")


def alone(**fields):
    """The wait of the only thread of a process, and beside it what else is known."""
    beside = {name: fields.pop(name) for name in KNOWN_BESIDE if name in fields}
    return wait(seen(process(1, thread(1, **fields)), **beside))


def kinds(found):
    return [end.kind for end in found.ends]


def stacks(*names, tid=1, **fields):
    """One capture of the stack of thread `tid`, and of no other."""
    return {1: ((replace(stack(*names, tid=tid, main=tid == 1), **fields),),)}


# --- it runs -------------------------------------------------------------------------------------


def test_what_runs_works_and_waits_for_nobody():
    found = alone(**RUNNING)
    assert (found.code, found.on, kinds(found)) == ("run", (), [Ends.WORKS])


def test_so_does_what_has_used_the_cpu_whatever_it_does_at_the_last_look():
    one = process(1, thread(1))
    found = wait(seen(one, later=(busy(one),)))
    assert kinds(found) == [Ends.WORKS]
    assert found.detail == "uses 50 % of a core"
    assert kinds(wait(seen(one, later=(busy(one, 0.01),)))) != [Ends.WORKS]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("MPI_Allreduce", "py:step"), Ends.PEERS),
        (("mlx::core::distributed::ring::RingGroup::all_reduce", "py:step"), Ends.PEERS),
        (("ncclAllReduce", "py:step"), Ends.PEERS),
        (("mlx::core::distributed::SocketThread::worker",), Ends.IDLE),
    ],
)
def test_what_spins_in_a_transport_does_not_work(names, kind):
    one = process(1, thread(1, **RUNNING))
    found = wait(seen(one, later=(busy(one),), stacks=stacks(*names)))
    assert kinds(found) == [kind]
    assert "spins" in found.detail


def test_a_thread_that_was_long_enough_in_one_place_spins():
    one = process(1, thread(1, **RUNNING))
    found = wait(seen(one, later=(busy(one),), spins={1: "train.py:7 in step"}))
    assert kinds(found) == [Ends.SPINS]
    assert not found.ends[0].sure


# --- clocks --------------------------------------------------------------------------------------


def test_a_sleep_waits_for_the_clock():
    found = alone(**sleeps(12.0))
    assert (found.code, kinds(found), found.ends[0].left_s) == ("sleep", [Ends.CLOCK], 12.0)


def test_select_on_no_file_is_a_sleep():
    assert alone(**calls(number("select"), 0, 0, 0, 0, 0x7FFC)).code == "sleep"


@pytest.mark.parametrize("left", [3601.0, 86_400.0])
def test_a_clock_that_rings_in_hours_is_no_end_that_can_be_waited_for(left):
    assert kinds(alone(**sleeps(left))) == [Ends.UNKNOWN]
    assert Policy().believed_s < left


def test_a_wait_with_a_timeout_has_two_ends():
    link = Link(told="a socket", kind="tcp", remote="10.0.0.5:443")
    found = alone(**READS, wakes_in=30.0, links={1: (link,)})
    assert kinds(found) == [Ends.NETWORK, Ends.CLOCK]
    assert found.ends[1].left_s == 30.0


def test_a_clock_that_is_armed_again_and_again_polls():
    for call in (sleeps(1.0), {"wakes_in": 1.0}):
        found = alone(**call, rearmed={1: 3})
        assert found.code == "poll"
        assert Ends.POLLS in kinds(found)
        assert Ends.CLOCK not in kinds(found)
        assert found.detail == "looks for something again and again every 1 s"
        assert not found.known
        assert alone(**call, rearmed={1: 2}).code != "poll"


PERIODS = {
    "its clock ends its waits": (1.0, Doings(seconds=9.0, wakes=9, armed=9), "1 s"),
    "it waits more often than it is looked at": (
        *(0.1, Doings(seconds=9.0, wakes=90, armed=9), "100 ms"),
    ),
    "others end its waits": (29.0, Doings(seconds=8.0, wakes=4, armed=4), "2 s"),
    "the tools wake it too": (9.0, Doings(seconds=80.0, wakes=40, armed=4), "20 s"),
    "the tools alone have waked it": (5.0, Doings(seconds=3.0, wakes=5, armed=0), "5 s"),
    "it was seen to wait once": (29.0, Doings(seconds=8.0, wakes=1, armed=1), "29 s"),
    "there is less left of its clock": (0.4, Doings(seconds=9.0, wakes=9, armed=9), "1 s"),
    "its clock is not followed": (1.0, Doings(seconds=9.0, wakes=3), "3 s"),
}


@pytest.mark.parametrize(("left", "did", "told"), PERIODS.values(), ids=PERIODS)
def test_a_poll_is_told_with_the_time_between_its_waits(left, did, told):
    # The clocks of before the first inspection say nothing of the time since then.
    found = alone(**sleeps(left), rearmed={1: 20}, doings={1: did})
    assert found.detail == f"looks for something again and again every {told}"


def test_what_was_armed_before_a_wait_without_a_clock_is_over():
    found = alone(rearmed={1: 9})
    assert (found.code, kinds(found)) == ("futex", [Ends.DEAD])


def test_who_polls_looks_for_what_its_threads_and_children_do():
    parent = process(1, thread(1, **sleeps(1.0)), thread(2))
    child = process(5, thread(5), ppid=1)
    found = wait(seen(parent, child, rearmed={1: 9}))
    assert set(found.on) == {OTHER, Node(5, 5)}


@pytest.mark.parametrize(
    ("slept", "left", "kind"), [(0, 19.0, Ends.CLOCK), (0, 0.1, Ends.CLOCK), (9, 0.1, Ends.POLLS)]
)
def test_who_was_switched_without_waiting_does_not_poll(slept, left, kind):
    """It worked when it was first looked at, on a loaded machine, and sleeps once since then."""
    one = process(1, thread(1, **sleeps(20.0)))
    found = seen(one, later=(replace(one, threads=(thread(1, **sleeps(left), switches=60),)),))
    window = found.windows[-1]
    counts = zip(window, [0] * (len(window) - 1) + [slept], strict=True)
    looks = tuple(replace(look, more={1: More(sleeps={1: count})}) for look, count in counts)
    assert kinds(wait(replace(found, windows=(*found.windows[:-1], looks)))) == [kind]


TIMED = {"wakes_in": 15.0}


@pytest.mark.parametrize(
    ("fields", "counts", "kind"),
    [
        (sleeps(15.0), (0, 60, 60, 60), Ends.CLOCK),
        (sleeps(15.0), (0, 0, 0, 60), Ends.CLOCK),
        (sleeps(0.1), (0, 60, 60, 60), Ends.POLLS),
        (TIMED, (0, 60, 60, 60), Ends.CLOCK),
        (TIMED, (0, 60, 60, 61), Ends.POLLS),  # others end its waits, again and again
    ],
)
def test_who_has_waked_before_its_one_long_wait_does_not_poll(fields, counts, kind):
    """It waited for the interpreter's lock 60 times while another thread had it, and sleeps."""
    one = process(1, thread(1, **fields))
    found = seen(one)
    windows = tuple(
        tuple(
            replace(look, more={1: More(started=1, sleeps={1: last if place else first})})
            for place, look in enumerate(window)
        )
        for window, first, last in zip(found.windows, counts[::2], counts[1::2], strict=True)
    )
    assert kind in kinds(wait(replace(found, windows=windows)))


def test_who_wakes_often_and_uses_the_cpu_works():
    one = process(1, thread(1, **sleeps(1.0)))
    found = wait(seen(one, later=(busy(one),), rearmed={1: 9}))
    assert kinds(found) == [Ends.WORKS]


@pytest.mark.parametrize(("queued", "kind"), [(0.0, Ends.POLLS), (1.6, Ends.WORKS)])
def test_who_would_use_the_cpu_if_others_left_it_one_works(queued, kind):
    """0.2 of a core while it stands in the queue for four fifths of the time is a whole one."""
    one = process(1, thread(1, **sleeps(1.0)))
    found = seen(one, later=(busy(one, 0.4),), rearmed={1: 9})
    windows = tuple(
        tuple(
            replace(look, more={1: More(started=1, queued={1: queued if last else 0.0})})
            for look, last in ((window[0], False), (window[-1], True))
        )
        for window in found.windows
    )
    assert kind in kinds(wait(replace(found, windows=windows)))


def test_who_is_woken_in_a_futex_again_and_again_looks_for_something():
    one = process(1, thread(1), thread(2))
    later = replace(one, threads=(thread(1, switches=60), thread(2)))
    found = wait(seen(one, later=(later,)))
    assert kinds(found) == [Ends.POLLS]
    assert found.on == (OTHER,)


# --- locks ---------------------------------------------------------------------------------------


def test_the_5_ms_of_the_gil_are_no_clock():
    """Its holder is waited for, where that is known, and else whoever has a stack."""
    one = process(1, thread(1, wakes_in=0.005), thread(2, **RUNNING), thread(3))
    wants = replace(stack("take_gil", "py:step"), gil=Gil.WAITS)
    holds = replace(stack("py:compute", tid=2, main=False), gil=Gil.HOLDS)
    capture = ((wants, holds),)
    found = wait(seen(one, stacks={1: capture}, rearmed={1: 99}))
    assert (found.code, found.on, found.known, found.ends) == ("gil", (OTHER,), True, ())
    unknown = ((wants, replace(holds, gil=None)),)
    found = wait(seen(one, stacks={1: unknown}))
    assert (found.on, found.known) == ((OTHER,), False)


OWNED = {
    "mutex": "mutex",
    "pi_mutex": "mutex",
    "robust": "mutex",
    "rlock": "mutex",
    "join": "join",
}


@pytest.mark.parametrize(("kind", "code"), OWNED.items())
def test_a_lock_with_an_owner_waits_for_it_and_a_join_for_the_thread(kind, code):
    one = process(1, thread(1), thread(2, name="loader"), thread(3))
    found = wait(seen(one, futexes={1: Futex(kind=kind, owner=2)}))
    assert (found.code, found.on, found.known) == (code, (OTHER,), True)
    assert "thread loader" in found.detail


def test_an_owner_in_another_process_is_found():
    family = (process(1, thread(1, **SHARED)), process(5, thread(5), ppid=1))
    found = wait(seen(*family, futexes={1: Futex(kind="mutex", owner=5, sharers=(1, 5))}))
    assert found.on == (Node(5, 5),)


def test_an_owner_that_has_ended_is_a_dead_end():
    found = alone(futexes={1: Futex(kind="mutex", owner=77)})
    assert (found.code, kinds(found)) == ("mutex", [Ends.DEAD])


def test_a_lock_without_an_owner_waits_for_any_thread_that_has_work():
    one = process(1, thread(1), thread(2), thread(3))
    idle = stack("pthread_cond_wait", "thread.py:_worker", tid=3, main=False)
    captures = {1: ((stack("sem_wait", "py:step"), stack("py:load", tid=2, main=False), idle),)}
    found = wait(seen(one, stacks=captures))
    assert (found.on, found.known, found.ends) == ((OTHER,), False, ())


def test_a_lock_of_a_process_without_another_thread_is_a_dead_end():
    assert kinds(alone()) == [Ends.DEAD]


@pytest.mark.parametrize("runs", ["thread.py:_worker", "process.py:wait_result_broken_or_wakeup"])
def test_a_future_waits_for_the_threads_of_executors(runs):
    one = process(1, thread(1), thread(2), thread(3))
    result = stack("sem_wait", "_base.py:result", "py:step")
    worker = stack("read", "py:load", runs, tid=3, main=False)
    beside = stack("read", "py:listen", tid=2, main=False)
    found = wait(seen(one, stacks={1: ((result, beside, worker),)}))
    assert (found.code, found.on, found.known) == ("future", (Node(1, 3),), True)


def test_a_shared_semaphore_waits_for_who_maps_it():
    family = (process(1, thread(1, **SHARED)), process(5, thread(5), ppid=1))
    futex = Futex(kind="shared", sharers=(1, 5, 99))
    found = wait(seen(*family, futexes={1: futex}))
    assert (found.code, found.on, found.known) == ("shared_lock", (Node(5, 5),), False)
    assert [(end.kind, "process 99" in end.detail) for end in found.ends] == [(Ends.PROGRAM, True)]


def test_a_shared_semaphore_that_no_other_process_has_any_more_is_a_dead_end():
    futex = Futex(kind="shared", sharers=(1,))
    found = wait(seen(process(1, thread(1, **SHARED)), futexes={1: futex}))
    assert found.detail == "waits for a semaphore or lock that processes share"
    assert kinds(found) == [Ends.DEAD]


def test_a_shared_semaphore_that_a_program_may_map_by_its_name_waits_for_that_program():
    """Nothing shows that there is one, so that it is no good end."""
    futex = Futex(kind="shared", sharers=(1,), complete=False)
    found = seen(process(1, thread(1, **SHARED)), futexes={1: futex})
    chain = follow([MAIN], Facts(found))
    assert (chain.end.kind, chain.end.seen) == (Ends.PROGRAM, False)
    assert "only another program that maps this memory" in chain.describe()
    assert judge_tree(found).processes[0].good is False
    beside = seen(process(1, thread(1, **SHARED), thread(2, **READS)), futexes={1: futex})
    assert follow([MAIN], Facts(beside)).end.kind is not Ends.PROGRAM


@pytest.mark.parametrize(
    ("handlers", "kind", "told"),
    [
        (("SIGTERM", "SIGUSR1"), Ends.OUTSIDE, "only its handler for SIGUSR1 could end that wait"),
        (("SIGRTMIN+6",), Ends.OUTSIDE, "only its handler for SIGRTMIN+6 could end that wait"),
        (("SIGTERM",), Ends.DEAD, "its process has no other thread"),
        (None, Ends.DEAD, "its process has no other thread"),
    ],
)
def test_a_lock_that_only_a_handler_could_release_waits_for_a_signal(handlers, kind, told):
    """Many programs have such a handler, and few wait for it: it is no good end."""
    found = seen(process(1), around=replace(ALONE, handlers=handlers))
    chain = follow([MAIN], Facts(found))
    assert (chain.end.kind, chain.end.seen) == (kind, kind is Ends.DEAD)
    assert chain.describe().endswith(told)
    one = judge_tree(found).processes[0]
    assert (one.answer, one.good) == (Answer.STALLED, False)


def test_a_worker_beside_comes_before_a_signal_that_nobody_may_send():
    around = replace(ALONE, handlers=("SIGUSR1",))
    found = seen(process(1), process(20, thread(20, **sleeps(12.0)), ppid=1), around=around)
    assert follow([MAIN], Facts(found)).end.kind is Ends.CLOCK


@pytest.mark.parametrize(
    "names",
    [("pthread_cond_wait", "mlx::core::distributed::ring::send", "py:step")],
)
def test_a_thread_that_is_blocked_in_a_collective_waits_for_its_peers(names):
    found = wait(seen(process(1, thread(1), thread(2)), stacks=stacks(*names)))
    assert (found.code, kinds(found), found.on) == ("collective", [Ends.PEERS], (OTHER,))


# --- files ---------------------------------------------------------------------------------------


def linked(*links, **fields):
    return alone(**{**READS, **fields}, links={1: links})


def link(kind, **fields):
    return Link(told=f"a {kind}", kind=kind, **fields)


@pytest.mark.parametrize("kind", ["pipe", "local_socket", "eventfd", "tcp", "pidfd", "lock"])
def test_a_file_waits_for_who_holds_its_other_end(kind):
    family = (process(1, thread(1, **READS)), process(5, thread(5), ppid=1))
    found = wait(seen(*family, links={1: (link(kind, peers=(5,)),)}))
    assert (found.code, found.on, found.known, found.ends) == (kind, (Node(5, 5),), True, ())
    told = {"lock": "a lock that is held by", "pidfd": "the end of"}.get(kind, f"a {kind} to")
    assert found.detail.startswith(f"waits for {told} process 5")


@pytest.mark.parametrize("kind", ["pipe", "fifo", "local_socket", "tcp"])
def test_who_writes_waits_for_room(kind):
    writes = process(1, thread(1, **calls(number("write"), 5))), process(5, thread(5), ppid=1)
    found = wait(seen(*writes, links={1: (link(kind, peers=(5,)),)}))
    assert found.detail.startswith(f"waits for room in a {kind} to ")
    assert found.on == (Node(5, 5),)


@pytest.mark.parametrize(
    ("kind", "call", "ours"),
    [
        ("pipe", "write", True),
        ("pipe", "epoll_wait", True),
        ("terminal", "write", True),
        ("terminal", "poll", False),
        ("pipe", "read", False),
        ("tcp", "read", False),
        ("tcp", "write", False),
        ("local_socket", "epoll_wait", False),
    ],
)
def test_who_writes_what_nobody_takes_from_us_waits_for_a_person(kind, call, ours):
    """`harness watch -- COMMAND | less`: we are at the other end, and cannot pass it on. At that of
    a socket is a server in our own process, which may never answer."""
    one = process(1, thread(1, **calls(number(call), 5)))
    held = {1: (link("local_socket", only_own=True), link(kind, peers=(9,)))}
    for relay in (9, None):
        found = wait(seen(one, links=held, relay=relay))
        assert (Ends.PERSON in kinds(found)) == (ours and relay is not None)


def test_who_writes_to_a_file_waits_for_its_file_system():
    writes = process(1, thread(1, **calls(number("write"), 5)))
    found = wait(seen(writes, links={1: (link("file", mount="/data", fs="nfs4"),)}))
    assert found.detail == "waits for a file on /data (nfs4)"


@pytest.mark.parametrize("kind", ["pipe", "local_socket", "tcp", "lock"])
def test_a_holder_outside_of_the_tree_is_another_program(kind):
    assert kinds(linked(link(kind, peers=(99,)))) == [Ends.PROGRAM]


@pytest.mark.parametrize("kind", ["pipe", "local_socket", "eventfd", "tcp"])
def test_an_end_that_only_the_process_itself_holds_is_its_own_or_dead(kind):
    assert kinds(linked(link(kind, only_own=True))) == [Ends.DEAD]
    one = process(1, thread(1, **READS), thread(2))
    found = wait(seen(one, links={1: (link(kind, only_own=True),)}))
    assert (found.code, found.on, found.known, found.ends) == ("own", (OTHER,), False, ())


ENDS = {
    "a peer elsewhere": (link("tcp", remote="10.0.0.5:443"), Ends.NETWORK),
    "a connection that comes": (link("tcp", reopenable=True), Ends.NETWORK),
    "a message": (link("udp", reopenable=True), Ends.OUTSIDE),
    "a named pipe": (link("fifo", reopenable=True), Ends.OUTSIDE),
    "a local port": (link("local_socket", reopenable=True), Ends.OUTSIDE),
    "a person": (link("terminal", person=True), Ends.PERSON),
    "a terminal in the background": (link("terminal"), Ends.OUTSIDE),
    "a pipe whose holder is not seen": (link("pipe"), Ends.OUTSIDE),
    "a local socket whose holder is not seen": (link("local_socket"), Ends.OUTSIDE),
    "a timer": (link("timerfd"), Ends.POLLS),
    "a signal": (link("signalfd"), Ends.OUTSIDE),
    "a change of a file": (link("inotify"), Ends.OUTSIDE),
    "an io_uring": (link("io_uring"), Ends.OUTSIDE),
    "a device": (link("device"), Ends.OUTSIDE),
    "a lock that nobody seen holds": (link("lock", reopenable=True), Ends.OUTSIDE),
    "a file of a server": (link("file", mount="/data", fs="nfs4"), Ends.FILE_SYSTEM),
    "a file of a program": (link("file", fs="fuse.x", peers=(77,)), Ends.FILE_SYSTEM),
    "a file of a disk": (link("file", mount="/", fs="ext4"), Ends.FILE_SYSTEM),
}


@pytest.mark.parametrize(("one", "kind"), ENDS.values(), ids=ENDS)
def test_what_lies_behind_a_file_is_the_end(one, kind):
    found = linked(one)
    assert (kinds(found), found.on) == ([kind], ())


def test_the_retransmits_of_a_connection_and_the_mount_of_a_file_are_told():
    found = linked(link("tcp", remote="10.0.0.5:443", retransmits=6))
    assert found.detail == "waits for 10.0.0.5:443, which was sent data 6 times"
    found = linked(link("file", mount="/data", fs="fuse.sshfs", peers=(77,)))
    assert found.detail == "waits for a file on /data (fuse.sshfs), which process 77 serves"
    assert found.ends[0].sure
    assert not linked(link("file", mount="/", fs="ext4")).ends[0].sure


def test_a_set_of_files_waits_for_any_of_them():
    family = (process(1, thread(1, **calls(number("poll"), 0x7F00, 3, 2**64 - 1))),
              process(5, thread(5), ppid=1))  # fmt: skip
    links = (link("pipe", peers=(5,)), link("tcp", remote="10.0.0.5:443"))
    found = wait(seen(*family, links={1: links}))
    assert (found.code, found.on, kinds(found)) == ("poll", (Node(5, 5),), [Ends.NETWORK])
    assert found.detail == "waits for a pipe, a tcp"


def test_who_passes_on_what_is_typed_waits_for_its_children_alone():
    parent = process(1, thread(1, **calls(number("select"), 4, 1)))
    child = process(5, thread(5), ppid=1)
    typed, pipe = link("terminal", person=True), link("pipe", peers=(5,))
    found = wait(seen(parent, child, links={1: (typed, pipe)}))
    assert (found.on, found.ends) == ((Node(5, 5),), ())
    assert kinds(wait(seen(parent, links={1: (typed, link("tcp", remote="10.0.0.5:1"))}))) == [
        Ends.PERSON, Ends.NETWORK
    ]  # fmt: skip


PTY, A_SIGNAL = link("terminal_master", peers=(5,), reopenable=True), link("signalfd")


@pytest.mark.parametrize("person", [True, False])
@pytest.mark.parametrize("more", [(A_SIGNAL,), ()])
def test_script_waits_for_who_has_the_terminal_that_it_has_made(person, more):
    """And for no signal and no person, whatever else is in its set."""
    script = process(1, thread(1, **calls(number("poll"), 0x7F00, 3, 2**64 - 1)))
    child = process(5, thread(5, **sleeps(20.0)), ppid=1)
    links = {1: (link("terminal", person=person), PTY, *more) if person else (PTY, *more)}
    found = seen(script, child, links=links)
    assert (wait(found).on, kinds(wait(found))) == ((Node(5, 5),), [])
    assert follow((MAIN,), Facts(found)).end.kind is Ends.CLOCK


def test_a_full_fifo_that_only_its_own_process_has_open_is_not_open_to_nobody():
    writes = process(1, thread(1, **READS))
    own = wait(seen(writes, links={1: (link("fifo", only_own=True, reopenable=True),)}))
    assert "which nobody else has open" in own.detail
    assert kinds(own) == [Ends.OUTSIDE]


def test_a_terminal_that_nobody_has_open_any_more_ends_the_chain():
    script = process(1, thread(1, **READS))
    nobody = seen(script, links={1: (link("terminal_master", reopenable=True),)})
    assert kinds(wait(nobody)) == [Ends.OUTSIDE]
    assert "which nobody has open" in wait(nobody).detail
    stranger = seen(script, links={1: (link("terminal_master", peers=(77,)),)})
    assert kinds(wait(stranger)) == [Ends.PROGRAM]


def test_who_reads_signals_waits_for_its_children():
    family = process(1, thread(1, **READS)), process(5, thread(5), ppid=1)
    assert wait(seen(*family, links={1: (A_SIGNAL,)})).on == (Node(5, 5),)
    typed = seen(*family, links={1: (A_SIGNAL, link("terminal", person=True))})
    assert kinds(wait(typed)) == [Ends.PERSON]


@pytest.mark.parametrize(("slept", "kind"), [(30, Ends.WORKS), (0, Ends.UNKNOWN)])
def test_who_wakes_in_a_read_again_and_again_is_given_data_whatever_the_file_is(slept, kind):
    """Which file it is may not be known, where it read on while that was looked up."""
    found = seen(process(1, thread(1, **READS)))
    *before, last = found.windows[-1]
    more = {1: More(started=1, sleeps={1: slept})}
    first = replace(before[0], more={1: More(started=1, sleeps={1: 0})})
    windows = (found.windows[0], (first, *before[1:], replace(last, more=more)))
    assert kind in kinds(wait(replace(found, windows=windows)))


@pytest.mark.parametrize("handler", [True, False])
def test_a_loop_of_events_that_learns_of_the_end_of_children_waits_for_them(handler):
    """As that of node: its handler of SIGCHLD writes into a pipe of its own."""
    family = (process(1, thread(1, **calls(number("epoll_wait"), 5, 0x7F00, 8, 2**64 - 1))),
              process(5, thread(5, **RUNNING), ppid=1))  # fmt: skip
    own = (link("pipe", only_own=True), link("eventfd", only_own=True))
    around = replace(ALONE, child_handler=handler)
    found = wait(seen(*family, links={1: own}, around=around))
    assert found.on == ((Node(5, 5),) if handler else ())


def test_a_handler_that_writes_to_its_own_process_alone_may_tell_of_a_child():
    """As that of gdb, or Python's `set_wakeup_fd`: nobody else has the pipe open."""
    family = process(1, thread(1, **READS)), process(5, thread(5, **sleeps(25.0)), ppid=1)
    handles = replace(ALONE, child_handler=True)
    own, other = link("pipe", only_own=True), link("pipe", peers=(5,))
    assert wait(seen(*family, links={1: (own,)}, around=handles)).on == (Node(5, 5),)
    assert wait(seen(*family, links={1: (own,)})).on == ()
    assert wait(seen(*family, links={1: (link("pipe", peers=(9,)),)}, around=handles)).on == ()
    assert wait(seen(*family, links={1: (other,)}, around=handles)).code == "pipe"


def test_a_handler_of_the_ends_of_children_may_release_a_lock_that_no_thread_will():
    family = process(1, thread(1)), process(5, thread(5, **sleeps(25.0)), ppid=1)
    found = wait(seen(*family, around=replace(ALONE, child_handler=True)))
    assert (found.on, found.known, kinds(found)) == ((Node(5, 5),), False, [])
    assert kinds(wait(seen(*family))) == [Ends.DEAD]
    # Where a thread may release it, that one is asked.
    beside = process(1, thread(1), thread(2)), family[1]
    found = wait(seen(*beside, around=replace(ALONE, child_handler=True)))
    assert found.on == (OTHER,)


RINGS = {
    "unseen before": (None, 25.0),
    "seen for 10 s": (Doings(seconds=10.0, wakes=0), 15.0),
    "it is over": (Doings(seconds=26.0, wakes=0), None),
    "a look made it begin anew": (Doings(seconds=10.0, wakes=1), 25.0),
    "and again": (Doings(seconds=40.0, wakes=9), 10.0),
    "it never ends": (Doings(seconds=51.0, wakes=9), None),
}


@pytest.mark.parametrize(("did", "left"), RINGS.values(), ids=RINGS)
def test_a_socket_with_a_timeout_of_its_own_is_a_clock(did, left):
    own = link("local_socket", only_own=True, timed=True, left_s=25.0)
    one = process(1, thread(1, **READS))
    doings = {} if did is None else {1: did}
    found = wait(seen(one, links={1: (own,)}, doings=doings))
    assert kinds(found) == [Ends.DEAD, *([Ends.CLOCK] if left else [])]
    assert found.ends[-1].left_s == left
    untimed = replace(own, timed=False)
    assert kinds(wait(seen(one, links={1: (untimed,)}))) == [Ends.DEAD]


@pytest.mark.parametrize(("left", "kind"), [(0.5, Ends.DEAD), (30.0, Ends.WORKS)])
def test_who_wakes_as_often_as_the_timeout_of_its_socket_is_given_nothing(left, kind):
    own = link("local_socket", only_own=True, timed=True, left_s=left)
    found = seen(process(1, thread(1, **READS)), links={1: (own,)})
    *before, last = found.windows[-1]
    first = replace(before[0], more={1: More(started=1, sleeps={1: 0})})
    last = replace(last, more={1: More(started=1, sleeps={1: 4})})
    windows = (found.windows[0], (first, *before[1:], last))
    over = {1: Doings(seconds=100.0, wakes=100)}
    assert kinds(wait(replace(found, windows=windows, doings=over))) == [kind]


def test_who_is_yet_to_be_connected_waits_for_who_listens():
    family = process(1, thread(1, **calls(number("connect"), 3))), process(5, thread(5), ppid=1)
    found = wait(seen(*family, links={1: (link("local_socket"),)}))
    assert (found.on, kinds(found)) == ((Node(5, 5),), [Ends.OUTSIDE])


def test_a_person_at_a_prompt_beside_a_helper_whose_end_would_be_noticed_is_one():
    """As at a debugger's prompt of asyncio, in a training whose loader handles SIGCHLD."""
    polls = calls(number("epoll_wait"), 5, 0x7F00, 8, 2**64 - 1)
    family = process(1, thread(1, **polls), thread(2)), process(5, thread(5), ppid=1)
    links = (link("terminal", person=True), link("local_socket", only_own=True))
    found = wait(seen(*family, links={1: links}, around=replace(ALONE, child_handler=True)))
    assert (found.on, kinds(found)) == ((Node(5, 5),), [Ends.PERSON])


def test_the_pipe_to_wake_it_by_says_nothing_of_who_polls():
    one = process(1, thread(1, **calls(number("poll"), 1, 2, 2**64 - 1)), thread(2))
    links = (link("pipe", only_own=True), link("tcp", remote="10.0.0.5:443"))
    found = wait(seen(one, links={1: links}))
    assert (found.on, kinds(found)) == ((), [Ends.NETWORK])


BESIDE = {
    "a signal": (calls(number("rt_sigtimedwait")), ()),
    "a message queue": (calls(number("msgrcv"), 1), ()),
    "a semaphore": (calls(number("semop"), 1), ()),
    "a change of a file": (READS, (link("inotify"),)),
    "a connection": (READS, (link("tcp", reopenable=True),)),
    "a local connection": (READS, (link("local_socket", reopenable=True),)),
}


@pytest.mark.parametrize(("fields", "links"), BESIDE.values(), ids=BESIDE)
def test_what_comes_from_outside_may_come_from_a_thread_beside_it(fields, links):
    """As of a main thread that takes the signals while another one trains."""
    for state, kind in ((RUNNING, Ends.WORKS), ({}, Ends.OUTSIDE)):
        one = process(1, thread(1, **fields), thread(2, **state))
        used = (one.threads[0], replace(one.threads[1], cpu_s=3.0))
        later = replace(one, threads=used if state else one.threads)
        found = seen(one, later=(later,), links={1: links} if links else {})
        (own,) = kinds(wait(found))
        assert own in (Ends.OUTSIDE, Ends.NETWORK)
        assert follow((MAIN,), Facts(found)).end.kind is (own if kind is Ends.OUTSIDE else kind)


@pytest.mark.parametrize(
    ("left", "armed", "kind"),
    [(20.0, 0, Ends.CLOCK), (20.0, 3, Ends.POLLS), (9e9, 0, Ends.POLLS), (None, 0, Ends.POLLS)],
)
def test_a_timer_that_rings_once_is_a_clock_unless_it_is_armed_again(left, armed, kind):
    found = seen(process(1, thread(1, **READS)), links={1: (link("timerfd", left_s=left),)},
                 rearmed={1: armed})  # fmt: skip
    (end,) = wait(found).ends
    assert (end.kind, end.left_s) == (kind, left if kind is Ends.CLOCK else None)


# --- children, signals, the rest -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (awaits(), (5, 6)),
        (awaits(6), (6,)),
        (calls(number("waitid"), 1, 5), (5,)),
        (calls(number("waitid"), 0), (5, 6)),
        (calls(number("pause")), (5, 6)),
        (calls(number("rt_sigsuspend")), (5, 6)),
        ({"syscall": number("vfork"), "args": (0,) * 6, "wchan": "kernel_clone"}, (5, 6)),
    ],
)
def test_a_child_is_waited_for(fields, expected):
    """A signal as well, by who has children: their end is one."""
    family = (process(1, thread(1, **fields)), process(5, ppid=1), process(6, ppid=1))
    found = wait(seen(*family))
    assert (found.code, found.on) == ("child", tuple(Node(pid, pid) for pid in expected))
    assert found.known


def test_a_child_that_is_not_seen_is_an_unknown_end():
    found = alone(**awaits(77))
    assert (kinds(found), found.ends[0].sure) == ([Ends.UNKNOWN], False)


ALARMS = {
    "handled": ({"alarm": True}, "pause", True),
    "suspended": ({"alarm": True}, "rt_sigsuspend", True),
    "timers": ({"timers": 1}, "pause", True),
    "taken": ({"alarm": None, "alarm_blocked": True}, "rt_sigtimedwait", True),
    "blocked": ({"alarm": None, "alarm_blocked": True}, "pause", False),
    "not handled": ({"alarm": None}, "rt_sigtimedwait", False),
    "ignored": ({"alarm": False}, "pause", False),
}


@pytest.mark.parametrize(("around", "call", "believed"), ALARMS.values(), ids=ALARMS)
def test_a_signal_that_a_timer_may_send_is_said_and_believed(around, call, believed):
    """`signal.alarm` is seen by nobody, and rings nevertheless."""
    one = process(1, thread(1, **calls(number(call))))
    found = seen(one, around=replace(ALONE, **around))
    chain = follow((Node(1, 1),), Facts(found))
    assert (chain.end.kind, chain.alive, chain.believed) == (Ends.OUTSIDE, False, believed)
    assert chain.end.detail.endswith("which a timer may send") == believed
    # A file of signals takes them one by one as well.
    reads = process(1, thread(1, **READS))
    found = seen(reads, around=replace(ALONE, **around), links={1: (A_SIGNAL,)})
    chain = follow((Node(1, 1),), Facts(found))
    takes = any(around.get(name) for name in ("alarm", "timers", "alarm_blocked"))
    assert (chain.end.kind, chain.alive, chain.believed) == (Ends.OUTSIDE, False, takes)


@pytest.mark.parametrize("call", ["epoll_wait", "poll", "select"])
@pytest.mark.parametrize(
    ("around", "rings", "believed"),
    [
        ({"alarm": True}, None, True),
        ({"timers": 1}, None, True),
        ({}, None, False),
        ({"alarm": True}, 4000.0, False),
    ],
)
def test_a_loop_of_events_may_be_woken_by_the_handler_of_a_timers_signal(
    call, around, rings, believed
):
    """`loop.add_signal_handler(signal.SIGALRM, ...)`: who waits so cannot be asked when."""
    one = process(1, thread(1, **calls(number(call), 5)))
    of = {"around": replace(ALONE, **around), "rings": {} if rings is None else {1: rings}}
    own = link("local_socket", only_own=True)
    chain = follow((Node(1, 1),), Facts(seen(one, links={1: (own,)}, **of)))
    assert (chain.alive, chain.believed) == (False, believed)
    far = link("tcp", remote="10.0.0.5:443")
    chain = follow((Node(1, 1),), Facts(seen(one, links={1: (own, far)}, **of)))
    assert (chain.end.kind, chain.believed) == (Ends.NETWORK, False)


COMES = {
    "a datagram": ("recvfrom", link("udp", reopenable=True)),
    "the end of a request": ("io_uring_enter", link("io_uring", reopenable=True)),
    "the end of a request, of a registered ring": ("io_uring_enter", link("terminal", person=True)),
    "a change of a folder": ("read", link("inotify", reopenable=True)),
}


@pytest.mark.parametrize(("call", "comes"), COMES.values(), ids=COMES)
def test_what_may_come_from_anybody_may_come_from_a_process_of_the_tree(call, comes):
    waits = process(1, thread(1, **calls(number(call), 4)))
    found = wait(seen(waits, process(5, thread(5), ppid=9), links={1: (comes,)}))
    assert (found.on, found.known, kinds(found)) == ((Node(5, 5),), False, [Ends.OUTSIDE])


def test_a_file_of_signals_beside_others_is_no_wait_for_a_timer():
    polls = process(1, thread(1, **calls(number("poll"), 0x7F00, 2, 2**64 - 1)))
    links = {1: (A_SIGNAL, link("tcp", remote="10.0.0.5:443"))}
    chain = follow((Node(1, 1),), Facts(seen(polls, around=replace(ALONE, timers=1), links=links)))
    assert not chain.believed


def test_a_file_of_signals_is_also_for_what_others_of_the_tree_send():
    family = process(1, thread(1, **READS)), process(5, thread(5, **sleeps(9.0)), ppid=9)
    found = wait(seen(*family, links={1: (A_SIGNAL,)}))
    assert (found.on, found.known, kinds(found)) == ((Node(5, 5),), False, [Ends.OUTSIDE])


def test_who_only_may_wait_for_a_thread_that_takes_signals_does_not_believe_in_a_timer():
    one = process(1, thread(1), thread(2, **calls(number("rt_sigtimedwait"))))
    found = seen(one, around=replace(ALONE, alarm=True))
    chain = follow((Node(1, 1),), Facts(found))
    assert (chain.end.kind, chain.believed) == (Ends.OUTSIDE, False)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("pause", "signal"),
        ("rt_sigtimedwait", "signal"),
        ("msgrcv", "ipc"),
        ("mq_timedreceive", "ipc"),
        ("semop", "ipc"),
    ],
)
def test_signals_and_messages_come_from_outside(call, code):
    found = alone(**calls(number(call)))
    assert (found.code, kinds(found)) == (code, [Ends.OUTSIDE])


def test_the_kernel_waits_for_a_disk_or_for_a_file_system_that_does_not_answer():
    assert kinds(alone(**DISK)) == [Ends.FILE_SYSTEM]
    fuse = alone(**calls(number("read"), 5, wchan="request_wait_answer"))
    assert kinds(fuse) == [Ends.FILE_SYSTEM]
    assert "does not answer" in fuse.detail


@pytest.mark.parametrize(
    "wchan", ["mem_cgroup_oom_synchronize", "shrink_lruvec", "try_to_free_reclaim", "swap_readpage"]
)
def test_who_is_in_the_reclaim_waits_for_memory(wchan):
    assert kinds(alone(state="D", wchan=wchan)) == [Ends.MEMORY]


@pytest.mark.parametrize(
    ("swap", "available", "pages", "starves"),
    [
        (1 << 30, 8 << 30, 400, True),
        (0, 64 << 20, 400, True),
        (0, 8 << 30, 400, False),
        (1 << 30, 8 << 30, 20, False),
    ],
)
def test_pages_that_come_back_are_memory_where_it_is_scarce(swap, available, pages, starves):
    one = process(1, thread(1, **DISK))
    found = seen(one, later=(replace(one, major_faults=pages),),
                 more={1: More(started=1, swap=swap)})  # fmt: skip
    machine = Machine(available=available)
    windows = tuple(tuple(replace(look, machine=machine) for look in window)
                    for window in found.windows)  # fmt: skip
    assert (kinds(wait(replace(found, windows=windows))) == [Ends.MEMORY]) == starves


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"state": "T"}, Ends.STOPPED),
        ({"state": "t"}, Ends.TRACED),
        ({"state": "Z"}, Ends.DEAD),
        ({**sleeps(1.0), "wchan": "get_signal"}, Ends.STOPPED),
        ({**sleeps(1.0), "wchan": "__refrigerator"}, Ends.STOPPED),
    ],
)
def test_what_is_held_or_has_ended_ends_the_chain(fields, kind):
    assert kinds(alone(**fields)) == [kind]


def test_a_thread_or_process_that_is_gone_is_dead():
    found = seen(process())
    assert [wait(found, node).detail for node in (Node(1, 9), Node(9, 9))] == [
        "has ended",
        "is gone",
    ]


def test_a_worker_of_a_pool_has_nothing_to_do():
    one = process(1, thread(1), thread(2))
    idle = stack("pthread_cond_wait", "mlx::core::scheduler::StreamThread::thread_fn", tid=2,
                 main=False)  # fmt: skip
    assert kinds(wait(seen(one, stacks={1: ((idle,),)}), OTHER)) == [Ends.IDLE]


def test_a_thread_of_mpi_itself_is_idle_though_a_clock_wakes_it():
    one = process(1, thread(1), thread(2, **sleeps(3000.0)))
    loop = stack("clock_nanosleep", "py:loop", tid=2, main=False)
    mine = Frame(function="???", file="libopen-pal.so.40.30.2")
    pal = msgspec.structs.replace(loop, frames=(loop.frames[0], mine))
    found = [kinds(wait(seen(one, stacks={1: ((each,),)}), OTHER)) for each in (loop, pal)]
    assert found == [[Ends.CLOCK], [Ends.IDLE]]


def test_what_nothing_is_known_of_may_be_helped_by_its_threads_and_children():
    family = (process(1, thread(1, **calls(999)), thread(2)), process(5, ppid=1))
    found = wait(seen(*family))
    assert (kinds(found), found.on, found.known) == ([Ends.UNKNOWN], (OTHER, Node(5, 5)), False)


# --- the GPU -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "lines", "works"),
    [
        (GpuUse(own=1, named=True), (), True),
        (GpuUse(own=0, named=True, busy=100), (), False),
        (GpuUse(named=True, others=True, busy=100), (), False),
        (GpuUse(busy=100), (), True),
        (GpuUse(busy=0), (), False),
        (GpuUse(), ("NVIDIA H100, 97 %, 1024 MiB",), False),
        (None, ("NVIDIA H100, 97 %, 1024 MiB",), True),
        (None, ("NVIDIA H100, 0 %, 1024 MiB", "NVIDIA H100, 3.5 %, 1 MiB"), True),
        (None, ("NVIDIA H100, [N/A], 1024 MiB",), False),
        (None, ("no driver",), False),
    ],
)
def test_not_found_is_idle_only_of_what_the_driver_has_named_before(use, lines, works):
    found = seen(process(), gpu_use=use, gpu=lines)
    assert gpus.works(Facts(found)) is works


EVALUATES = stacks("poll", "cudaEventSynchronize", "py:step")
RANKS = {0: 1, 1: 7}


def on_gpu(use, ranks=None, state=None, **fields):
    """The wait of a rank for the evaluation on its GPU."""
    one = thread(1, **(state or calls(number("poll"), 0x7F00, 1, 100)))
    ranks = RANKS if ranks is None else ranks
    found = seen(
        process(1, one),
        stacks=EVALUATES,
        on_gpu=frozenset((1,)),
        ranks=ranks,
        gpu_use=use,
        **fields,
    )
    return wait(found)


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        (GpuUse(own=100, named=True, busy=100, memory=0), Ends.PEERS),
        (GpuUse(own=100, named=True, busy=100), Ends.PEERS),
        (GpuUse(busy=100, memory=1), Ends.PEERS),
        (GpuUse(own=100, named=True, busy=100, memory=40), Ends.GPU_WORKS),
        (GpuUse(busy=100, memory=40), Ends.GPU_WORKS),
    ],
)
def test_a_busy_gpu_of_a_rank_may_wait_for_the_others_unless_it_moves_memory(use, kind):
    for state in (None, RUNNING):  # it is asked politely, or over and over
        found = on_gpu(use, state=state, gpu=("H200, 100 %, 9 MiB", "H200, 100 %, 9 MiB"))
        assert (found.code, kinds(found)) == ("gpu", [kind])
        assert "H200, 100 %, 9 MiB; H200, 100 %, 9 MiB" in found.detail


def test_the_gpu_of_a_single_process_waits_for_nobody():
    busy_gpu = GpuUse(own=100, named=True, busy=100, memory=0)
    assert Ends.PEERS not in kinds(on_gpu(busy_gpu, ranks={}))
    assert Ends.PEERS not in kinds(on_gpu(busy_gpu, ranks={0: 1}))
    assert Ends.PEERS not in kinds(on_gpu(busy_gpu, ranks={0: 6, 1: 7}))


IDLE_GPU, BUSY_GPU = GpuUse(busy=0, memory=0), GpuUse(busy=100, memory=0)


@pytest.mark.parametrize(
    ("state", "idle", "working"),
    [
        ({}, Ends.GPU_IDLE, Ends.GPU_WORKS),
        (calls(number("poll"), 0x7F00, 1, 100), Ends.GPU_IDLE, Ends.GPU_WORKS),
        (RUNNING, Ends.WORKS, Ends.GPU_WORKS),
    ],
)
def test_a_gpu_is_asked_however_the_host_waits_for_it(state, idle, working):
    """Who computes on the host may be between two kernels."""
    given = {"args": (0x7F00, 128, 2, 0, 0, 0), **(state or {"syscall": 202})}
    for use, kind in ((IDLE_GPU, idle), (BUSY_GPU, working)):
        assert kinds(on_gpu(use, ranks={}, state=given)) == [kind]


def test_a_lock_within_an_evaluation_has_its_owner():
    one = process(1, thread(1), thread(2))
    found = seen(one, stacks=EVALUATES, on_gpu=frozenset((1,)), gpu_use=IDLE_GPU,
                 futexes={1: Futex(kind="mutex", owner=2)})  # fmt: skip
    assert wait(found).on == (OTHER,)


def test_a_gpu_that_cannot_be_asked_says_nothing_of_who_runs():
    assert kinds(on_gpu(None, ranks={}, state=RUNNING)) == [Ends.WORKS]
    assert kinds(on_gpu(None, ranks={}, state={"syscall": 202})) == [Ends.UNKNOWN]


def test_an_idle_gpu_may_wait_for_what_mlx_computes_on_the_cpu():
    one = process(1, thread(1), thread(2, **RUNNING))
    for inner, kind in (("mlx::core::eig", Ends.WORKS), ("libfoo", Ends.GPU_IDLE)):
        both = (*EVALUATES[1][0], stack(inner, "py:x", tid=2, main=False))
        found = seen(one, stacks={1: (both, both)}, on_gpu=frozenset((1,)), gpu_use=IDLE_GPU)
        assert follow((MAIN,), Facts(found)).end.kind is kind


def test_an_idle_gpu_of_a_rank_is_no_sign_of_its_peers():
    found = on_gpu(GpuUse(own=0, named=True, busy=0, memory=0))
    assert Ends.PEERS not in kinds(found)


@pytest.mark.parametrize("state", [RUNNING, calls(number("poll"), 0x7F00, 1, 500)])
@pytest.mark.parametrize(
    ("name", "function"), [("python", "ncclProxyService"), ("cuda-EvtHandlr", "???")]
)
def test_what_serves_the_gpu_or_nccl_is_idle_and_helps_nobody(name, function, state):
    helper = thread(2, name=name, **state)
    both = stacks("pthread_cond_wait", "f", "py:step")[1][0] + stacks("poll", function, tid=2)[1][0]
    found = seen(process(1, thread(1), helper), stacks={1: (both,)})
    assert kinds(wait(found, OTHER)) == [Ends.IDLE]
    assert Facts(found).idle(OTHER)
    assert OTHER not in wait(found).on
    assert Facts(found).candidates(1) == (MAIN,)


def test_a_main_thread_is_never_a_helper_of_the_driver_nor_is_one_of_python():
    named = seen(process(1, thread(1, name="cuda-EvtHandlr", **RUNNING)))
    assert kinds(wait(named)) == [Ends.WORKS]
    own = stacks("poll", "ncclProxyService", "py:step")
    assert kinds(wait(seen(process(1, thread(1, **RUNNING)), stacks=own))) != [Ends.IDLE]


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_the_pid_of_a_wait_is_an_int_whatever_else_its_register_holds(first, second):
    one = thread(1, syscall=61, args=(first, second, 0, 0, 0, 0))
    for call in ("wait4", "waitid"):
        pid = awaited(call, one.args)
        assert pid is None or -(2**31) <= pid < 2**31
    pid = awaited("wait4", one.args)
    assert pid is None or (pid == first & 0xFFFFFFFF and pid > 0)


# --- loops that only wait for others -------------------------------------------------------------

SPINS = ("sched_yield", "os_sched_yield", "py:look")


def spinner(main, helper, doings=None, may_work=None, **thread_2):
    """A main thread that spins beside one other; `main` and `helper` are their stacks."""
    one = process(1, thread(1, **RUNNING), thread(2, **thread_2))
    first, *rest = one.threads
    used = replace(first, cpu_s=first.cpu_s + 2.0)
    busy_2 = [replace(rest[0], cpu_s=rest[0].cpu_s + (2.0 if thread_2 else 0.0))]
    later = replace(one, cpu_s=one.cpu_s + 4.0, threads=(used, *busy_2))
    found = seen(one, later=(later,), spins={1: "train.py:7 in look"} | (doings or {}))
    found = replace(found, may_work=may_work or {})
    both = (stack(*main), stack(*helper, tid=2, main=False))
    return follow((Node(1, 1),), Facts(replace(found, stacks={1: (both, both)})))


def test_who_only_waits_for_a_thread_that_works_is_alive():
    chain = spinner(SPINS, ("py:compute",), **RUNNING)
    assert (chain.end.kind, chain.links[-1].tid) == (Ends.WORKS, 2)


def test_who_only_waits_is_alive_beside_work_wherever_the_last_look_caught_it():
    """Between two calls it is in the interpreter, or waits for its turn in it."""
    turn = ("pthread_cond_timedwait", "take_gil", "py:look")
    one = process(1, thread(1, **RUNNING), thread(2, **RUNNING))
    later = replace(busy(one), threads=tuple(replace(t, cpu_s=2.0) for t in one.threads))
    helper = stack("py:compute", tid=2, main=False)
    found = seen(one, later=(later,), spins={1: "train.py:7 in look"})

    def end(*captures, **fields):
        taken = {1: tuple((stack(*main), helper) for main in captures)}
        told = replace(found, stacks=taken, **fields)
        return follow((Node(1, 1),), Facts(told)).end.kind

    assert end(SPINS, turn) is Ends.WORKS
    assert end(SPINS, ("py:look",)) is Ends.WORKS
    assert end(turn, turn) is Ends.SPINS
    assert end(turn, turn, only_wait=frozenset((1,))) is Ends.WORKS


def test_a_call_that_is_told_early_is_believed_as_long_as_any_other():
    told = spinner(("sre_ucs1_match", "py:look"), ("py:wait",), may_work={1: 100.0})
    assert (told.end.kind, told.end.believed_s, told.believed) == (Ends.SPINS, 100.0, True)
    told = spinner(("sre_ucs1_match", "py:look"), ("py:wait",))
    assert (told.end.kind, told.believed) == (Ends.SPINS, False)


def test_a_loop_that_computes_does_not_live_by_what_is_beside_it():
    assert spinner(("py:look",), ("py:compute",), **RUNNING).end.kind is Ends.SPINS


def test_two_that_only_yield_to_each_other_spin():
    chain = spinner(SPINS, SPINS, {2: "train.py:7 in look"}, **RUNNING)
    assert (chain.end.kind, chain.alive) == (Ends.SPINS, False)
    assert spinner(SPINS, ("sem_wait", "py:idle")).end.kind is Ends.SPINS


def test_two_that_compute_in_turn_do_not_wait_for_one_another():
    """The holder of the interpreter's lock is not always seen."""
    takes = ("pthread_cond_timedwait", "take_gil", "py:compute")
    one = process(1, thread(1, **RUNNING), thread(2, **RUNNING))
    later = replace(busy(one), threads=tuple(replace(t, cpu_s=2.0) for t in one.threads))
    both = (stack(*takes), stack(*takes, tid=2, main=False))
    found = seen(one, later=(later,), stacks={1: (both, both)})
    assert follow((Node(1, 1),), Facts(found)).end.kind is Ends.WORKS


@pytest.mark.parametrize(
    ("threads", "used", "work"), [(4, 0.08, True), (2, 0.14, True), (50, 0.01, False)]
)
def test_many_that_compute_in_turn_need_no_holder(threads, used, work):
    """Each has a little of the core. Those that only ask for their turn have next to nothing."""
    takes = ("pthread_cond_timedwait", "take_gil", "py:compute")
    one = process(1, *(thread(tid) for tid in range(1, threads + 1)))
    ran = tuple(replace(each, cpu_s=each.cpu_s + 4 * used) for each in one.threads)  # in 4 s
    later = replace(one, threads=ran)
    every = tuple(stack(*takes, tid=each.tid, main=each.tid == 1) for each in one.threads)
    found = seen(one, later=(later,), stacks={1: (every, every)})
    assert (follow((Node(1, 1),), Facts(found)).end.kind is Ends.WORKS) is work


def test_who_has_the_same_memory_may_end_a_wait_in_it():
    """As what clone() makes with CLONE_VM, which posts a semaphore that is called private."""
    sleeper = process(20, thread(20, **sleeps(12.0)), ppid=1)
    other = process(30, thread(30, **sleeps(9.0)), ppid=1)
    found = seen(process(1), sleeper, other, shares=frozenset((1, 20)))
    assert (wait(found).on, wait(found).known) == ((Node(20, 20),), False)
    assert follow([MAIN], Facts(found)).end.kind is Ends.CLOCK
    assert wait(seen(process(1), sleeper, other)).on == ()


@pytest.mark.parametrize(
    ("left", "kind", "told"),
    [
        (35.0, Ends.CLOCK, "a timer of its process rings (wakes in 35 s)"),
        (290.0, Ends.OUTSIDE, "a timer of its process rings in 4 min 50 s"),
        (1801.0, Ends.DEAD, "and its process has no other thread"),
    ],
)
def test_a_timer_that_is_known_to_ring_ends_the_waits_of_its_process(left, kind, told):
    chain = follow([MAIN], Facts(seen(process(1), rings={1: left})))
    assert chain.end.kind is kind
    assert chain.describe() == f"main waits for another thread; {told}"
    assert chain.believed is (kind is Ends.OUTSIDE)


def test_a_timer_of_a_child_ends_the_wait_for_it():
    child = process(20, thread(20), ppid=1)
    launcher = process(1, thread(1, **awaits()))
    assert follow([MAIN], Facts(seen(launcher, child, rings={20: 9.0}))).end.kind is Ends.CLOCK
    assert follow([MAIN], Facts(seen(launcher, child, rings={30: 9.0}))).end.kind is Ends.DEAD


FIFO = Link(kind="fifo", told="the pipe df, which nobody has open for writing", reopenable=True)


@pytest.mark.parametrize(
    ("link", "fields"),
    [
        (FIFO, READS),
        (Link(kind="inotify", told="a change of a folder"), READS),
        (None, calls(PAUSE)),
    ],
)
def test_a_sibling_may_bring_about_what_comes_from_outside(link, fields):
    """As a daemon that was forked twice, and opens a FIFO later."""
    sibling = process(20, thread(20, **sleeps(30.0)), ppid=7)
    links = {} if link is None else {1: (link,)}
    found = seen(process(1, thread(1, **fields)), sibling, links=links)
    assert (wait(found).known, kinds(wait(found))) == (False, [Ends.OUTSIDE])
    assert follow([MAIN], Facts(found)).end.kind is Ends.CLOCK


@pytest.mark.parametrize(
    ("siblings", "threads", "asked"), [(62, 1, 63), (63, 1, 1), (3, 5000, 4), (62, 80, 1)]
)
def test_of_a_large_tree_only_children_are_asked_about(siblings, threads, asked):
    """One of many processes, or of many threads in several processes."""
    beside = [
        process(n, *(thread(n + 100 * i, **sleeps(30.0)) for i in range(threads)), ppid=7)
        for n in range(20, 20 + siblings)
    ]
    links = {1: (Link(kind="inotify", told="a change of a folder"),)}
    waiting = process(1, thread(1, **READS))
    found = seen(waiting, process(2, ppid=1), *beside, links=links)
    assert len(wait(found).on) == asked
