"""Which threads are given something again and again, and which only wake in vain."""

from __future__ import annotations

import msgspec
import pytest
from observations import ALONE, DISK, READS, RUNNING, calls, process, seen, sleeps, stack, thread
from still_worlds import number

from harness.detect.chain import bystanders, handing
from harness.detect.chain.facts import Facts
from harness.detect.chain.follow import follow
from harness.detect.chain.links import Ends, Node
from harness.detect.chain.waits import wait_of
from harness.detect.policy import STANDARD, Policy
from harness.model.world import Link, More

MAIN, OTHER = Node(1, 1), Node(1, 2)
replace = msgspec.structs.replace

TAKES = ("sem_wait", "threading.py:wait", "queue.py:get", "py:train")
WAITS = ("sem_wait", "threading.py:wait", "py:train")
WAITS_FOR = ("sem_wait", "threading.py:wait", "threading.py:wait_for", "py:train")
EVENT = ("sem_wait", "threading.py:wait", "threading.py:wait", "py:train")
LOCK = ("sem_wait", "lock_PyThread_acquire_lock", "py:train")
SLEEPS = ("clock_nanosleep", "time_sleep", "py:load")
EVALUATES = ("pthread_cond_wait", "mlx::core::Event::wait", "py:step")
STREAM = ("pthread_cond_wait", "mlx::core::scheduler::StreamThread::thread_fn")
QUICK, SLOW = 400, 6
"""Wakes in each of the two windows of 2 s."""


def woken(main, other=STREAM, wakes=(QUICK, QUICK), queued=0.0, fields=({}, {}), **observed):
    """Two threads that have waked so often in each window, and their stacks."""
    one = process(1, thread(1, **fields[0]), thread(2, **fields[1]))
    found = seen(one, **observed)
    both = (stack(*main), stack(*other, tid=2, main=False))
    return with_more(replace(found, stacks={1: (both, both)}), wakes, queued)


def with_more(found, wakes, queued=0.0):
    windows = tuple(
        tuple(
            replace(look, more={1: _more(wakes if last else (0, 0), queued if last else 0.0)})
            for look, last in ((window[0], False), (window[-1], True))
        )
        for window in found.windows
    )
    return replace(found, windows=windows)


def _more(wakes, queued):
    return More(started=1, sleeps=dict(enumerate(wakes, 1)), queued={1: queued, 2: queued})


def end(found, node=MAIN):
    return wait_of(node, Facts(found)).ends[0].kind


def lives(found):
    return wait_of(MAIN, Facts(found)).code in ("given", "given_slowly", "evaluation")


# --- without a clock: somebody ends the wait -----------------------------------------------------


@pytest.mark.parametrize("main", [TAKES, EVENT, LOCK])
@pytest.mark.parametrize("wakes", [QUICK, SLOW, 1])
def test_a_wait_that_is_not_begun_anew_was_not_in_vain(main, wakes):
    found = woken(main, wakes=(wakes, wakes), varied={1: False})
    assert lives(found)
    assert lives(replace(found, vain=frozenset({1})))


@pytest.mark.parametrize("main", [WAITS, WAITS_FOR])
def test_a_heartbeat_that_notifies_a_condition_in_vain_is_no_work(main):
    for varied in ({1: False}, {1: False, 2: True}, {2: True}):
        assert not lives(woken(main, SLEEPS, wakes=(SLOW, SLOW), varied=varied))
    assert not lives(woken(main, SLEEPS, wakes=(QUICK, SLOW), varied={1: False, 2: True}))


@pytest.mark.parametrize("wakes", [QUICK, SLOW])
def test_who_is_notified_and_whose_variables_change_works(wakes):
    assert lives(woken(WAITS, SLEEPS, wakes=(wakes, wakes), varied={1: True}))


def test_a_quick_exchange_whose_variables_are_not_seen_is_believed_for_a_time():
    for varied in ({}, {2: True}, {1: False, 2: True}):
        found = woken(WAITS, SLEEPS, varied=varied)
        assert lives(found)
        assert not lives(replace(found, vain=frozenset({1})))
    assert not lives(woken(WAITS, SLEEPS, varied={1: False}))


def test_a_clock_that_rings_much_later_has_not_ended_the_wait():
    often = {"wakes_in": 5.0}
    assert lives(woken(TAKES, wakes=(SLOW, SLOW), fields=(often, {}), rearmed={1: 9}))
    seldom = {"wakes_in": 0.2}
    assert not lives(woken(TAKES, wakes=(SLOW, SLOW), fields=(seldom, {}), rearmed={1: 9}))


def test_a_clock_that_may_have_rung_once_has_ended_the_wait():
    """As of a loop that looks into an empty queue every 5 s."""
    fields = ({"wakes_in": 30.0}, {})
    assert not lives(woken(TAKES, wakes=(1, 0), fields=fields, rearmed={1: 9}))


def test_who_is_not_woken_is_given_nothing():
    assert not lives(woken(TAKES, SLEEPS, wakes=(0, QUICK)))


# --- by its own clock ----------------------------------------------------------------------------

TIMED = (sleeps(0.001), sleeps(0.001))


def timed(varied, wakes=(QUICK, QUICK), other=SLEEPS, **fields):
    found = woken(SLEEPS, other, wakes, fields=TIMED, varied=varied, rearmed={1: 9, 2: 9}, **fields)
    return lives(found)


def test_who_looks_quickly_and_whose_variables_change_works():
    assert timed({1: True}, wakes=(QUICK, 0))
    assert timed({1: True, 2: True})
    assert not timed({1: True}, wakes=(QUICK, 0), vain=frozenset({1}))


def test_so_does_one_beside_which_another_quick_thread_works():
    assert timed({1: False, 2: True})
    assert timed({2: True})
    assert timed({})
    assert not timed({1: False})
    assert not timed({1: False, 2: False})
    assert not timed({1: False, 2: True}, wakes=(QUICK, SLOW))


def test_who_looks_quickly_alone_and_changes_nothing_that_is_seen_polls():
    assert not timed({}, wakes=(QUICK, 0))
    assert not timed({1: False}, wakes=(QUICK, 0))


def test_who_looks_slowly_polls_whatever_it_counts():
    assert not timed({1: True}, wakes=(SLOW, SLOW))


def test_a_loop_of_events_hides_its_tasks_and_is_believed_for_a_time():
    select = ("epoll_wait", "selectors.py:select", "base_events.py:_run_once", "py:train")
    waits = calls(number("epoll_wait"), 5, 0x7F00, 8, 2, wakes_in=0.002)
    found = woken(select, wakes=(QUICK, 0), fields=(waits, {}), rearmed={1: 9})
    assert lives(found)
    assert not lives(replace(found, vain=frozenset({1})))
    slow = woken(select, wakes=(SLOW, 0), fields=(waits, {}), rearmed={1: 9})
    assert not lives(slow)


def test_on_a_loaded_machine_the_time_without_a_core_does_not_count():
    few = {"wakes": (20, 20), "varied": {1: True}, "fields": TIMED, "rearmed": {1: 9}}
    assert not lives(woken(SLEEPS, **few))
    assert lives(woken(SLEEPS, queued=1.6, **few))


@pytest.mark.parametrize(("written", "expected"), [(1 << 20, True), (4096, False)])
@pytest.mark.parametrize("fields", [sleeps(0.05), {**DISK, "wchan": "folio_wait_bit"}])
def test_who_writes_a_file_piece_by_piece_works(written, expected, fields):
    """As a checkpoint: each piece is flushed to the disk, and some sleep between them."""
    one = process(1, thread(1, **fields), io_main=0)
    found = woken(SLEEPS, wakes=(SLOW, 0), rearmed={1: 9})
    found = replace(found, windows=seen(one, later=(replace(one, io_main=written),)).windows)
    found = with_more(found, (SLOW, 0))
    assert lives(found) is expected
    on_disk = fields["wchan"] == "folio_wait_bit"
    assert lives(replace(found, vain=frozenset({1}))) is (expected and on_disk)
    beats = handing.quick(0.0, Facts(found))
    assert beats[1:] == (
        {1} if expected and not on_disk else set(),
        {1} if expected and on_disk else set(),
    )


# --- evaluations ---------------------------------------------------------------------------------


def test_an_evaluation_on_a_stream_that_works_goes_on_however_little_cpu_is_left_to_it():
    for wakes in ((1, 1), (0, 1), (QUICK, QUICK)):
        assert lives(woken(EVALUATES, wakes=wakes))
    ran = woken(EVALUATES, wakes=(1, 0), fields=({}, RUNNING))
    assert lives(ran)


def test_an_evaluation_on_a_stream_that_does_not_run_does_not():
    assert not lives(woken(EVALUATES, wakes=(0, 0)))
    assert not lives(woken(EVALUATES, wakes=(0, 0), fields=({}, {"state": "D"})))
    carries = ("pthread_cond_wait", "mlx::core::distributed::ring::send", *STREAM[1:])
    assert not lives(woken(EVALUATES, carries, wakes=(0, 5)))


def test_a_stream_in_a_kernel_without_end_is_still_followed():
    spins = ("spin", *STREAM[1:])
    found = woken(EVALUATES, spins, wakes=(0, 0), fields=({}, RUNNING), spins={2: "spin"})
    chain = follow((MAIN,), Facts(found))
    assert chain.end.kind is Ends.SPINS


# --- whose wait it is ----------------------------------------------------------------------------


def test_a_thread_that_is_given_something_now_and_then_is_no_end_for_who_is_not():
    """As that which writes the records of a log, beside a heartbeat: nobody waits for it."""
    listens = ("sem_wait", "threading.py:wait", "queue.py:get", "handlers.py:_monitor")
    for wakes, kind in (((0, SLOW), Ends.DEAD), ((0, QUICK), Ends.WORKS)):
        chain = follow((MAIN,), Facts(woken(LOCK, listens, wakes=wakes)))
        assert chain.end.kind is kind
    alone = follow((OTHER,), Facts(woken(LOCK, listens, wakes=(0, SLOW))))
    assert alone.end.kind is Ends.WORKS


def test_a_worker_of_a_pool_between_two_tasks_works_and_a_native_one_says_nothing():
    worker = ("sem_wait", "queue.py:get", "thread.py:_worker")
    assert end(woken(LOCK, worker, wakes=(0, QUICK)), OTHER) is Ends.WORKS
    assert end(woken(LOCK, STREAM, wakes=(0, QUICK)), OTHER) is Ends.IDLE


# --- how long it is believed ---------------------------------------------------------------------


def test_only_those_that_are_believed_for_being_quick_are_counted():
    found = woken(WAITS, SLEEPS, varied={1: False, 2: True}, fields=({}, TIMED[1]))
    assert handing.quick(0.0, Facts(found)).beating == {1, 2}
    takes = Facts(woken(TAKES, SLEEPS, fields=({}, TIMED[1])))
    assert handing.quick(0.0, takes) == (0.0, {2}, {1})


def beats(t, beating=(), better=()):
    return handing.Beats(t, frozenset(beating), frozenset(better))


def test_they_are_in_vain_once_the_looks_over_the_time_agree():
    looks = [beats(0.0, {1, 2}), beats(60.0, {1}, {2}), beats(STANDARD.exchange_believed_s, {1, 2})]
    assert handing.in_vain(looks) == {1}
    assert handing.in_vain(looks[1:]) == frozenset()
    assert handing.in_vain([]) == frozenset()


def test_a_beat_that_is_now_quick_enough_and_now_not_is_in_vain_as_well():
    """Else each look at which it is quick would take back the doubt of the one before."""
    looks = [beats(20.0 * i, {1} if i % 2 == 0 else ()) for i in range(7)]
    assert handing.in_vain(looks) == {1}
    slow = [beats(0.0), beats(30.0), beats(60.0), beats(90.0, {1}), beats(120.0, {1})]
    assert handing.in_vain(slow) == frozenset()
    assert handing.in_vain(slow, share=0.0) == {1}
    assert handing.in_vain([*slow, beats(130.0)], share=0.0) == frozenset()


# --- what only seems to be given ------------------------------------------------------------------


@pytest.mark.parametrize("signals", [{"alarm": True}, {"timers": 1}, {"child_handler": True}])
@pytest.mark.parametrize("main", [TAKES, EVENT, LOCK])
def test_a_dead_trainer_that_signals_wake_is_believed_for_a_time_alone(signals, main):
    """As by a heartbeat of setitimer, or by the end of each `ps` where SIGCHLD has a handler."""
    around = replace(ALONE, **signals)
    for wakes in (SLOW, 1):
        found = woken(main, wakes=(wakes, wakes), varied={1: False}, around=around)
        assert wait_of(MAIN, Facts(found)).code == "given_slowly"
        assert not lives(replace(found, vain=frozenset({1})))
        assert handing.quick(0.0, Facts(found)).beating == {1}
    # No signal comes so often, and what moves is no signal.
    vain = {"vain": frozenset({1}), "around": around}
    assert lives(woken(main, wakes=(QUICK, 0), varied={1: False}, **vain))
    assert lives(woken(main, wakes=(SLOW, 0), varied={1: True}, **vain))
    # Between two signals it is as it was.
    still = woken(main, wakes=(0, 0), around=around)
    assert handing.quick(0.0, Facts(still)).beating == {1}


def test_so_is_one_that_reads():
    far = {1: (Link(told="a socket", kind="tcp", remote="10.0.0.5:443"),)}
    signals = {"around": replace(ALONE, alarm=True), "fields": (READS, {}), "links": far}
    vain = frozenset({1})
    found = woken(LOCK, wakes=(SLOW, 0), **signals)
    assert end(found) is Ends.WORKS
    assert handing.quick(0.0, Facts(found)).beating == vain
    assert end(replace(found, vain=vain)) is Ends.NETWORK
    assert end(woken(LOCK, wakes=(QUICK, 0), vain=vain, **signals)) is Ends.WORKS
    assert end(woken(LOCK, wakes=(SLOW, 0), vain=vain, fields=(READS, {}), links=far)) is Ends.WORKS


# --- bystanders ----------------------------------------------------------------------------------

LISTENS = ("sem_wait", "threading.py:wait", "queue.py:get", "py:monitor")
JOIN = ("sem_wait", "threading.py:join", "py:main")
HEARS = {"fields": ({}, calls(number("recvfrom"), 5)), "links": {
    2: (Link(told="a socket", kind="tcp", remote="10.0.0.5:443"),)}}  # fmt: skip


@pytest.mark.parametrize(
    ("wakes", "fields"), [(QUICK, {}), (SLOW, HEARS)], ids=["exchanges items", "hears a server"]
)
def test_a_dead_trainer_beside_who_only_goes_on_is_believed_for_a_time_alone(wakes, fields):
    found = woken(LOCK, LISTENS, wakes=(0, wakes), **fields)
    assert follow((MAIN,), Facts(found)).end.kind is Ends.WORKS
    assert bystanders.beats(0.0, Facts(found)).beating == {2}
    late = Facts(replace(found, bystanders=frozenset({2})))
    assert follow((MAIN,), late).end.kind is Ends.DEAD
    # Its own wait is judged as ever: it may be the one that trains.
    assert follow((OTHER,), late).end.kind is Ends.WORKS


def test_both_are_known_once_the_inspections_cover_the_time():
    found = woken(WAITS, LISTENS, wakes=(QUICK, QUICK), varied={2: False})
    history = bystanders.History()
    for t in (0.0, 60.0, STANDARD.exchange_believed_s):
        assert (history.vain, history.bystanders) == (frozenset(), frozenset())
        history.learn(t, found, Policy())
    assert (history.vain, history.bystanders) == ({1}, {1, 2})


def exchanges(used, queued=0.0):
    """Thread 2 exchanges items, and has used the CPU for so many seconds meanwhile."""
    one = process(1, thread(1), thread(2))
    later = replace(one, threads=(one.threads[0], replace(one.threads[1], cpu_s=1.0 + used)))
    found = replace(woken(LOCK, LISTENS), windows=seen(one, later=(later,)).windows)
    return with_more(found, (0, QUICK), queued)


def test_who_uses_the_cpu_or_is_brought_data_is_no_bystander():
    far = woken(LOCK, LISTENS, wakes=(0, QUICK), **HEARS)
    one = process(1, thread(1), thread(2, **HEARS["fields"][1]))
    near = seen(one, process(5, thread(5), ppid=1))
    near = replace(with_more(near, (0, SLOW)), links={2: (Link(told="", kind="pipe", peers=(5,)),)})
    works, starved = exchanges(0.5), exchanges(0.03, queued=1.8)
    evaluates = woken(EVALUATES, wakes=(1, 1))
    for found in (far, near, works, starved):
        assert bystanders.beats(0.0, Facts(found)) == (0.0, set(), {2})
    assert bystanders.beats(0.0, Facts(exchanges(0.03))).beating == {2}
    assert bystanders.beats(0.0, Facts(evaluates)).better == {1}


@pytest.mark.parametrize(
    ("main", "end", "believed"),
    [
        (LOCK, Ends.DEAD, False),
        (("sem_wait", "pthread_mutex_lock", "step"), Ends.DEAD, False),
        (TAKES, Ends.POLLS, True),
        (EVENT, Ends.POLLS, True),
        (JOIN, Ends.POLLS, True),
    ],
)
def test_who_looks_once_takes_messages_for_no_work(main, end, believed):
    """Of a lock: any of them may be about to fill the queue that is waited for."""
    found = woken(main, LISTENS, wakes=(0, QUICK))
    assert follow((MAIN,), Facts(found)).alive
    chain = follow((MAIN,), Facts(bystanders.at_once(found)))
    assert (chain.end.kind, chain.believed, chain.alive) == (end, believed, False)


def test_who_looks_again_and_again_takes_them_for_none_beside_a_lock_at_once():
    assert bystanders.beside_locks(woken(LOCK, LISTENS, wakes=(0, QUICK)), Policy()) == {2}
    assert not bystanders.beside_locks(woken(TAKES, LISTENS, wakes=(0, QUICK)), Policy())
    assert not bystanders.beside_locks(woken(LOCK, LISTENS, wakes=(QUICK, QUICK)), Policy())


@pytest.mark.parametrize("figures", [{"io_bytes": 1 << 20}, {}])
def test_who_looks_once_believes_who_moves_bytes_or_uses_the_cpu(figures):
    one = process(1, thread(1), thread(2))
    used = 0.0 if figures else 0.5
    threads = (one.threads[0], replace(one.threads[1], cpu_s=1.0 + used))
    later = replace(one, threads=threads, **figures)
    found = replace(woken(LOCK, LISTENS), windows=seen(one, later=(later,)).windows)
    found = bystanders.at_once(with_more(found, (0, QUICK), 0.0))
    assert (found.bystanders, found.doings) == (frozenset(), {})
    assert follow((MAIN,), Facts(found)).alive


def test_who_is_joined_may_be_given_its_work_slowly():
    found = woken(JOIN, LISTENS, wakes=(0, SLOW))
    assert follow((MAIN,), Facts(found)).end.kind is Ends.WORKS
    late = Facts(replace(found, bystanders=frozenset({2})))
    assert follow((MAIN,), late).end.kind is Ends.DEAD
