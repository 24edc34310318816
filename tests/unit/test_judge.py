"""What is said of made-up process trees: the answer, whether it is good, and why."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from observations import (
    ALONE,
    DISK,
    LAUNCHER,
    PAUSE,
    READS,
    RUNNING,
    SHARED,
    SPIN,
    awaits,
    busy,
    calls,
    process,
    seen,
    sleeps,
    stack,
    thread,
    twice,
)

from harness.detect.activity import motion
from harness.detect.chain.links import Ends
from harness.detect.tree import judge, judge_tree
from harness.detect.verdicts import GOOD_ENDS, OF_END, Answer
from harness.model.world import Futex, GpuUse, Link, More
from harness.stacks.parse import ThreadStack
from harness.stacks.parse.frames import native

replace = msgspec.structs.replace


def answer(found, pid=1):
    return judge(pid, found).answer


def test_what_nothing_can_wake_is_dead():
    found = judge(1, seen(process()))
    assert (found.answer, found.good) == (Answer.DEADLOCK, False)
    assert found.evidence["detector"] == "deadlock"
    assert found.evidence["chain"][0]["tid"] == 1
    assert [one["tid"] for one in found.evidence["threads"]] == [1]


def test_nothing_is_proven_of_memory_that_the_parent_may_share():
    assert answer(seen(process(), shares=frozenset({1}))) is Answer.STALLED


@pytest.mark.parametrize(
    "armed", [{"timers": 1}, {"handlers": ("SIGUSR1",)}, {"handlers": None}, {"pending": True}]
)
def test_nothing_is_proven_when_something_is_armed(armed):
    assert answer(seen(process(), around=replace(ALONE, **armed))) is Answer.STALLED


def test_a_window_that_moved_is_no_proof():
    later = process(1, thread(1, switches=41))
    assert answer(seen(process(), later=(later,))) is not Answer.DEADLOCK


@pytest.mark.parametrize(("state", "expected"), [("T", Answer.STOPPED), ("t", Answer.TRACED)])
def test_what_is_held_is_told_whatever_else_is_seen(state, expected):
    found = judge(1, seen(process(1, thread(1, state=state), state=state)))
    assert (found.answer, found.good) == (expected, False)


def test_the_debugger_is_named_of_a_descendant_as_well():
    held = process(2, thread(2, state="t"), ppid=1, state="t")
    found = seen(process(1), held, around=replace(ALONE, tracer=77))
    for look in (look for window in found.windows for look in window):
        del look.worlds[2]  # a look has one world, that of the root
    assert judge(2, found).summary == "is held by a debugger, process 77"


LOOP = twice(stack("py:look_for_ever", "py:step"))


def test_what_runs_is_alive_however_long_it_is_in_one_place():
    found = judge(1, seen(SPIN, later=(busy(SPIN),), stacks=LOOP))
    assert (found.answer, found.good) == (Answer.ALIVE, True)
    assert "main at train.py:7 in look_for_ever uses 50 % of a core" in found.summary
    assert found.summary.count("of a core") == 1


def test_a_loop_that_was_seen_for_long_enough_spins():
    spins = {1: "train.py:7 in look_for_ever"}
    found = judge(1, seen(SPIN, later=(busy(SPIN),), stacks=LOOP, spins=spins))
    assert (found.answer, found.good) == (Answer.SPINNING, False)
    assert found.summary.endswith("stays in one place: train.py:7 in look_for_ever")


def test_without_stacks_a_busy_process_is_alive():
    assert answer(seen(SPIN, later=(busy(SPIN),))) is Answer.ALIVE


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
    assert not judge(1, found).good


def test_a_compiler_at_work_is_compiling_and_one_that_sleeps_is_not():
    main = process(1, thread(1, **awaits(2)))
    compiler = process(2, thread(2, **RUNNING), ppid=1, name="cc1plus")
    found = judge(1, seen(main, compiler, later=(main, busy(compiler))))
    assert (found.answer, found.decided_by, found.on) == (Answer.COMPILING, 2, (2,))
    asleep = process(2, thread(2, **calls(PAUSE)), ppid=1, name="cc1plus")
    assert answer(seen(main, asleep)) is Answer.WAITING


def test_pages_that_come_back_starve_only_what_lacks_memory():
    one = process(1, thread(1, **DISK))
    later = replace(one, major_faults=400)
    plenty = {1: More(started=1, swap=0)}
    swapped = {1: More(started=1, swap=1 << 30)}
    assert answer(seen(one, later=(later,), more=swapped)) is Answer.STARVED
    assert answer(seen(one, later=(later,), more=plenty)) is Answer.WAITING


def test_an_allocation_that_waits_is_starved():
    stacks = twice(stack("futex_wait", "mlx::core::malloc_or_wait", "py:step"))
    found = seen(process(), stacks=stacks, around=replace(ALONE, timers=1))
    assert answer(found) is Answer.STARVED


@pytest.mark.parametrize(
    ("left", "expected", "good"),
    [
        (12.0, Answer.ASLEEP, True),
        (3000.0, Answer.ASLEEP, True),
        (None, Answer.ASLEEP, True),
        (86_400.0, Answer.STALLED, False),
    ],
)
def test_a_sleeper_is_believed_unless_it_wakes_in_hours(left, expected, good):
    found = judge(1, seen(process(1, thread(1, **sleeps(left)))))
    assert (found.answer, found.good) == (expected, good)
    assert found.evidence.get("wakes_in_s") == left


def test_a_sleep_is_told_with_its_end():
    assert judge(1, seen(process(1, thread(1, **sleeps(12.0))))).summary.endswith("(wakes in 12 s)")


WAITS = {
    "a pipe of another program": ({"kind": "pipe", "peers": (9,)}, Ends.PROGRAM),
    "a peer elsewhere": ({"kind": "tcp", "remote": "10.0.0.5:443"}, Ends.NETWORK),
    "a person": ({"kind": "terminal", "person": True}, Ends.PERSON),
    "a file": ({"kind": "file", "fs": "nfs4", "mount": "/data"}, Ends.FILE_SYSTEM),
    "a port": ({"kind": "tcp", "reopenable": True}, Ends.NETWORK),
}


@pytest.mark.parametrize(("link", "kind"), WAITS.values(), ids=WAITS)
def test_what_it_waits_for_is_told_and_is_good_where_that_may_live(link, kind):
    links = {1: (Link(told="a thing", **link),)}
    found = judge(1, seen(process(1, thread(1, **READS)), links=links, names={9: "feeder.py"}))
    assert (found.chain.end.kind, found.answer) == (kind, Answer.WAITING)
    assert found.good == (kind is not Ends.FILE_SYSTEM)


def test_the_other_end_of_a_pipe_is_named():
    links = {1: (Link(told="a pipe", kind="pipe", peers=(9,)),)}
    reads = process(1, thread(1, **READS))
    found = judge(1, seen(reads, links=links, names={9: "python loader.py"}))
    assert "process 9 (python loader.py)" in found.summary


def test_a_connection_of_a_process_with_itself_is_a_dead_end():
    links = {1: (Link(told="a socket to port 80 of this machine", kind="tcp", only_own=True),)}
    found = judge(1, seen(process(1, thread(1, **READS)), links=links))
    assert (found.answer, found.good) == (Answer.STALLED, False)
    assert "port 80 of this machine, which nobody else has open" in found.summary


def test_a_heartbeat_beside_a_main_thread_that_hangs_does_not_save_it():
    beats = sleeps(0.4)
    before = process(1, thread(1), thread(2, cpu_s=0.01, **beats), thread(3))
    later = process(1, thread(1), thread(2, cpu_s=0.01, switches=44, **beats), thread(3))
    stacks = twice(
        stack("pthread_mutex_lock", "py:step"), stack("time_sleep", "py:beat", tid=2, main=False)
    )

    def judged(owner):
        mutex = Futex(kind="mutex", sharers=(1,))
        futexes = {1: replace(mutex, owner=owner), 3: replace(mutex, owner=1)}
        return judge(1, seen(before, later=(later,), stacks=stacks, futexes=futexes))

    assert judged(3).answer is Answer.DEADLOCK
    assert "main and thread 3 wait for one another" in judged(3).summary
    # Another thread may unlock what it has locked itself: that is doubted.
    assert (judged(1).answer, judged(1).good) == (Answer.STALLED, False)
    assert "waits for itself to release a lock" in judged(1).summary


GPU = {"stacks": twice(WAITS_IN_EVAL), "on_gpu": frozenset({1})}
NVIDIA = replace(ALONE, devices=("/dev/nvidia0",))


@pytest.mark.parametrize(
    ("use", "expected", "good"),
    [
        ({"gpu": ("NVIDIA H100, 100 %, 9 MiB",)}, Answer.ALIVE, True),
        ({"gpu": ("NVIDIA H100, 0 %, 9 MiB",)}, Answer.STALLED, False),
        ({"gpu_use": GpuUse(own=97, named=True)}, Answer.ALIVE, True),
        ({"gpu_use": GpuUse(own=0, named=True, others=True, busy=99)}, Answer.STALLED, False),
        ({"gpu_use": GpuUse(named=True, others=True, busy=99)}, Answer.STALLED, False),
        ({"gpu_use": GpuUse(busy=99)}, Answer.ALIVE, True),
        ({"gpu_use": GpuUse(busy=0)}, Answer.STALLED, False),
        ({}, Answer.STALLED, False),
    ],
)
def test_a_gpu_is_waited_for_while_it_works_for_the_process(use, expected, good):
    found = judge(1, seen(process(), around=NVIDIA, **GPU, **use))
    assert (found.answer, found.good) == (expected, good)


def test_what_has_gone_has_ended():
    gone = judge(1, seen(process(), later=(process(2),)))
    assert (gone.answer, gone.good) == (Answer.ENDED, True)


def test_a_number_given_to_another_process_is_not_taken_for_the_same():
    found = seen(process())
    first, last = found.windows[-1][0], found.windows[-1][-1]
    other = replace(last, more={1: More(started=99)})
    assert motion(((first, other),), 1).came_or_went
    assert not motion(((first, last),), 1).came_or_went


def test_each_end_has_an_answer_and_what_must_act_is_not_good():
    assert OF_END.keys() == set(Ends)
    assert not GOOD_ENDS & {
        Ends.DEAD, Ends.CYCLE, Ends.SPINS, Ends.STOPPED, Ends.TRACED, Ends.MEMORY, Ends.GPU_IDLE,
        Ends.FILE_SYSTEM, Ends.UNKNOWN, Ends.PEERS,
    }  # fmt: skip


# --- without a debugger's rights -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("wchan", "expected", "good"),
    [
        ("hrtimer_nanosleep", Answer.ASLEEP, True),
        ("sigsuspend", Answer.WAITING, True),
        ("anon_pipe_read", Answer.WAITING, True),
        ("do_sys_poll", Answer.WAITING, True),
        ("futex_do_wait", Answer.STALLED, False),
        ("", Answer.STALLED, False),
        (None, Answer.STALLED, False),
    ],
)
def test_the_kernels_own_function_stands_in_for_the_system_call(wchan, expected, good):
    found = judge(1, seen(process(1, thread(1, syscall=None, wchan=wchan))))
    assert (found.answer, found.good) == (expected, good)
    assert found.evidence["detector"] == "chain"


def test_so_it_does_for_a_child():
    parent = process(1, thread(1, syscall=None, wchan="do_wait"))
    child = process(2, thread(2, **RUNNING), ppid=1)
    found = judge(1, seen(parent, child, later=(parent, busy(child))))
    assert (found.answer, found.decided_by) == (Answer.ALIVE, 2)


def test_what_cannot_be_read_is_not_called_dead_for_sure():
    found = judge(1, seen(process(1, thread(1, syscall=None, wchan="futex_do_wait"))))
    assert (found.answer, found.sure) == (Answer.STALLED, False)
    assert "may have a timeout, which cannot be read" in found.summary


@pytest.mark.parametrize(
    ("futex", "told"),
    [
        (None, "other processes may share"),
        (Futex(kind="shared", sharers=(1,), complete=False), "only another program that maps"),
        (Futex(kind="shared", sharers=(1,)), None),
        (Futex(kind="private", sharers=(1,)), None),
        (Futex(kind="private", sharers=(1,), complete=False), "other processes may share"),
    ],
)
def test_a_lock_that_others_may_share_is_no_dead_end(futex, told):
    main, armed = process(1, thread(1, **SHARED)), replace(ALONE, timers=1)
    found = judge(1, seen(main, around=armed, futexes={1: futex} if futex else {}))
    assert (found.answer, found.sure) == (Answer.STALLED, told is None)
    assert (told or "no other thread") in found.summary


# --- trees ---------------------------------------------------------------------------------------


def rank(pid, main):
    return process(pid, main, ppid=1)


def test_a_launcher_is_as_its_ranks_are():
    spins = rank(3, thread(3, **RUNNING))
    asleep = rank(2, thread(2, **calls(PAUSE)))
    found = judge_tree(seen(LAUNCHER, asleep, spins, later=(LAUNCHER, asleep, busy(spins))))
    assert (found.answer, found.good, found.decided_by) == (Answer.ALIVE, True, 3)


def test_one_rank_that_is_stopped_is_told_where_the_others_do_not_go_on():
    works = [rank(pid, thread(pid, **RUNNING)) for pid in (2, 3)]
    stopped = process(4, thread(4, state="T"), ppid=1, state="T")
    before = (LAUNCHER, *works, stopped)
    found = judge_tree(seen(*before, later=(LAUNCHER, *map(busy, works), stopped)))
    assert (found.answer, found.good) == (Answer.ALIVE, True)
    assert found.by_pid[4].answer is Answer.STOPPED
    alone = judge_tree(seen(LAUNCHER, stopped, later=(LAUNCHER, stopped)))
    assert (alone.answer, alone.decided_by, alone.good) == (Answer.STOPPED, 4, False)
    assert [one.pid for one in alone.processes] == [4, 1]


def test_a_child_that_sleeps_is_waited_for_as_it_sleeps():
    for left, good in ((600.0, True), (86_400.0, False)):
        found = judge_tree(seen(LAUNCHER, rank(2, thread(2, **sleeps(left)))))
        assert (found.good, found.decided_by) == (good, 2)


def test_a_child_that_has_ended_is_seen_and_no_one_waits_for_it():
    ended = process(2, thread(2, state="Z"), ppid=1, state="Z")
    found = judge_tree(seen(LAUNCHER, ended))
    assert not found.good
    assert "waits for a child process" in found.summary


def test_the_root_is_alive_whatever_its_children_do():
    dead = rank(2, thread(2))
    found = judge_tree(seen(SPIN, dead, later=(busy(SPIN), dead)))
    assert found.answer is Answer.ALIVE


def test_a_wrapper_is_dead_as_what_it_wraps():
    """Whatever signals and timers it has of its own, as timeout(1) does."""
    outer = process(1, thread(1, **calls(PAUSE)))
    inner = process(2, thread(2), ppid=1)
    found = judge_tree(seen(outer, inner))
    assert (found.answer, found.decided_by) == (Answer.DEADLOCK, 2)


@pytest.mark.parametrize(
    ("shell", "timer", "dead"),
    [(True, {"timers": 1}, False), (True, {"alarm": True}, False), (True, {}, True),
     (False, {"timers": 1}, True)],
)  # fmt: skip
def test_a_script_goes_on_when_the_timer_of_what_it_waits_for_rings(shell, timer, dead):
    """`timeout 60 test; next`: only the outermost wrapper has nobody that waits for it."""
    wrapper = process(2, thread(2, **calls(PAUSE)), ppid=1)
    tree = (wrapper, process(3, thread(3), ppid=2))
    if not shell:
        tree = (process(1, thread(1, **calls(PAUSE))), process(3, thread(3), ppid=1))
    found = seen(*(process(1, thread(1, **awaits())),) * shell, *tree)
    worlds = [
        replace(one.worlds[1], surroundings=one.worlds[1].surroundings
                | {tree[0].pid: replace(ALONE, **timer)})
        for one in found.windows[-1]
    ]  # fmt: skip
    looks = zip(found.windows[-1], worlds, strict=True)
    timed = tuple(replace(look, worlds={1: world}) for look, world in looks)
    found = replace(found, windows=(timed, timed))
    assert (judge(1, found).answer is Answer.DEADLOCK) == dead


@pytest.mark.parametrize("lives", [False, True])
def test_a_wrapper_goes_on_when_a_thread_that_lives_ends_what_it_wraps(lives):
    """A watchdog of the trainer calls os._exit, and the shell starts the trainer again."""
    locks = {one: Futex(kind="rlock", owner=other) for one, other in ((2, 4), (4, 2))}
    watchdog = [thread(3, cpu_s=0.0, **sleeps(30.0))] * lives
    inner = process(2, thread(2), thread(4), *watchdog, ppid=1)
    found = seen(process(1, thread(1, **awaits())), inner, futexes=locks, trains=(1, 1))
    assert (judge(1, found).answer is Answer.DEADLOCK) != lives


@pytest.mark.parametrize(("child", "dead"), [(2, True), (2**64 - 1, False)])
def test_who_waits_for_any_child_goes_on_when_a_thread_beside_it_starts_another(child, dead):
    outer = process(1, thread(1, **awaits(child)), thread(3, **sleeps(30.0)))
    found = seen(outer, process(2, thread(2), ppid=1), trains=(1, 1))
    assert (judge(1, found).answer is Answer.DEADLOCK) == dead


@given(st.lists(st.sampled_from([5.0, 86_400.0, None]), min_size=2, max_size=5))
def test_the_process_that_decides_is_told_first_and_none_is_left_out(sleepers):
    children = [
        rank(pid, thread(pid) if left is None else thread(pid, **sleeps(left)))
        for pid, left in enumerate(sleepers, 2)
    ]
    found = judge_tree(seen(LAUNCHER, *children))
    assert found.processes[0].pid == found.decided_by
    assert {one.pid for one in found.processes} == {1, *(one.pid for one in children)}
    assert found.good == (5.0 in sleepers)
    assert (found.answer is Answer.DEADLOCK) == (set(sleepers) == {None})


def test_a_wait_in_code_without_names_is_not_told_as_work():
    """As of libgomp's barrier: it makes the system call itself."""
    inner = native("???", None, None, "/lib/libgomp.so.1+0x1f823")
    own = native("train()", "train.cpp", 11, "/opt/train")
    waits = twice(ThreadStack(frames=(inner, own), tid=1, main=True))
    told = judge(1, seen(process(), stacks=waits)).evidence
    assert told["wait_site"] == "is blocked, from train.cpp:11 in train"
    assert told["wait_category"] == "unknown"
    told = judge(1, seen(SPIN, later=(busy(SPIN),), stacks=waits)).evidence
    assert told["wait_site"].startswith("is running")
    assert told["wait_category"] == "running"
