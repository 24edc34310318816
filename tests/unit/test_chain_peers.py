"""All threads of the processes at the other end of a wait: any of them may end it."""

from __future__ import annotations

import pytest
from observations import (
    ALONE,
    READS,
    RUNNING,
    SHARED,
    awaits,
    busy,
    calls,
    process,
    replace,
    seen,
    sleeps,
    stack,
    thread,
)
from still_worlds import number

from harness.detect.chain.facts import Facts
from harness.detect.chain.follow import follow
from harness.detect.chain.groups import Others, together
from harness.detect.chain.links import Ends, Node
from harness.detect.chain.waits import wait_of
from harness.detect.observation import Doings
from harness.detect.registry import Subject, decide
from harness.detect.verdicts import Answer
from harness.model.world import Futex, Link

MAIN = Node(1, 1)
NETWORK = calls(number("recvfrom"), 5, wchan="sk_wait_data")
REMOTE = (Link(told="a socket", kind="tcp", remote="10.0.0.5:443"),)
IDLE = ("pthread_cond_wait", "thread.py:_worker")


def pair(*beside, main=READS, also_own=False, **fields):
    """Two processes whose main threads read from each other, with threads beside that of the
    second one. These have used no CPU, so that none of them seems to train."""
    beside = tuple({"cpu_s": 0.0, **one} for one in beside)
    family = (
        process(1, thread(1, **READS)),
        process(5, thread(5, **main), *(thread(6 + n, **one) for n, one in enumerate(beside)),
                ppid=1),
    )  # fmt: skip
    link = Link(told="a local socket", kind="local_socket", peers=(5,), also_own=also_own)
    links = {1: (link,), 5: (replace(link, peers=(1,)),), **fields.pop("links", {})}
    return seen(*family, links=links, **fields)


def chain(found):
    return follow((MAIN,), Facts(found))


@pytest.mark.parametrize(
    ("beside", "kind"),
    [
        (sleeps(30.0), Ends.CLOCK),
        (RUNNING, Ends.WORKS),
        (NETWORK, Ends.NETWORK),
        (calls(number("rt_sigtimedwait")), Ends.OUTSIDE),
    ],
)
def test_a_thread_beside_that_of_the_other_end_may_write_later(beside, kind):
    found = chain(pair(beside, links={6: REMOTE} if beside is NETWORK else {}))
    assert (found.end.kind, found.links[-1].tid) == (kind, 6)


def test_of_two_that_read_from_each_other_with_nobody_beside_nothing_comes():
    assert chain(pair()).end.kind is Ends.CYCLE


@pytest.mark.parametrize(
    "beside",
    [
        {},
        {"state": "Z"},
        calls(999),
        sleeps(30_000.0),
    ],
    ids=["a lock", "ended", "unknown", "sleeps for hours"],
)
def test_a_thread_that_tells_nothing_leaves_a_cycle_one(beside):
    assert chain(pair(beside)).end.kind is Ends.CYCLE


def test_an_idle_thread_of_a_pool_is_not_believed_to_help():
    idle = stack(*IDLE, tid=6, main=False)
    found = pair({"wakes_in": 60.0}, stacks={5: ((idle,), (idle,))})
    assert chain(found).end.kind is Ends.CYCLE


def test_a_heartbeat_is_not_believed_to_help():
    found = pair(sleeps(1.0), rearmed={6: 3})
    assert chain(found).end.kind is Ends.CYCLE
    works = {6: Doings(seconds=20.0, wakes=4, cpu_s=0.002)}
    assert chain(replace(found, doings=works)).believed


def test_a_sleep_that_began_with_a_new_thread_is_a_round_of_a_monitor():
    """One that was there before the stall may write when it wakes; a new one each time may not."""
    first, later = Doings(seconds=20.0, wakes=0), Doings(seconds=3.0, wakes=0)
    found = pair(sleeps(30.0))
    assert chain(replace(found, doings={1: first, 6: first})).end.kind is Ends.CLOCK
    assert chain(replace(found, doings={1: first, 6: later})).end.kind is Ends.CYCLE
    assert chain(replace(found, doings={1: first})).end.kind is Ends.CYCLE


def test_what_is_known_comes_before_what_may_be():
    """The main thread joins the one that polls: it is followed, and no heartbeat beside it."""
    beat = pair(sleeps(1.0), rearmed={6: 3}, main=SHARED, futexes={5: Futex(kind="join", owner=6)})
    assert chain(beat).end.kind is Ends.POLLS


def test_its_own_threads_may_end_a_wait_where_its_process_has_the_other_end_as_well():
    family = (
        process(1, thread(1, **READS), thread(2, **sleeps(30.0))),
        process(5, thread(5, **READS), ppid=1),
    )
    ends = {
        own: chain(
            seen(
                *family,
                links={
                    1: (Link(told="a pipe", kind="pipe", peers=(5,), also_own=own),),
                    5: (Link(told="a pipe", kind="pipe", only_own=True),),
                },
            )
        ).end.kind
        for own in (True, False)
    }
    assert ends == {True: Ends.CLOCK, False: Ends.DEAD}


def test_any_thread_of_those_that_share_a_semaphore_may_post_it():
    family = (
        process(1, thread(1, **SHARED)),
        process(5, thread(5, **READS), thread(6, **sleeps(30.0)), ppid=1),
    )
    links = {5: (Link(told="a pipe", kind="pipe", peers=(1,)),)}
    found = seen(*family, links=links, futexes={1: Futex(kind="shared", sharers=(1, 5))})
    assert chain(found).end.kind is Ends.CLOCK


@pytest.mark.parametrize(
    ("beside", "kind"),
    [(RUNNING, Ends.WORKS), (sleeps(30.0), Ends.CLOCK), ({}, Ends.POLLS), (READS, Ends.POLLS)],
)
def test_who_polls_may_look_for_what_a_process_beside_it_does(beside, kind):
    """As one that waits for a lock file, or for a server, of a sibling."""
    family = (
        process(1, thread(1, **awaits(5))),
        process(5, thread(5, **sleeps(0.5)), ppid=1),
        process(9, thread(9, **beside), ppid=1),
    )
    links = {9: (Link(told="a pipe", kind="pipe", only_own=True),)}
    found = chain(seen(*family, links=links, rearmed={5: 9}))
    assert found.end.kind is kind
    doings = {9: Doings(seconds=20.0, wakes=4, cpu_s=0.04, varied=True)}
    monitor = process(9, thread(9, **sleeps(1.0)), ppid=1)
    beats = seen(*family[:2], monitor, rearmed={5: 9, 9: 9}, doings=doings)
    assert not chain(beats).believed, "a monitor works in a beat as well"
    beat = replace(family[1], threads=(thread(5), thread(6, **sleeps(0.5), cpu_s=0.0)))
    heart = seen(family[0], beat, family[2], links=links, rearmed={6: 9})
    assert not chain(heart).alive, "nobody waits for what a heartbeat looks for"


def test_who_spins_may_wait_for_what_a_process_beside_it_does():
    family = (
        process(1, thread(1, **awaits(5))),
        process(5, thread(5, **RUNNING), ppid=1),
        process(9, thread(9, **sleeps(30.0)), ppid=1),
    )
    later = (family[0], busy(family[1]), family[2])
    spins = {"later": later, "spins": {5: "a.py:3 in spin"}}
    assert chain(seen(*family, **spins)).end.kind is Ends.SPINS
    assert chain(seen(*family, **spins, only_wait=frozenset({5}))).end.kind is Ends.CLOCK


@pytest.mark.parametrize(
    ("call", "ends"),
    [("queue.py:get", (Ends.CYCLE, [1, 6, 7])), ("connection.py:recv", (Ends.DEAD, [1]))],
)
def test_of_the_server_of_a_manager_the_thread_answers_that_is_called(call, ends):
    """Its main thread looks once a second whether it is to end."""
    main = stack("sem_clockwait", "threading.py:wait", "managers.py:serve_forever", tid=5)
    serves = stack("sem_wait", call, "managers.py:serve_client", tid=6, main=False)
    rest = stack("read", "connection.py:recv", "managers.py:serve_client", tid=7, main=False)
    few = {"cpu_s": 0.1}
    server = (thread(5, wakes_in=0.5), thread(6, **few), thread(7, **READS, **few))
    found = seen(
        process(1, thread(1, **READS)),
        process(5, *server, ppid=1),
        links={n: (Link(told="a socket", kind="local_socket", peers=(p,)),)
               for n, p in ((1, 5), (7, 1))},
        stacks={5: ((main, serves, rest),)},
        rearmed={5: 9},
    )  # fmt: skip
    told = chain(found)
    assert (told.end.kind, [link.tid for link in told.links]) == ends


def test_only_the_end_of_a_process_ends_a_wait_for_it():
    found = seen(
        process(1, thread(1, **READS)),
        process(5, thread(5, **READS), thread(6, **sleeps(30.0)), ppid=1),
        links={
            1: (Link(told="its end", kind="pidfd", peers=(5,)),),
            5: (Link(told="a pipe", kind="pipe", only_own=True),),
        },
    )
    waits = wait_of(MAIN, Facts(found))
    assert (waits.may, waits.detail) == ((), "waits for the end of process 5 (python train.py ...)")


@pytest.mark.parametrize(
    ("around", "kind"),
    [
        (ALONE, Ends.CYCLE),
        (replace(ALONE, child_handler=True), Ends.CLOCK),
        (replace(ALONE, handlers=("SIGUSR1",)), Ends.CLOCK),
        (replace(ALONE, handlers=("SIGTERM",)), Ends.CYCLE),
    ],
)
@pytest.mark.parametrize("left", [12.0, 600.0])
def test_a_handler_may_write_when_a_child_ends_or_sends_a_signal(around, kind, left):
    family = (
        process(1, thread(1, **READS)),
        process(5, thread(5, **READS), ppid=1),
        process(9, thread(9, **sleeps(left)), ppid=5),
    )
    links = {
        1: (Link(told="a pipe", kind="pipe", peers=(5,)),),
        5: (Link(told="a pipe", kind="pipe", peers=(1,)),),
    }
    # A clock that rings much later is seldom that of who sends a signal.
    kind = Ends.CYCLE if left > 60 and around.handlers else kind
    found = chain(seen(*family, links=links, around=around))
    assert found.end.kind is kind
    # Who only may help is none of those that it waits for.
    assert found.on == ((5, 9) if kind is Ends.CLOCK else (5,))


def test_a_proof_needs_all_threads_of_both_to_be_still():
    link = Link(told="a pipe", kind="pipe", peers=(5,))
    links = {1: (link,), 5: (replace(link, peers=(1,)),)}
    dead = (process(1, thread(1, **READS)), process(5, thread(5, **READS), thread(6), ppid=1))
    moving = (dead[0], busy(dead[1]))
    answers = [
        decide(Subject(Facts(seen(*dead, later=later, links=links)), 1)).says.answer
        for later in ((), moving)
    ]
    assert answers[0] is Answer.DEADLOCK
    assert answers[1] is not Answer.DEADLOCK


def test_thousands_of_threads_that_wait_for_one_another_share_what_they_wait_for():
    one = process(1, *(thread(n, **calls(number("msgrcv"))) for n in range(1, 2001)))
    facts = Facts(seen(one, process(5, thread(5, **awaits()), ppid=1)))
    first, second = (wait_of(Node(1, tid), facts).on for tid in (7, 8))
    assert isinstance(first, Others)
    assert isinstance(second, Others)
    assert [id(group) for group in first.groups] == [id(group) for group in second.groups]
    assert len(first) == len(second) == 2000
    assert Node(1, 7) not in first
    assert first != second


def test_a_group_is_a_sequence_of_threads_without_the_one_that_waits():
    a, b, c = (Node(1, tid) for tid in (1, 2, 3))
    some = together(a, (a, b), (b, c))
    assert tuple(some) == (b, c)
    assert some == (b, c)
    assert (some[0], some[1:], bool(some)) == (b, (c,), True)
    assert not together(a, (a,), ())
    assert together(a) == ()
