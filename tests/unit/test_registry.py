"""The detectors in their order: who is asked, who is skipped, and who decides."""

from __future__ import annotations

import msgspec
import pytest
from observations import (
    ALONE,
    RUNNING,
    SPIN,
    busy,
    calls,
    process,
    replace,
    seen,
    sleeps,
    stack,
    thread,
    twice,
)

from harness.detect.chain.facts import Facts
from harness.detect.registry import (
    DETECTORS,
    SYSTEM_CALLS,
    THREADS,
    Detector,
    Subject,
    decide,
    shows,
    unasked,
)
from harness.detect.tree import judge
from harness.detect.verdicts import Answer, Says
from harness.model import Process
from harness.model.world import Futex, More
from harness.stacks.parse.frames import Gil

SIGTIMEDWAIT = 128


def subject(found, pid=1):
    return Subject(Facts(found), pid)


def detector(name, answer=None, *requires):
    says = "no reason" if answer is None else Says(answer=answer, summary=name, good=True)
    return Detector(name, frozenset(requires), lambda _: says)


def test_the_first_that_has_something_to_say_decides_and_no_other_is_asked():
    def never(_):
        raise AssertionError

    found = decide(
        subject(seen(process())),
        [
            detector("silent"),
            detector("speaks", Answer.STALLED),
            Detector("later", frozenset(), never),
        ],
    )
    assert (found.by, found.says.answer) == ("speaks", Answer.STALLED)
    assert [tuple(one) for one in found.outcomes] == [
        ("silent", "says nothing: no reason"),
        ("speaks", "stalled: speaks"),
    ]


def test_what_a_machine_does_not_show_skips_a_detector_and_is_said():
    blind = process(1, thread(1, syscall=None, wchan=None))
    found = decide(
        subject(seen(blind)),
        [
            detector("deep", Answer.DEADLOCK, SYSTEM_CALLS, THREADS),
            detector("flat", Answer.ALIVE, THREADS),
        ],
    )
    assert (found.by, found.says.answer) == ("flat", Answer.ALIVE)
    assert found.outcomes[0] == ("deep", "skipped: system calls not shown")


@pytest.mark.parametrize(
    ("main", "shown"),
    [
        ((thread(1),), {SYSTEM_CALLS, THREADS}),
        ((thread(1, syscall=None, wchan=None),), {THREADS}),
        ((thread(1, **RUNNING),), {THREADS}),
        ((thread(1, **RUNNING), thread(2)), {SYSTEM_CALLS, THREADS}),
    ],
)
def test_what_is_shown_is_what_was_read(main, shown):
    assert shows(subject(seen(process(1, *main)))) == shown


def test_of_what_has_ended_nothing_more_is_to_be_shown():
    ended = process(1, thread(1, state="Z"), state="Z")
    assert shows(subject(seen(ended))) == {SYSTEM_CALLS, THREADS}
    assert decide(subject(seen(ended))).by == "ended"


def test_a_process_that_cannot_be_looked_into_is_alive_as_far_as_is_known():
    """As on a system that shows no threads: a child of another user."""
    hidden = Process(pid=1, ppid=0, name="python", state="S", cpu_s=1.0)
    found = decide(subject(seen(hidden)))
    assert (found.by, found.says.answer) == ("none", Answer.ALIVE)
    assert (found.says.good, found.says.sure) == (True, False)
    skipped = [one.detector for one in found.outcomes if one.outcome.startswith("skipped")]
    assert skipped == ["deadlock", "chain"]


def test_they_are_asked_in_their_order():
    assert [one.name for one in DETECTORS] == ["ended", "held", "deadlock", "chain"]
    stopped = process(1, thread(1, state="T"), state="T")
    for found, by in (
        (seen(process(1, thread(1, state="Z"), state="Z")), "ended"),
        (seen(stopped), "held"),
        (seen(process()), "deadlock"),
        (seen(SPIN, later=(busy(SPIN),)), "chain"),
    ):
        assert judge(1, found).evidence["detector"] == by


# --- where the chain starts ----------------------------------------------------------------------


def test_the_thread_that_reports_the_steps_is_followed_alone():
    one = process(1, thread(1, **RUNNING), thread(2))
    nodes, why = subject(seen(one, trains=(1, 2))).starts()
    assert ([node.tid for node in nodes], why) == ([2], "it reports the steps")


def test_where_that_is_gone_or_another_processs_the_candidates_are():
    one = process(1, thread(1))
    for trains in ((1, 9), (5, 1), None):
        nodes, why = subject(seen(one, trains=trains)).starts()
        assert ([node.tid for node in nodes], why) == ([1], "the main thread")


def test_candidates_are_the_main_thread_and_what_computes_or_has_frames_of_mlx():
    threads = (
        thread(1, cpu_s=0.1),
        thread(2, cpu_s=9.0),
        thread(3, cpu_s=0.1),
        thread(4, cpu_s=0.1),
        thread(5, cpu_s=0.1),
    )
    idle = ("pthread_cond_wait", "mlx::core::scheduler::StreamThread::thread_fn")
    stacks = twice(
        stack("sem_wait", "py:main"),
        stack("read", "mlx::core::load", tid=3, main=False),
        stack(*idle, tid=4, main=False),
    )
    nodes, why = subject(seen(process(1, *threads), stacks=stacks)).starts()
    assert [node.tid for node in nodes] == [1, 2, 3]
    assert why == "not known which thread trains: all 3 candidates"


@pytest.mark.parametrize(
    ("used", "woken", "rearmed", "chosen"),
    [
        (0.2, 900, 0, [1]),
        (0.4, 900, 0, [1]),
        (0.2, 1, 9, [1]),
        (0.2, 1, 2, [1, 2]),
        (5.0, 900, 9, [1, 2]),
    ],
)
def test_who_always_wakes_as_it_does_now_is_no_candidate(used, woken, rearmed, chosen):
    """It uses 0.01 of a core, and has used as much until now; or 0.3, as one that trained."""
    beat = thread(2, cpu_s=used, **sleeps(0.001))
    one = process(1, thread(1, cpu_s=0.1), beat)
    later = msgspec.structs.replace(beat, cpu_s=used + 0.04)
    found = seen(one, later=(msgspec.structs.replace(one, threads=(one.threads[0], later)),))
    windows = tuple(
        tuple(
            msgspec.structs.replace(
                look, more={1: More(started=100, sleeps={2: woken * (last > 0)})}
            )
            for last, look in enumerate((window[0], window[-1]))
        )
        for window in found.windows
    )
    found = msgspec.structs.replace(found, windows=windows, rearmed={2: rearmed})
    nodes, _ = subject(found).starts()
    assert [node.tid for node in nodes] == chosen


def test_a_thread_that_moves_in_a_window_too_short_for_a_proof_lives():
    found = seen(process())
    short = tuple(
        msgspec.structs.replace(look, t=20.0 + n / 10) for n, look in enumerate(found.windows[0])
    )
    still = msgspec.structs.replace(found, windows=(found.windows[0], short))
    assert judge(1, still).answer is Answer.DEADLOCK
    moved = seen(process(), later=(process(1, thread(1, switches=41)),)).windows[1]
    short = tuple(msgspec.structs.replace(look, t=20.0 + n / 10) for n, look in enumerate(moved))
    lives = msgspec.structs.replace(found, windows=(found.windows[0], short))
    assert judge(1, lives).answer is not Answer.DEADLOCK


def test_no_cycle_of_locks_is_proven_where_a_stack_waits_for_the_gil():
    """Its futex and its stack contradict each other, and another thread may hold the GIL."""
    wants = msgspec.structs.replace(stack("py:step"), gil=Gil.WAITS)
    others = (stack("py:step", tid=10, main=False), stack("py:step", tid=11, main=False))
    threads = (thread(1), thread(10, **RUNNING), thread(11))
    lock = Futex(kind="mutex", complete=False)
    owners = {1: 11, 11: 1}
    futexes = {tid: msgspec.structs.replace(lock, owner=owner) for tid, owner in owners.items()}
    fields = {"futexes": futexes, "trains": (1, 1)}
    found = seen(process(1, *threads), stacks=twice(wants, *others), **fields)
    assert judge(1, found).answer is not Answer.DEADLOCK
    plain = seen(process(1, *threads), stacks=twice(stack("py:step"), *others), **fields)
    assert judge(1, plain).answer is Answer.DEADLOCK


MAY_RING = {
    "a handler of SIGALRM": (replace(ALONE, alarm=True), {1}),
    "a POSIX timer": (replace(ALONE, timers=1), {1}),
    "neither": (ALONE, set()),
}


@pytest.mark.parametrize(("around", "pids"), MAY_RING.values(), ids=MAY_RING)
def test_a_process_that_only_a_timer_could_wake_is_asked_for_it(around, pids):
    assert unasked(subject(seen(process(), around=around))) == pids
    assert unasked(subject(seen(process(), around=around, rings={1: 20.0}))) == set()


def test_nobody_is_asked_for_timers_whose_wait_ends_well_or_elsewhere():
    handles = replace(ALONE, alarm=True)
    for fields in (sleeps(9.0), RUNNING, calls(1, 5)):
        one = process(1, thread(1, **fields))
        assert unasked(subject(seen(one, around=handles))) == set()


def test_who_is_waited_for_by_a_guess_and_takes_signals_is_asked():
    """As the thread that the C library starts for timers of SIGEV_THREAD."""
    one = process(1, thread(1), thread(2, **calls(SIGTIMEDWAIT, 1)))
    assert unasked(subject(seen(one, around=replace(ALONE, timers=1)))) == {1}
