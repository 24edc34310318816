"""What uses the CPU and stays in one place, and how long until that is called a loop."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from observations import SPIN, busy, process, seen, stack, thread, twice

from harness.detect.policy import LOG_POLICY, STANDARD, Policy
from harness.detect.spinning import (
    Inspection,
    Stay,
    inspect,
    may_spin,
    may_work,
    only_wait,
    spins,
)
from harness.model.world import More
from harness.stacks.parse.frames import Frame
from harness.stacks.turns import only_waits

replace = msgspec.structs.replace
LOOP = ("py:look", "py:step")


def stays(stacks, one=SPIN, later=None, **fields):
    """The threads that stay in one place while process 1 uses the CPU."""
    return inspect(seen(one, later=(later or busy(one),), stacks=stacks, **fields)).stays


def captures(*each):
    return {1: tuple((one,) for one in each)}


def test_a_loop_is_in_one_place_at_each_capture():
    (stay,) = stays(twice(stack(*LOOP))).values()
    assert (stay.where, stay.library) == ("train.py:7 in look", False)


def test_where_in_its_functions_it_is_caught_is_chance():
    lines = [{"py:look": 9, "py:step": 1}, {"py:look": 10, "py:step": 2}]
    assert 1 in stays(captures(*(stack(*LOOP, lines=one) for one in lines)))


def test_a_loop_that_calls_the_c_library_and_the_interpreter_is_in_one_place():
    one = captures(stack("_PyEval_EvalFrameDefault", *LOOP), stack("list_append", *LOOP))
    (stay,) = stays(one).values()
    assert not stay.library


@pytest.mark.parametrize(
    "stacks",
    [
        captures(stack("py:a", "py:step"), stack("py:b", "py:step")),
        captures(stack("mlx::core::add", "py:step"), stack("mlx::core::mul", "py:step")),
        captures(stack(*LOOP)),
        captures(stack(*LOOP), replace(stack(*LOOP), native=False)),
        twice(stack("MPI_Allreduce", "py:step")),
        twice(stack("mlx::core::distributed::SocketThread::worker")),
        twice(stack("clock_nanosleep", "py:step")),
        {},
    ],
    ids=["functions", "native", "once", "python", "mpi", "socket", "sleep", "none"],
)
def test_what_goes_elsewhere_waits_or_was_not_seen_does_not_stay(stacks):
    assert stays(stacks) == {}


@pytest.mark.parametrize("figure", [{"io_bytes": 9000}, {"major_faults": 3}])
def test_what_reads_writes_or_pages_in_works(figure):
    later = replace(busy(SPIN), **figure)
    assert stays(twice(stack(*LOOP)), later=later) == {}


def test_who_goes_to_wait_by_itself_is_in_no_loop_where_no_core_is_free():
    """It is ready to run at each look, and gets next to nothing."""
    starved = seen(SPIN, stacks=twice(stack(*LOOP)))
    assert 1 in inspect(starved).stays

    def waited(window):
        counts = [{1: More(started=1, sleeps={1: number})} for number in range(len(window))]
        return tuple(replace(look, more=more) for look, more in zip(window, counts, strict=True))

    assert inspect(replace(starved, windows=tuple(map(waited, starved.windows)))).stays == {}


def test_so_does_what_takes_new_memory():
    found = seen(SPIN, later=(busy(SPIN),), stacks=twice(stack(*LOOP)))

    def faults(minor):
        return {1: More(started=1, minor_faults=minor)}

    def with_faults(each):
        windows = tuple(
            tuple(replace(look, more=faults(0 if n == 0 else each)) for n, look in enumerate(one))
            for one in found.windows
        )
        return inspect(replace(found, windows=windows)).stays

    few = Policy().few_faults
    assert with_faults(few // 2)
    assert with_faults(few // 2 + 1) == {}, "those of both windows count"


def test_what_does_not_use_the_cpu_does_not_spin():
    assert stays(twice(stack(*LOOP)), one=process(), later=process()) == {}
    little = busy(process(), 0.5)
    assert stays(twice(stack(*LOOP)), one=process(), later=little) == {}


def test_a_thread_beside_the_main_one_is_looked_at_as_well():
    one = process(1, thread(1), thread(2, state="R", syscall=None))
    later = replace(one, threads=(one.threads[0], replace(one.threads[1], cpu_s=3.0)))
    stacks = twice(stack("sem_wait", "py:main"), stack(*LOOP, tid=2, main=False))
    assert list(stays(stacks, one, later)) == [2]


LIBRARY = ("mlx::core::matmul", "py:step")


def test_one_call_of_a_library_is_told_from_a_loop_of_ones_own():
    (stay,) = stays(twice(stack(*LIBRARY))).values()
    assert stay.library


@pytest.mark.parametrize(
    "names",
    [
        ("time_monotonic",),
        ("clock_gettime", "py_get_monotonic_clock", "get_monotonic", "time_monotonic"),
        (
            "__vdso_clock_gettime",
            "__clock_gettime",
            "_PyTime_GetPerfCounter",
            "time_perf_counter_ns",
        ),
        ("mach_absolute_time", "PyTime_Monotonic", "time_time"),
    ],
)
def test_a_loop_that_asks_for_the_time_is_no_long_call(names):
    (stay,) = stays(twice(stack(*names, *LOOP))).values()
    assert not stay.library


@pytest.mark.parametrize(
    ("names", "system"),
    [
        (("sched_yield", "mlx::core::wait_for", "py:step"), 0.0),
        (("mlx::core::Fence::spin_wait", "py:step"), 0.0),
        (LIBRARY, 1.9),
    ],
)
def test_a_call_that_only_waits_or_is_in_the_kernel_all_the_time_is_a_loop(names, system):
    one = process(1, thread(1, state="R", syscall=None, system_s=0.0))
    later = busy(one, system_s=system)
    (stay,) = stays(twice(stack(*names)), one, later).values()
    assert not stay.library
    assert stay.waits == (names != LIBRARY)


WAITERS = (
    "sched_yield", "os_sched_yield", "__sched_yield", "thrd_yield", "std::this_thread::yield",
    "__gthread_yield", "std::thread::yield_now", "core::hint::spin_loop", "pthread_spin_lock",
    "ucs_spin_lock", "os_unfair_lock_trylock", "std::mutex::try_lock", "_mm_pause", "cpu_relax",
    "mlx::core::Fence::spin_wait", "crossbeam_utils::Backoff::snooze", "absl::SpinLock::SlowLock",
    "std::__atomic_base::compare_exchange_weak", "runtime.procyield",
    "std::__detail::__thread_yield",
)  # fmt: skip
WHOLE = frozenset(
    ("spin_wait", "spin_lock", "spin_loop", "spin_trylock", "do_spin", "atomic_spin", "yield_now",
     "sched_yield", "thrd_yield", "thread_yield", "gthread_yield", "pthread_yield", "kmp_yield",
     "mm_relax", "cpu_relax", "machine_relax", "thread_relax")
)  # fmt: skip
"""All that a word with one of `yield`, `spin` and `relax` may happen to be."""
WORDS = st.from_regex(r"[a-z]{1,8}", fullmatch=True)


@pytest.mark.parametrize("name", WAITERS)
def test_what_only_waits_for_another_thread_is_known_by_its_whole_name(name):
    assert only_waits(stack(name, *LOOP)) is True


@example("sched_yield", "pthread", "trylock")
@example("sched_yield", "mm", "now")
@given(st.sampled_from(WAITERS), WORDS, WORDS)
def test_a_function_of_the_users_is_not_taken_for_one_by_a_part_of_its_name(name, before, after):
    last = name.rpartition(":")[2].rpartition(".")[2].strip("_")
    for own in (f"{last}er_{after}", f"{last}_{after}s", f"Trainer::{last}{after}s"):
        assert only_waits(stack(own, *LOOP)) is False, own
    for word in ("yield", "spin", "relax"):
        for own in (f"{word}_{after}", f"{before}_{word}", f"{word}ner_{after}", word):
            assert only_waits(stack(own, *LOOP)) is (own in WHOLE), own


YIELDS = ("sched_yield", "os_sched_yield", *LOOP)
IN_TURN = ("pthread_cond_timedwait", "take_gil", "PyEval_RestoreThread", "os_sched_yield", *LOOP)
GIVES = ("pthread_cond_signal", "drop_gil", "PyEval_SaveThread", "os_sched_yield", *LOOP)
BETWEEN = ("pthread_cond_timedwait", "take_gil", "_PyEval_EvalFrameDefault", *LOOP)


@pytest.mark.parametrize(
    ("first", "second", "waits"),
    [
        (YIELDS, YIELDS, True),
        (YIELDS, IN_TURN, True),
        (GIVES, IN_TURN, True),
        (GIVES, BETWEEN, True),
        (BETWEEN, BETWEEN, None),
        (YIELDS, LOOP, None),
        (LOOP, LOOP, False),
        (BETWEEN, LOOP, False),
    ],
)
def test_two_threads_that_only_yield_to_each_other_take_turns_in_one_place(first, second, waits):
    (stay,) = stays(captures(stack(*first), stack(*second))).values()
    assert (stay.waits, stay.library) == (waits, False)


def unnamed(*names):
    """A stack with a function of an interpreter without symbols as its innermost."""
    return replace(stack("take", *names), frames=(HIDDEN, *stack(*names).frames))


HIDDEN = Frame(function="???", file="python3.12", system=True)


def test_a_call_within_an_interpreter_without_symbols_may_be_one_that_takes_long():
    (stay,) = stays(captures(unnamed(*LOOP), unnamed(*LOOP))).values()
    assert stay.library
    (stay,) = stays(captures(unnamed(*LOOP), stack(*LOOP))).values()
    assert not stay.library, "a loop is caught between its calls as well"


@pytest.mark.parametrize(
    "names",
    [
        ("sre_ucs1_match", "sre_search", "_sre_SRE_Pattern_search"),
        ("memmove", "sre_ucs4_match"),
        ("std::__detail::_Executor::_M_dfs",),
    ],
)
def test_a_search_with_a_regular_expression_may_take_for_ever(names):
    (stay,) = stays(captures(stack(*names, *LOOP), stack(*names[-1:], *LOOP))).values()
    assert stay.backtracks
    assert not any(one.backtracks for one in stays(twice(stack("list_sort", *LOOP))).values())


def test_so_may_one_in_an_interpreter_without_symbols():
    def caught(function, system=True):
        frame = Frame(function=function, file="__init__.py", python=True, system=system)
        one = replace(stack(*LOOP), frames=(HIDDEN, frame, *stack(*LOOP).frames))
        (stay,) = stays(captures(one, one)).values()
        return stay.backtracks

    assert caught("match")
    assert not caught("dumps")
    assert not caught("match", system=False), "the user's own module has such a name as well"


# --- how long ------------------------------------------------------------------------------------

QUICK, SLOW = Policy(), LOG_POLICY


def history(*times, place="look step", values="aaaa", **fields):
    """Inspections; of the variables, nothing is known where `values` has a blank."""
    stay = Stay(place=place, **{"where": "train.py:7 in look", "library": False, **fields})
    return [
        Inspection(t=t, stays={1: stay}, values={} if values[n] == " " else {1: values[n]})
        for n, t in enumerate(times)
    ]


def test_two_that_agree_are_a_loop_where_steps_are_known():
    assert spins([], QUICK) == {}
    assert spins(history(0.0), QUICK) == {}
    assert spins(history(0.0, 3.0), QUICK) == {1: "train.py:7 in look"}


def test_where_they_are_not_known_it_must_be_seen_for_longer():
    assert spins(history(0.0, SLOW.loop_s - 1), SLOW) == {}
    assert spins(history(0.0, 9.0, SLOW.loop_s), SLOW) == {1: "train.py:7 in look"}


@pytest.mark.parametrize("policy", [QUICK, SLOW])
def test_one_call_of_a_library_is_believed_for_minutes(policy):
    assert spins(history(0.0, STANDARD.call_believed_s - 1, library=True), policy) == {}
    assert 1 in spins(history(0.0, STANDARD.call_believed_s, library=True), policy)


def test_a_search_that_may_take_for_ever_is_told_early_and_believed_for_as_long():
    def searches(*times):
        return history(*times, library=True, backtracks=True)

    two = searches(0.0, 3.0)
    assert (list(spins(two, QUICK)), may_work(two), may_spin(two)) == (
        [1],
        {1: STANDARD.search_believed_s - 3},
        True,
    )
    assert spins(two, SLOW) == {}
    assert (
        may_work(searches(0.0, STANDARD.search_believed_s))
        == may_work(history(0.0, 3.0, library=True))
        == {}
    )


@pytest.mark.parametrize("policy", [QUICK, SLOW])
@pytest.mark.parametrize("values", ["ab", "  ", "a ", " a"])
def test_so_is_a_loop_whose_variables_change_or_tell_nothing(policy, values):
    assert spins(history(0.0, STANDARD.call_believed_s - 1, values=values), policy) == {}
    assert 1 in spins(history(0.0, STANDARD.call_believed_s, values=values), policy)


@pytest.mark.parametrize("policy", [QUICK, SLOW])
def test_a_native_function_that_only_waits_needs_neither_variables_nor_time(policy):
    assert spins(history(0.0, waits=True, values=" "), policy) == {}
    assert 1 in spins(history(0.0, 3.0, waits=True, values="  "), policy)


def test_one_that_only_waits_is_caught_elsewhere_now_and_then():
    def seen_as(*answers):
        each = (history(float(n), waits=one, values=" " * 9) for n, one in enumerate(answers))
        return spins([one for history in each for one in history], SLOW)

    assert all(seen_as(*one) for one in [(True, None), (None, True), (True, True, True, False)])
    assert not any(seen_as(*one) for one in [(None, None), (False, True), (True, False, None)])


@pytest.mark.parametrize(
    ("answers", "waits"),
    [((True, None), True), ((None, True), True), ((None, None), False), ((False, True), False)],
)
def test_who_only_waits_is_known_by_all_that_was_seen_of_it(answers, waits):
    each = (history(float(n), waits=one) for n, one in enumerate(answers))
    told = only_wait([one for history in each for one in history])
    assert told == ({1} if waits else set())
    assert only_wait([]) == set()


def test_one_that_may_be_in_a_loop_is_worth_another_inspection():
    assert not may_spin([])
    assert may_spin(history(0.0))
    assert may_spin(history(0.0, 9.0))
    assert may_spin(history(0.0, waits=True, values=" "))
    assert may_spin([*history(0.0, place="other step"), *history(9.0, values="b")])
    for works in ({"library": True}, {"values": "ab"}, {"values": "  "}):
        assert not may_spin(history(0.0, 9.0, **works))
    assert not may_spin([*history(0.0), Inspection(t=9.0, stays={})])


def test_only_the_last_inspections_in_a_row_count():
    other = history(0.0, 1.0, place="other step")
    assert spins([*other, *history(50.0)], QUICK) == {}
    assert spins([*history(0.0), *other, *history(90.0, 91.0)], SLOW) == {}
    assert 1 in spins([*other, *history(50.0, 51.0)], QUICK)
    gap = [*history(0.0), Inspection(t=9.0, stays={}), *history(90.0)]
    assert spins(gap, QUICK) == {}


@given(
    st.lists(st.tuples(st.floats(0.1, 60.0), st.sampled_from("ab"), st.booleans()), max_size=9),
    st.sampled_from([QUICK, SLOW]),
)
def test_what_is_elsewhere_at_the_last_two_is_no_loop(steps, policy):
    t, found = 0.0, []
    for passed, place, library in steps:
        t += passed
        found += history(t, place=place, library=library)
    if spins(found, policy):
        assert len({one.stays[1].place for one in found[-2:]}) == 1
        assert len(found) >= 2
