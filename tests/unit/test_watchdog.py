"""The watchdog's rules, on snapshots built in memory."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.detect.watchdog import Inspection, Policy, State, Watchdog, burns, refine
from harness.model import Cause, Position, Process, Snapshot, StepBeat, Thread

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
    """Look every quarter of a second; the judgements in their order."""
    count = int(seconds / LOOK) + 1
    return [watchdog.look(make(start + index * LOOK)) for index in range(count)]


def first(judgements, state):
    return next((i * LOOK for i, j in enumerate(judgements) if j.state is state), None)


def test_a_still_worker_is_suspected_then_confirmed():
    judgements = looks(watched(), 20)
    assert first(judgements, State.CONFIRMED) is not None
    assert first(judgements, State.CONFIRMED) <= 10
    cause = next(j.cause for j in judgements if j.cause)
    assert cause.code == "stalled"
    assert not cause.proven
    assert "phase eval of step 3" in cause.summary


def test_a_phase_that_is_usually_long_gets_its_time():
    judgements = looks(watched(history=(10.0,) * 20), 29)
    assert {j.state for j in judgements} == {State.ALIVE}
    assert first(looks(watched(history=(10.0,) * 20), 60), State.CONFIRMED) <= 50


def test_a_slow_step_that_uses_the_cpu_is_alive():
    def busy(t):
        return snapshot(t, processes=(process(cpu=t * 0.9),))

    assert State.CONFIRMED not in {j.state for j in looks(watched(), 300, busy)}


def test_a_thread_that_wakes_for_a_moment_now_and_then_moves_nothing():
    def polls(t):
        awake = round(t / LOOK) % 3 == 0
        return snapshot(t, processes=(process(thread_state="R" if awake else "S"),))

    assert first(looks(watched(), 20, polls), State.CONFIRMED) <= 10


def test_a_tick_of_cpu_time_now_and_then_moves_nothing():
    def wakes(t):
        return snapshot(t, processes=(process(cpu=0.01 * (t // 2.5)),))

    assert first(looks(watched(), 20, wakes), State.CONFIRMED) <= 10


def test_a_line_that_another_thread_writes_now_and_then_moves_nothing():
    """A heartbeat beside a main thread that waits for what never comes."""

    def heartbeat(t):
        return snapshot(t, processes=(process(io=80 * round(t), main=0),))

    assert first(looks(watched(), 20, heartbeat), State.CONFIRMED) <= 10


@pytest.mark.parametrize(
    "written",
    [
        lambda t: process(io=80 * round(t), main=80 * round(t)),
        lambda t: process(io=80 * round(t), main=None),
        lambda t: process(io=100_000 * round(t), main=0),
    ],
    ids=["by the main thread", "by nobody knows whom", "much of it"],
)
def test_what_is_written_is_work(written):
    def writes(t):
        return snapshot(t, processes=(written(t),))

    assert first(looks(watched(), 20, writes), State.CONFIRMED) is None


def test_ticks_at_every_look_are_work():
    def works(t):
        return snapshot(t, processes=(process(cpu=0.01 * round(t / LOOK)),))

    assert first(looks(watched(), 20, works), State.CONFIRMED) is None


def test_a_runnable_thread_that_gets_no_cpu_is_alive():
    def starved(t):
        return snapshot(t, processes=(process(thread_state="R"),))

    assert State.CONFIRMED not in {j.state for j in looks(watched(), 60, starved)}


def test_a_first_compile_is_alive_while_its_compiler_works():
    def compiling(t):
        compiler = process(pid=2, cpu=t)
        return snapshot(t, "eval", 0, (process(), compiler))

    assert {j.state for j in looks(Watchdog(), 120, compiling)} == {State.ALIVE}


def test_a_compiler_that_never_returns_is_confirmed():
    def waiting(t):
        return snapshot(t, "eval", 0, (process(), process(pid=2)))

    found = first(looks(Watchdog(), 60, waiting), State.CONFIRMED)
    assert found == Policy().first_s


def test_the_first_of_its_kind_gets_more_time_than_one_that_is_known():
    judgements = looks(watched(), 60, lambda t: snapshot(t, "checkpoint"))
    assert first(judgements, State.CONFIRMED) == Policy().first_s
    assert first(looks(watched(), 60), State.CONFIRMED) < 10


def test_pages_read_in_and_io_are_progress():
    def swapping(t):
        return snapshot(t, processes=(process(faults=int(t * 100)),))

    def reading(t):
        return snapshot(t, processes=(process(io=int(t * 1000)),))

    for make in (swapping, reading):
        assert {j.state for j in looks(watched(), 60, make)} == {State.ALIVE}


def test_a_worker_that_receives_data_is_not_still_and_what_comes_after_counts():
    watchdog, policy = watched(), Policy()
    for index in range(200):
        watchdog.look(snapshot(index * LOOK))
        if index >= 4:
            assert watchdog.flows(index * LOOK).state is State.ALIVE
    judgements = looks(watchdog, 20, start=200 * LOOK)
    assert judgements[0].still
    assert first(judgements, State.CONFIRMED) == pytest.approx(policy.confirm_s, abs=2 * LOOK)


def test_a_stopped_worker_is_stopped_and_recovers():
    watchdog = watched()
    looks(watchdog, 1)

    def stopped(t):
        return snapshot(t, processes=(process(state="T", thread_state="T"),))

    assert {j.state for j in looks(watchdog, 100, stopped, 1.25)} == {State.STOPPED}
    after = looks(watchdog, 2, snapshot, 101.5)
    assert {j.state for j in after} == {State.ALIVE}


def with_child(state="T", cpu=0.0):
    def look(t):
        child = process(pid=2, state=state, thread_state=state)
        return snapshot(t, processes=(process(cpu=cpu * t), child))

    return look


def test_what_waits_for_a_child_that_is_stopped_is_stopped_and_recovers():
    """Who continues both at once may miss a child: one that is being forked at that moment."""
    watchdog = watched()
    looks(watchdog, 1, with_child("S"))
    stopped = looks(watchdog, 100, with_child(), 1.25)
    assert {(j.state, j.still) for j in stopped} == {(State.STOPPED, False)}
    assert stopped[0].reason == "a process that it has started (2, python) is stopped by a signal"
    assert {j.state for j in looks(watchdog, 2, with_child("S"), 101.5)} == {State.ALIVE}
    assert first(looks(watchdog, 20, with_child("S"), 103.75), State.CONFIRMED) <= 10


def test_the_time_until_a_child_was_stopped_counts_also_when_it_is_continued():
    watchdog = watched()
    looks(watchdog, 5, with_child("S"))
    looks(watchdog, 100, with_child(), 5.25)
    assert first(looks(watchdog, 20, with_child("S"), 105.5), State.SUSPECT) <= 2


def test_what_works_beside_a_child_that_is_stopped_is_alive():
    assert {j.state for j in looks(Watchdog(), 100, with_child(cpu=0.9))} == {State.ALIVE}


def test_a_child_that_is_traced_stops_nothing():
    assert first(looks(watched(), 20, with_child("t")), State.CONFIRMED) <= 10


def test_a_worker_that_is_traced_is_not_stopped_and_the_time_does_not_count():
    watchdog = watched()
    looks(watchdog, 1)

    def traced(t):
        return snapshot(t, processes=(process(state="t", thread_state="t"),))

    assert {j.state for j in looks(watchdog, 100, traced, 1.25)} == {State.ALIVE}
    assert {j.state for j in looks(watchdog, 2, snapshot, 101.5)} == {State.ALIVE}


def test_the_time_in_which_we_did_not_look_does_not_count():
    watchdog = watched()
    looks(watchdog, 1)
    assert watchdog.look(snapshot(1000.0)).state is State.ALIVE
    assert watchdog.look(snapshot(1000.25)).state is State.ALIVE


def test_last_progress_is_when_the_last_beat_came():
    watchdog = watched()
    looks(watchdog, 2, lambda t: snapshot(t, step=int(t / LOOK)))
    judgements = looks(watchdog, 20, lambda t: snapshot(t, step=99), start=2.25)
    confirmed = next(j for j in judgements if j.state is State.CONFIRMED)
    assert confirmed.last_progress == 2.25


@given(st.lists(st.floats(min_value=0.0, max_value=3.0), min_size=1, max_size=60))
def test_a_worker_whose_beats_keep_coming_is_never_suspected(gaps):
    watchdog, t = watched(), 0.0
    for step, gap in enumerate(gaps):
        for _ in range(int(gap / LOOK) + 1):
            t += LOOK
            assert watchdog.look(snapshot(t, step=step)).state is State.ALIVE


@given(
    st.floats(min_value=0.001, max_value=30.0),
    st.integers(min_value=1, max_value=300),
)
def test_a_stall_is_found_within_its_bound(usual, count):
    watchdog = watched(history=(usual,) * count)
    bound = max(10.0, 5 * usual)
    found = first(looks(watchdog, bound + 1), State.CONFIRMED)
    assert found is not None
    assert found <= bound
    assert found >= Policy().floor_s


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


def busy(t, step=3):
    return snapshot(t, step=step, processes=(process(cpu=t * 0.9),))


def test_busy_far_beyond_its_longest_is_overdue_never_confirmed():
    judgements = looks(watched(), 300, busy)
    assert {j.state for j in judgements} <= {State.ALIVE, State.SUSPECT}
    overdue = [index * LOOK for index, j in enumerate(judgements) if j.overdue]
    assert overdue
    assert overdue[0] >= Policy().busy_floor_s
    longer = looks(watched(history=(10.0,) * 5), 34, busy)
    assert not any(j.overdue for j in longer)


def test_a_phase_never_seen_before_is_never_overdue():
    judgements = looks(watched(), 300, lambda t: snapshot(t, "validate", 3, (process(cpu=t),)))
    assert not any(j.overdue for j in judgements)


def inspected(category, main=True, moved=False, fingerprint="abc", calls=("x.py:step",)):
    return Inspection(
        category=category,
        main=main,
        moved=moved,
        fingerprint=fingerprint,
        told="is at x.py:1",
        calls=frozenset(calls),
    )


def test_a_main_thread_that_runs_the_same_code_still_gets_nowhere():
    once = inspected("running", moved=True)
    assert burns([]) is None
    assert burns([once]) is None
    cause = burns([once, once])
    assert cause.code == "stalled"
    assert "x.py:1" in cause.summary
    assert burns([once, inspected("running", fingerprint="other")]) is None


def test_a_main_thread_that_goes_from_function_to_function_works():
    same = inspected("running", moved=True)
    works = inspected("running", moved=True, calls=("x.py:step", "encoder.py:encode x.py:step"))
    elsewhere = inspected("running", moved=True, calls=("encoder.py:encode x.py:step",))
    assert burns([works, works]) is None
    assert burns([same, elsewhere]) is None
    assert burns([works, same]) is None
    assert burns([works, works, same, same]) is None, "in half of them it was at work"
    assert burns([works, works, same, same, same]) is not None


def test_more_is_asked_of_a_loop_in_a_library():
    once = msgspec.structs.replace(inspected("running"), library=True)
    assert burns([once] * 5) is None
    assert burns([once] * 6) is not None


def test_a_thread_that_spins_beside_a_blocked_one_is_no_progress():
    for category in ("collective", "lock", "gil", "queue", "io"):
        still = inspected(category, main=False)
        assert burns([still, still]).code == "stalled"
        assert burns([still, inspected(category, main=False, moved=True)]) is None


@pytest.mark.parametrize("category", ["running", "lock", "collective"])
def test_a_host_whose_gpu_is_at_work_is_working(category):
    seen = inspected(category)
    assert burns([seen, seen]) is not None
    assert burns([seen, msgspec.structs.replace(seen, gpu_busy=True)]) is None


def test_a_stream_that_computes_is_work_however_long():
    for category in ("running", "stream_evaluation", "jit", "memory", "unknown", "sleep", "child"):
        computing = inspected(category, main=False)
        assert burns([computing] * 10) is None
