"""What is said of made-up process trees that were not started here."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import jsonschema
import msgspec
import pytest
from attached_trees import (
    ALONE,
    LAUNCHER,
    NANOSLEEP,
    PAUSE,
    READ,
    RUNNING,
    SHARED,
    SPIN,
    WAIT4,
    busy,
    process,
    seen,
    stack,
    thread,
    twice,
)
from harness.detect.kernel_waits import Wait, kernel_wait
from harness.detect.process_verdict import judge
from hypothesis import given
from hypothesis import strategies as st

from harness.attach import result, target
from harness.attach.observe import Watched
from harness.detect import tree
from harness.detect.activity import motion
from harness.detect.tree import judge_tree
from harness.detect.verdicts import Answer, Judged
from harness.model import Outcome
from harness.model.world import Link, More
from harness.report import html, junit, markdown, runjson
from harness.report.input import ReportInput
from harness.report.sections.attached import attached

ROOT = Path(__file__).parents[2]
replace = msgspec.structs.replace


def answer(found, pid=1):
    return judge(pid, found).answer


LOOP = twice(stack("py:look_for_ever", "py:step"))


def test_what_nothing_can_wake_is_dead():
    assert judge(1, seen(process())).answer is Answer.DEADLOCK


def test_nothing_is_proven_of_memory_that_the_parent_may_share():
    assert answer(seen(process(), shares=frozenset({1}))) is Answer.STALLED


def test_nothing_is_proven_when_something_is_armed():
    assert answer(seen(process(), around=replace(ALONE, timers=1))) is Answer.STALLED


def test_a_window_that_moved_is_no_proof():
    later = process(1, thread(1, switches=41))
    assert answer(seen(process(), later=(later,))) is not Answer.DEADLOCK


@pytest.mark.parametrize(("state", "expected"), [("T", Answer.STOPPED), ("t", Answer.TRACED)])
def test_what_is_held_is_told_whatever_else_is_seen(state, expected):
    assert answer(seen(process(1, thread(1, state=state), state=state))) is expected


def test_a_loop_that_stays_in_one_place_spins():
    found = judge(1, seen(SPIN, later=(busy(SPIN),), stacks=LOOP))
    assert found.answer is Answer.SPINNING
    assert "one long computation" in found.summary
    assert not found.good


def test_where_in_its_function_a_loop_is_caught_is_chance():
    caught = {
        1: (
            (stack("py:look", "py:step", lines={"py:look": 9}),),
            (stack("py:look", "py:step", lines={"py:look": 10}),),
        )
    }
    assert answer(seen(SPIN, later=(busy(SPIN),), stacks=caught)) is Answer.SPINNING


ELSEWHERE = {
    "another function": {1: ((stack("py:a", "py:step"),), (stack("py:b", "py:step"),))},
    "another line of a caller": {
        1: (
            (stack("py:a", "py:step", lines={"py:step": 1}),),
            (stack("py:a", "py:step", lines={"py:step": 2}),),
        )
    },
    "in MLX": twice(stack("mlx::core::fast::sdpa", "py:step")),
}


@pytest.mark.parametrize("stacks", ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_uses_the_cpu_and_goes_elsewhere_is_alive(stacks):
    assert answer(seen(SPIN, later=(busy(SPIN),), stacks=stacks)) is Answer.ALIVE


@pytest.mark.parametrize("figure", [{"io_bytes": 200}, {"major_faults": 3}])
def test_a_loop_beside_which_something_moves_is_alive(figure):
    later = replace(busy(SPIN), **figure)
    assert answer(seen(SPIN, later=(later,), stacks=LOOP)) is Answer.ALIVE


def test_without_stacks_a_busy_process_is_alive_and_not_sure():
    found = judge(1, seen(SPIN, later=(busy(SPIN),)))
    assert (found.answer, found.sure) == (Answer.ALIVE, False)


def test_one_capture_calls_nothing_a_loop():
    once = {1: ((stack("py:look_for_ever"),),)}
    assert answer(seen(SPIN, later=(busy(SPIN),), stacks=once)) is Answer.ALIVE


WAITS_IN_EVAL = stack("__futex_wait", "pthread_cond_wait", "mlx::core::Event::wait", "py:step")


def with_worker(*names):
    """A main thread that waits in eval, and a second one that uses the CPU in `names`."""
    before = process(1, thread(1), thread(2, **RUNNING))
    later = replace(
        before, cpu_s=4.0, threads=(thread(1), thread(2, cpu_s=3.0, switches=90, **RUNNING))
    )
    stacks = twice(WAITS_IN_EVAL, stack(*names, tid=2, main=False))
    return seen(before, later=(later,), stacks=stacks)


def test_a_stream_that_computes_is_alive_however_long_it_is_in_one_place():
    assert answer(with_worker("mlx::core::sgemm", "mlx::core::eval")) is Answer.ALIVE


def test_a_socket_that_spins_beside_a_blocked_thread_is_no_progress():
    found = with_worker("recv", "mlx::core::distributed::detail::SocketThread::worker", "clone")
    assert answer(found) is not Answer.ALIVE


def test_a_compiler_at_work_is_compiling_and_one_that_sleeps_is_not():
    main = process(1, thread(1, syscall=WAIT4, args=(2, 0, 0, 0, 0, 0)))
    compiler = process(2, thread(2, **RUNNING), ppid=1, name="cc1plus")
    assert answer(seen(main, compiler, later=(main, busy(compiler)))) is Answer.COMPILING
    asleep = process(2, thread(2, syscall=PAUSE, args=(0,) * 6), ppid=1, name="cc1plus")
    assert answer(seen(main, asleep)) is Answer.WAITING


def test_pages_that_come_back_starve_only_what_lacks_memory():
    one = process(1, thread(1, state="D", syscall=None))
    later = replace(one, major_faults=400)
    plenty = {1: More(started=1, swap=0)}
    swapped = {1: More(started=1, swap=1 << 30)}
    assert answer(seen(one, later=(later,), more=swapped)) is Answer.STARVED
    assert answer(seen(one, later=(later,), more=plenty)) is Answer.ALIVE


def test_an_allocation_that_waits_is_starved():
    stacks = twice(stack("futex_wait", "mlx::core::malloc_or_wait", "py:step"))
    found = seen(process(), stacks=stacks, around=replace(ALONE, timers=1))
    assert answer(found) is Answer.STARVED


@pytest.mark.parametrize(("left", "good"), [(12.0, True), (600.0, False), (None, True)])
def test_a_sleeper_is_good_if_it_wakes_soon(left, good):
    one = process(1, thread(1, syscall=NANOSLEEP, args=(1, 1, 64, 0, 0, 0), wakes_in=left))
    found = judge(1, seen(one))
    assert (found.answer, found.good) == (Answer.ASLEEP, good)


def test_a_sleep_that_was_interrupted_is_told_by_the_look_before():
    one = process(1, thread(1, syscall=NANOSLEEP, args=(1, 1, 64, 0, 0, 0), wakes_in=600.0))
    later = process(1, thread(1, syscall=219, args=(0,) * 6))
    found = judge(1, seen(one, later=(later,)))
    assert found.evidence["wakes_in_s"] == pytest.approx(599.0)


def test_a_sleep_of_days_is_told_in_days():
    one = process(1, thread(1, syscall=NANOSLEEP, args=(1, 1, 64, 0, 0, 0), wakes_in=1e6))
    assert "wakes in 11 days 14 h at the latest" in judge(1, seen(one)).summary


@pytest.mark.parametrize(
    ("call", "words"),
    [(257, "a file, pipe or socket"), (275, "a file, pipe or socket"), (69, "a message queue"),
     (242, "a message queue"), (426, "a file, pipe or socket")],
)  # fmt: skip
def test_calls_that_are_rare_are_waits_too(call, words):
    found = judge(1, seen(process(1, thread(1, syscall=call, args=(3, 0, 0, 0, 0, 0)))))
    assert (found.answer, f"waits for {words}" in found.summary) == (Answer.WAITING, True)


def test_what_sleeps_in_an_unknown_call_does_not_run():
    stacks = twice(stack("some_call", "py:step"))
    found = judge(1, seen(process(1, thread(1, syscall=999, args=(0,) * 6)), stacks=stacks))
    assert found.answer is Answer.STALLED
    assert "is blocked (some_call)" in found.summary


def test_without_native_frames_a_loop_is_not_told_from_a_long_call():
    loop = tuple(replace(one, native=False) for one in (stack("py:look_for_ever", "py:step"),))
    found = judge(1, seen(SPIN, later=(busy(SPIN),), stacks={1: (loop, loop)}))
    assert (found.answer, found.sure) == (Answer.ALIVE, False)


def test_a_connection_of_a_process_with_itself_is_told():
    reads = process(1, thread(1, syscall=READ, args=(5, 0, 1, 0, 0, 0)))
    links = {1: (Link(told="a socket to port 80 of this machine", only_own=True),)}
    found = judge(1, seen(reads, links=links))
    assert "of this machine that no other process has the other end of" in found.summary


WAITING = {
    "a pipe": (thread(1, syscall=READ, args=(5, 0, 1, 0, 0, 0)), "a pipe"),
    "a signal": (thread(1, syscall=PAUSE, args=(0,) * 6), "a signal"),
    "a shared lock": (thread(1, args=SHARED), "processes share"),
    "a disk": (thread(1, state="D", syscall=None), "disk"),
    "a child": (thread(1, syscall=WAIT4, args=(2, 0, 0, 0, 0, 0)), "child process"),
}


@pytest.mark.parametrize(("main", "words"), WAITING.values(), ids=WAITING)
def test_what_it_waits_for_is_told(main, words):
    links = {1: (Link(told="a pipe", peers=(9,)),)}
    found = judge(1, seen(process(1, main), links=links, names={9: "python loader.py"}))
    assert found.answer is Answer.WAITING
    assert words in found.summary


def test_the_other_end_of_a_pipe_is_named():
    reads = process(1, thread(1, syscall=READ, args=(5, 0, 1, 0, 0, 0)))
    links = {1: (Link(told="a pipe", peers=(9,)),)}
    found = judge(1, seen(reads, links=links, names={9: "python loader.py"}))
    assert "process 9 (python loader.py)" in found.summary


def test_a_heartbeat_beside_a_main_thread_that_hangs_does_not_save_it():
    beat = {"syscall": NANOSLEEP, "args": (1, 1, 64, 0, 0, 0), "wakes_in": 0.4}
    before = process(1, thread(1), thread(2, **beat))
    later = process(1, thread(1), thread(2, switches=44, **beat))
    lock = twice(
        stack("lock_PyThread_acquire_lock", "py:step"),
        stack("time_sleep", "py:beat", tid=2, main=False),
    )
    found = seen(before, later=(later,), stacks=lock)
    assert answer(found) is Answer.STALLED


def test_a_main_thread_that_wakes_and_waits_again_polls():
    later = process(1, thread(1, switches=60))
    found = judge(1, seen(process(), later=(later,)))
    assert (found.answer, found.good) == (Answer.ASLEEP, True)


def test_a_gpu_that_works_is_waited_for_and_one_that_does_not_is_too():
    around = replace(ALONE, devices=("/dev/nvidia0",))
    stacks = twice(WAITS_IN_EVAL)
    works = seen(process(), around=around, stacks=stacks, gpu=("NVIDIA H100, 100 %, 9 MiB",))
    idle = seen(process(), around=around, stacks=stacks, gpu=("NVIDIA H100, 0 %, 9 MiB",))
    assert answer(works) is Answer.ALIVE
    assert answer(idle) is Answer.WAITING


def test_what_has_gone_has_ended():
    gone = seen(process(), later=(process(2),))
    assert judge(1, gone).answer is Answer.ENDED


def test_a_number_given_to_another_process_is_not_taken_for_the_same():
    found = seen(process())
    first, last = found.windows[-1][0], found.windows[-1][-1]
    other = replace(last, more={1: More(started=99)})
    assert motion(((first, other),), 1).came_or_went
    assert not motion(((first, last),), 1).came_or_went


# --- without a debugger's rights -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("waits_in", "expected"),
    [
        ("futex_do_wait", Wait.FUTEX),
        ("futex_wait_queue", Wait.FUTEX),
        ("do_wait", Wait.CHILD),
        ("hrtimer_nanosleep", Wait.SLEEP),
        ("anon_pipe_read", Wait.FILE),
        ("ep_poll", Wait.FILE),
        ("wait_woken", Wait.FILE),
        ("sigsuspend", Wait.SIGNAL),
        ("0", None),
        ("", None),
    ],
)
def test_the_kernels_own_function_stands_in_for_the_system_call(waits_in, expected):
    assert kernel_wait(thread(syscall=None, args=()), waits_in, "x86_64") is expected


def test_what_cannot_be_read_is_not_called_dead_for_sure():
    found = judge(1, seen(process(1, thread(1, syscall=None, args=(), switches=4))))
    assert found.answer is Answer.STALLED
    assert "may be asleep" in found.summary


# --- trees ---------------------------------------------------------------------------------------


def rank(pid, main):
    return process(pid, main, ppid=1)


def test_a_launcher_is_as_its_ranks_are():
    spins = rank(3, thread(3, **RUNNING))
    asleep = rank(2, thread(2, syscall=PAUSE, args=(0,) * 6))
    found = judge_tree(seen(LAUNCHER, asleep, spins, later=(LAUNCHER, asleep, busy(spins))))
    assert found.answer is Answer.ALIVE
    assert found.good


def test_one_rank_that_is_stopped_is_enough_and_comes_first():
    works = [rank(pid, thread(pid, **RUNNING)) for pid in (2, 3)]
    stopped = process(4, thread(4, state="T"), ppid=1, state="T")
    before = (LAUNCHER, *works, stopped)
    later = (LAUNCHER, *map(busy, works), stopped)
    found = judge_tree(seen(*before, later=later))
    assert (found.answer, found.decided_by, found.good) == (Answer.STOPPED, 4, False)
    assert [one.pid for one in found.processes] == [4, 2, 3, 1]


def test_a_child_that_sleeps_for_long_is_waited_for():
    asleep = rank(2, thread(2, syscall=NANOSLEEP, args=(1, 1, 64, 0, 0, 0), wakes_in=600.0))
    found = judge_tree(seen(LAUNCHER, asleep))
    assert (found.answer, found.good) == (Answer.WAITING, False)


def test_the_root_is_alive_whatever_its_children_do():
    dead = rank(2, thread(2))
    found = judge_tree(seen(SPIN, dead, later=(busy(SPIN), dead)))
    assert found.answer is Answer.ALIVE


@given(
    st.dictionaries(
        st.integers(1, 6),
        st.tuples(st.lists(st.integers(1, 8), max_size=3), st.sampled_from(Answer)),
        min_size=1,
    )
)
def test_whoever_waits_for_whom_there_is_one_answer(graph):  # fmt: skip
    judged = {
        pid: Judged(pid=pid, answer=kind, summary="", good=False, on=tuple(on))
        for pid, (on, kind) in graph.items()
    }
    start = min(judged)
    ends = tree._ends(start, judged)
    assert ends
    assert set(ends) <= set(judged)
    assert tree._deciding([judged[pid] for pid in ends]).pid in ends


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["/usr/bin/python3", "-u", "/home/me/train.py", "--key", "s"], "python3 train.py ..."),
        (["python", "-m", "mlx_lm", "lora", "--model", "m"], "python -m mlx_lm ..."),
        (["python", "-X", "dev", "-c", "print('secret')"], "python -c ..."),
        (["/opt/trainer"], "trainer"),
        (["sh", "-c", "SECRET=1 x"], "sh ..."),
        (["python"], "python"),
        (["postgres: writer process of me"], "trainer"),
        ([], "trainer"),
    ],
)
def test_a_command_is_named_without_its_arguments(argv, shown):
    assert " ".join(target.words(argv, "trainer")) == shown


@given(st.lists(st.text(min_size=1), max_size=6))
def test_no_argument_but_the_script_is_ever_shown(arguments):
    shown = target.words(["/usr/bin/python", "train.py", *arguments])
    assert shown[:2] == ("python", "train.py")
    assert set(shown[2:]) <= {"..."}


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["python", "-m", "mlx_lm", "lora"], "mlx_lm.lora"),
        (["python", "/venv/bin/mlx_lm.lora", "--train"], "mlx_lm.lora"),
        (["python", "-m", "mlx_lm.lora"], "mlx_lm.lora"),
        (["python", "/a/train.py"], "train"),
        (["./trainer", "--steps", "3"], "trainer"),
    ],
)
def test_a_program_is_known_by_its_names(argv, name):
    assert name in target.names(argv)


# --- what becomes of it --------------------------------------------------------------------------


def told(found):
    watched = Watched(seen=found, tree=judge_tree(found), captures={}, seconds=4.0)
    return result.run(watched, "train.py", ("python", "train.py", "..."),
                      datetime.now(timezone.utc), ("harness", "attach", "1"))  # fmt: skip


DEAD, ALIVE = seen(process()), seen(SPIN, later=(busy(SPIN),))


def test_the_dead_are_hung_with_a_cause_and_the_living_are_not():
    (dead,), (alive,) = told(DEAD).results, told(ALIVE).results
    assert (dead.outcome, dead.cause.code, dead.cause.proven) == (Outcome.HUNG, "deadlock", True)
    assert dead.cause.summary.startswith("deadlock: cannot go on: ")
    assert (alive.outcome, alive.cause) == (Outcome.UNFINISHED, None)
    assert alive.reason.startswith("alive")


@pytest.mark.parametrize("found", [DEAD, ALIVE], ids=["dead", "alive"])
def test_its_document_follows_the_schema(found):
    schema = json.loads((ROOT / "docs" / "run.schema.json").read_text())
    jsonschema.validate(runjson.document(told(found)), schema)


def test_the_report_names_the_answer_and_each_process():
    text = attached(ReportInput(run=told(DEAD)))
    assert "Answer: deadlock" in text
    assert "| 1 python train.py ... |" in text


@pytest.mark.parametrize(("found", "answer"), [(DEAD, "deadlock"), (ALIVE, "alive")])
def test_a_report_is_titled_by_the_process_and_counts_no_steps(found, answer):
    run = told(found)
    text = markdown.render(ReportInput(run=run))
    assert text.startswith(f"# train.py (process 1): {answer}\n")
    assert "of 0" not in text
    assert "MLX training step" not in text
    page = html.render(ReportInput(run=run))
    assert f"<h1>train.py (process 1): {answer}</h1>" in page
    assert "0 of 0" not in page
    assert f'failures="{int(found is DEAD)}"' in junit.render(run).decode()


def test_other_runs_have_no_such_section():
    run = told(DEAD)
    other = replace(run, results=(replace(run.results[0], findings=()),))
    assert attached(ReportInput(run=other)) == ""
