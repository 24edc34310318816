"""How long a phase lasted and whether it is overdue, on snapshots built in memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.detect.policy import Policy
from harness.detect.watchdog import State, Watchdog, refine
from harness.model import Cause, Position, Process, Snapshot, StepBeat, Thread
from harness.model.beats import BETWEEN

LOOK = 0.25


def process(pid=1, cpu=0.0, state="S", thread_state="S", faults=0, io=0, main=None):
    return Process(
        pid=pid,
        ppid=0,
        name="python",
        state=state,
        cpu_s=cpu,
        major_faults=faults,
        io_bytes=io,
        io_main=main,
        threads=(Thread(tid=pid, name="python", state=thread_state, cpu_s=cpu),),
    )


def snapshot(t, phase="eval", step=3, processes=None, since=0.0):
    return Snapshot(
        t=t,
        position=Position(step, phase, since),
        steps=step,
        processes=(process(),) if processes is None else processes,
    )


def watched(history=(0.1,) * 20):
    watchdog = Watchdog()
    for step, seconds in enumerate(history):
        watchdog.learn(StepBeat(t=float(step), step=step, phases={"eval": seconds}))
    return watchdog


def looks(watchdog, seconds, make=snapshot, start=0.0):
    """Look every quarter of a second; the judgments in their order."""
    count = int(seconds / LOOK) + 1
    return [watchdog.look(make(start + index * LOOK)) for index in range(count)]


def overdue(judgments):
    """Seconds after which the worker is overdue for the first time; None if it never is."""
    return next((i * LOOK for i, one in enumerate(judgments) if one.overdue), None)


def states(judgments):
    return {one.state for one in judgments}


def test_a_still_worker_is_overdue_after_its_floor_and_told_with_what_is_usual():
    judgments = looks(watched(), 20)
    assert overdue(judgments) == Policy().floor_s
    last = judgments[-1]
    assert (last.state, last.still, last.phase) == (State.ALIVE, True, "eval")
    assert (last.lasted, last.allowed, last.usual) == (20.0, Policy().floor_s, 0.1)
    assert last.overrun == "eval has run for 20 s (longest before: 100 ms)"


def test_who_needs_long_to_look_looks_sooner_at_a_worker_that_stands_still():
    judgments = looks(watched(), 7.0)
    first = next(i * LOOK for i, one in enumerate(judgments) if one.stands(0.5))
    assert first == 0.5 * Policy().floor_s < overdue(judgments)

    def busy(t):
        return snapshot(t, processes=(process(cpu=t),))

    assert not any(one.stands(0.5) for one in looks(watched(), 7.0, busy))


def test_a_phase_that_is_usually_long_gets_its_time():
    assert overdue(looks(watched(history=(10.0,) * 20), 60)) == 30.0


def test_the_first_of_its_kind_gets_more_time_than_one_that_is_known():
    judgments = looks(watched(), 60, lambda t: snapshot(t, "checkpoint"))
    assert overdue(judgments) == Policy().first_s
    assert judgments[-1].usual is None
    assert judgments[-1].overrun == "checkpoint has run for 1 min"


def test_between_two_reports_of_a_log_no_phase_is_named():
    judgments = looks(watched(), 31, lambda t: snapshot(t, BETWEEN))
    assert judgments[-1].overrun == "no report for 31 s"


def busy(t, step=3):
    return snapshot(t, step=step, processes=(process(cpu=t * 0.9),))


def runnable(t):
    return snapshot(t, processes=(process(thread_state="R"),))


@pytest.mark.parametrize("make", [busy, runnable])
def test_what_uses_the_cpu_is_overdue_by_its_longest(make):
    assert overdue(looks(watched(), 20, make)) == Policy().busy_floor_s
    assert overdue(looks(watched(history=(2.0,) * 5), 20, make)) == 7.0
    # Of one of which too little is known, as one that does not.
    assert overdue(looks(watched(history=(1.5,) * 2), 20, make)) == Policy().floor_s


def still(t):
    return snapshot(t)


def polls(t):
    awake = round(t / LOOK) % 3 == 0
    return snapshot(t, processes=(process(thread_state="R" if awake else "S"),))


def ticks(t):
    return snapshot(t, processes=(process(cpu=0.01 * (t // 2.5)),))


def beats_beside(t):
    """A heartbeat beside a main thread that waits for what never comes."""
    return snapshot(t, processes=(process(io=80 * round(t), main=0),))


def with_child(state="S", cpu=0.0, step=3):
    def look(t):
        child = process(pid=2, state=state, thread_state=state)
        return snapshot(t, step=step, processes=(process(cpu=cpu * t), child))

    return look


@pytest.mark.parametrize("make", [still, polls, ticks, beats_beside, with_child("t")])
def test_what_moves_for_a_moment_now_and_then_is_still(make):
    """Also a child that is traced: it is looked at, most likely by us."""
    judgments = looks(watched(), 20, make)
    assert overdue(judgments) <= Policy().floor_s + LOOK
    assert sum(one.still for one in judgments) > len(judgments) * 0.8


MOVES = {
    "the CPU": lambda t: (process(cpu=t),),
    "ticks at every look": lambda t: (process(cpu=0.01 * round(t / LOOK)),),
    "runnable": lambda t: (process(thread_state="R"),),
    "a disk": lambda t: (process(thread_state="D"),),
    "pages": lambda t: (process(faults=int(t * 100)),),
    "reads": lambda t: (process(io=int(t * 1000)),),
    "the main thread writes": lambda t: (process(io=80 * round(t), main=80 * round(t)),),
    "nobody knows who writes": lambda t: (process(io=800 * round(t / LOOK), main=None),),
    "much is written": lambda t: (process(io=100_000 * round(t / LOOK), main=0),),
    "children come and go": lambda t: (process(), process(pid=2 + round(t / LOOK))),
    "a compiler": lambda t: (process(), process(pid=2, cpu=t)),
}


@pytest.mark.parametrize("make", MOVES.values(), ids=MOVES)
def test_what_moves_is_not_still_and_may_be_overdue_all_the_same(make):
    """Whether that is any progress the chain of waits says, which a closer look follows."""
    judgments = looks(watched(), 30, lambda t: snapshot(t, processes=make(t)))
    assert sum(one.still for one in judgments) < len(judgments) * 0.8
    assert overdue(judgments) is not None
    assert states(judgments) == {State.ALIVE}


def test_one_look_in_which_something_moves_ends_the_stillness():
    watchdog = watched()
    looks(watchdog, 5)
    assert watchdog.look(snapshot(5.25)).still
    assert not watchdog.look(snapshot(5.5, processes=(process(cpu=0.2),))).still
    assert watchdog.look(snapshot(5.75, processes=(process(cpu=0.2),))).still


def test_a_stopped_worker_is_stopped_and_recovers():
    watchdog = watched()
    looks(watchdog, 1)

    def stopped(t):
        return snapshot(t, processes=(process(state="T", thread_state="T"),))

    judgments = looks(watchdog, 100, stopped, 1.25)
    assert states(judgments) == {State.STOPPED}
    assert overdue(judgments) is None
    after = looks(watchdog, 2, snapshot, 101.5)
    assert (states(after), overdue(after)) == ({State.ALIVE}, None)


def test_what_waits_for_a_child_that_is_stopped_is_stopped_and_recovers():
    """Who continues both at once may miss a child: one that is being forked at that moment."""
    watchdog = watched()
    looks(watchdog, 1, with_child())
    stopped = looks(watchdog, 100, with_child("T"), 1.25)
    assert {(one.state, one.still) for one in stopped} == {(State.STOPPED, False)}
    assert stopped[0].reason == "a process that it has started (2, python) is stopped by a signal"
    after = looks(watchdog, 20, with_child(), 101.5)
    assert states(after) == {State.ALIVE}
    # The second before it was stopped counts, and no other.
    assert overdue(after) == pytest.approx(Policy().floor_s - 1, abs=2 * LOOK)


def test_it_stays_stopped_where_we_could_not_look_for_a_while():
    watchdog = watched()
    looks(watchdog, 1, with_child())
    looks(watchdog, 9, with_child("T"), 1.25)
    assert watchdog.look(with_child("T")(15.0)).state is State.STOPPED
    assert watchdog.look(with_child()(20.0)).state is State.ALIVE
    works = Watchdog()
    looks(works, 9, with_child("T"))
    assert works.look(with_child("T", cpu=0.9)(15.0)).state is State.ALIVE


def test_a_child_that_is_stopped_stays_so_while_a_tool_holds_it():
    """The budget may end just then, and it was not continued."""
    watchdog = watched()
    looks(watchdog, 1, with_child())
    looks(watchdog, 40, with_child("T"), 1.25)
    assert states(looks(watchdog, 40, with_child("t"), 11.5)) == {State.STOPPED}
    assert states(looks(watchdog, 2, with_child(), 22.0)) == {State.ALIVE}
    assert states(looks(watchdog, 2, with_child("t"), 23.0)) == {State.ALIVE}, "held by others"


def test_the_time_counts_again_where_nobody_waits_for_a_child_that_is_stopped():
    watchdog = watched()
    looks(watchdog, 1, with_child())
    stopped = looks(watchdog, 20, with_child("T"), 1.25)
    asked = [one.held for one in stopped]
    assert asked.index((2,)) == Policy().floor_s / LOOK
    assert set(asked) == {(), (2,)}
    watchdog.beside([2])
    after = looks(watchdog, 20, with_child("T"), 21.5)
    assert states(after) == {State.ALIVE}
    assert overdue(after) == pytest.approx(Policy().floor_s - 1, abs=2 * LOOK)
    step = with_child("T", step=4)
    assert looks(watchdog, 5, step, 42.0)[-1].state is State.STOPPED, "another step, another wait"


def test_what_works_beside_a_child_that_is_stopped_is_alive():
    assert states(looks(Watchdog(), 100, with_child("T", cpu=0.9))) == {State.ALIVE}


def test_a_worker_that_is_traced_is_not_stopped_and_the_time_does_not_count():
    watchdog = watched()
    looks(watchdog, 1)

    def traced(t):
        return snapshot(t, processes=(process(state="t", thread_state="t"),))

    judgments = looks(watchdog, 100, traced, 1.25)
    assert (states(judgments), overdue(judgments)) == ({State.ALIVE}, None)
    assert overdue(looks(watchdog, 2, snapshot, 101.5)) is None


def test_the_time_in_which_we_did_not_look_does_not_count():
    watchdog = watched()
    looks(watchdog, 1)
    for t in (1000.0, 1000.25):
        judgment = watchdog.look(snapshot(t))
        assert (judgment.state, judgment.overdue) == (State.ALIVE, False)
    assert watchdog.longest("eval") < 1.0
    assert watchdog.look(snapshot(1001.0, step=4)).last_progress == 1001.0
    assert watchdog.longest("eval") < 3.0


def test_last_progress_is_when_the_last_beat_came():
    watchdog = watched()
    looks(watchdog, 2, lambda t: snapshot(t, step=int(t / LOOK)))
    judgments = looks(watchdog, 20, lambda t: snapshot(t, step=99), start=2.25)
    assert {one.last_progress for one in judgments} == {2.25}


def test_the_longest_is_that_of_the_phase_or_of_the_time_between_two_beats():
    watchdog = watched(history=(0.1, 0.4, 0.2))
    assert watchdog.longest("eval") == 0.4
    assert watchdog.longest("checkpoint") == 0.0
    looks(watchdog, 4, lambda t: snapshot(t, "checkpoint", step=9))
    assert watchdog.longest("checkpoint") == 0.0, "it is not over"
    watchdog.look(snapshot(4.25, step=10))
    assert watchdog.longest("checkpoint") == watchdog.longest("eval") == 4.25


@given(st.lists(st.floats(min_value=0.0, max_value=3.0), min_size=1, max_size=60))
def test_a_worker_whose_beats_keep_coming_is_never_overdue(gaps):
    watchdog, t = watched(), 0.0
    for step, gap in enumerate(gaps):
        for _ in range(int(gap / LOOK) + 1):
            t += LOOK
            judgment = watchdog.look(snapshot(t, step=step))
            assert (judgment.state, judgment.overdue) == (State.ALIVE, False)


@given(
    st.floats(min_value=0.001, max_value=30.0),
    st.integers(min_value=1, max_value=300),
    st.booleans(),
)
def test_a_stall_is_overdue_within_its_bound(usual, count, uses_the_cpu):
    watchdog = watched(history=(usual,) * count)
    bound = max(10.0, 5 * usual)
    found = overdue(looks(watchdog, bound + 1, busy if uses_the_cpu else still))
    assert found is not None
    assert Policy().busy_floor_s <= found <= bound
    assert uses_the_cpu or found >= Policy().floor_s


def test_a_stall_whose_wait_lies_outside_is_waiting():
    stalled = Cause(code="stalled", summary="phase data has lasted 9 s")
    for category in ("io", "child", "collective", "jit"):
        refined = refine(stalled, category)
        assert refined.code == "waiting"
        assert stalled.summary in refined.summary
    assert refine(stalled, "memory").code == "starved"
    for category in ("lock", "queue", "running", None):
        assert refine(stalled, category) is stalled
    proven = Cause(code="deadlock", summary="", proven=True)
    assert refine(proven, "child") is proven
    followed = Cause(code="stalled", summary="", evidence={"chain": []})
    assert refine(followed, "child") is followed, "the chain says it better"
