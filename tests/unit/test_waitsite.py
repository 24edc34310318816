"""Wait sites and fingerprints, on recorded stacks and on stacks made up here."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stacks import wait_site
from harness.stacks.parse import Frame, Gil, ThreadStack, parse
from harness.stacks.parse.frames import native
from harness.stacks.wait_rules import SERVES, SERVES_MPI, Category

SAMPLES = Path(__file__).parent / "stack_samples"
PYSTACK = sorted(path.stem for path in SAMPLES.glob("*-pystack.txt"))


def load(name: str) -> tuple[ThreadStack, ...]:
    """The threads of a recording; its main thread has the lowest number, as on Linux."""
    tool = name.partition("-")[2].removesuffix("-native")
    found = parse(tool, (SAMPLES / f"{name}.txt").read_text(), 0)
    first = min(thread.tid or 0 for thread in found)
    if tool in ("pystack", "gdb"):
        found = tuple(msgspec.structs.replace(t, main=t.tid == first) for t in found)
    return found


def explain(name: str) -> wait_site.Waits:
    waits = wait_site.explain(load(name))
    assert waits is not None
    return waits


def test_a_thread_whose_native_frames_are_missing_is_not_called_running():
    waits = explain("unmerged-pystack")
    assert (waits.overall.category, waits.overall.description) == ("unknown", "was not seen")
    assert waits.overall.python_frame == "two_locks.py:22 in lock_both"


@pytest.mark.parametrize(
    ("name", "category", "function"),
    [
        ("fork_deadlock-pystack", "stream_evaluation", "mlx::core::Event::wait"),
        ("fork_deadlock-py-spy-native", "stream_evaluation", "mlx::core::Event::wait"),
        ("fork_deadlock-gdb", "stream_evaluation", "mlx::core::Event::wait"),
        ("fork_deadlock-sample", "stream_evaluation", "mlx::core::Event::wait"),
        ("fork_deadlock-py-spy", "unknown", "fork_deadlock"),
        ("metal-sample", "stream_evaluation", None),
        ("ring-pystack", "collective", None),
        ("ring-gdb", "collective", None),
        ("ring-py-spy-native", "stream_evaluation", "mlx::core::Event::wait"),
        ("alone-pystack", "collective", "mlx::core::distributed::ring::init"),
        ("alone-py-spy-native", "collective", "mlx::core::distributed::ring::init"),
        ("locks-pystack", "lock", "PyThread_acquire_lock_timed"),
        ("locks-py-spy-native", "lock", "PyThread_acquire_lock_timed"),
        ("locks-gdb", "lock", "PyThread_acquire_lock_timed"),
        ("locks-faulthandler", "unknown", "locks"),
        ("mutex-pystack", "lock", "lll_lock_wait"),
        ("mutex-gdb", "lock", "pthread_mutex_lock"),
        ("mutex-py-spy-native", "lock", "pthread_mutex_lock"),
        ("joined-pystack", "lock", "_wait_for_tstate_lock"),
        ("empty_queue-pystack", "queue", "get"),
        ("empty_queue-py-spy", "queue", "get"),
        ("process_queue-pystack", "queue", "get"),
        ("child-pystack", "child", "_try_wait"),
        ("child-gdb", "child", "wait4"),
        ("sleeps-pystack", "sleep", "clock_nanosleep"),
        ("receives-pystack", "io", "recv"),
        ("receives-gdb", "io", "recv"),
        ("accepts-py-spy-native", "io", "accept4"),
        ("reads-pystack", "io", "read"),
        ("gil-pystack", "gil", "pause"),
        ("gil-py-spy-native", "gil", "pause"),
        ("gil-gdb", "gil", "pause"),
        ("jit-pystack", "jit", "mlx::core::JitCompiler::exec"),
        ("jit-gdb", "jit", "mlx::core::JitCompiler::exec"),
        ("spins-pystack", "running", None),
        ("spins-py-spy", "running", "spins"),
        ("spins_native-pystack", "running", None),
        ("healthy-pystack", "running", None),
        ("healthy-gdb", "running", None),
    ],
)
def test_recorded_hangs(name: str, category: str, function: str | None) -> None:
    overall = explain(name).overall
    assert overall.category == category
    if function is not None:
        assert overall.function == function


def test_every_kind_of_hang_is_recorded() -> None:
    named = {explain(name).overall.category for name in PYSTACK}
    # A sample of waiting for memory needs a machine that has run out of it.
    assert set(Category) - named == {Category.MEMORY, Category.IDLE}


def test_the_users_own_line_is_named() -> None:
    assert explain("empty_queue-pystack").overall.python_frame is not None
    for tool in ("pystack", "py-spy-native", "py-spy"):
        frame = explain(f"empty_queue-{tool}").overall.python_frame
        assert frame is not None
        assert frame.startswith("stacks_hangs.py:")
        assert frame.endswith(" in empty_queue")


def test_a_worker_names_the_cause_with_the_line_that_waits_for_it() -> None:
    waits = explain("ring-pystack")
    assert not waits.overall.main
    assert "RingGroup::all_reduce" in (waits.overall.function or "")
    assert (waits.overall.python_frame or "").endswith(" in rank")
    assert waits.threads[0].main
    assert waits.threads[0].category is Category.STREAM_EVALUATION
    assert sum(site.category is Category.IDLE for site in waits.threads) >= 2


def test_a_lock_says_that_another_python_thread_waits_for_one() -> None:
    assert "another Python thread" in explain("locks-pystack").overall.description
    assert "another" not in explain("mutex-pystack").overall.description


def test_who_holds_the_gil_is_said() -> None:
    assert explain("mutex-pystack").overall.holds_gil
    assert not explain("locks-pystack").overall.holds_gil


# --- made up ------------------------------------------------------------------------------------


def c(function: str, system: bool = True) -> Frame:
    return Frame(function=function, file="libc.so.6" if system else "libmlx.so", system=system)


def py(function: str, file: str = "train.py", line: int = 7, system: bool = False) -> Frame:
    return Frame(function=function, file=file, line=line, python=True, system=system)


def in_library(file: str) -> Frame:
    """A native frame that the tool knows no name for, as of a jump to another library."""
    return native("???", None, None, f"/usr/lib/{file}")


def thread(*frames: Frame, tid: int = 1, **changes: object) -> ThreadStack:
    made = ThreadStack(frames=frames, tid=tid, main=tid == 1)
    return msgspec.structs.replace(made, **changes)


MAIN = (py("step"), py("<module>", line=90))
EVAL = (c("pthread_cond_wait"), c("mlx::core::Event::wait()", False), *MAIN)
IDLE = (c("pthread_cond_wait"), c("mlx::core::scheduler::StreamThread::thread_fn()", False))


def overall(*threads: ThreadStack) -> Category:
    waits = wait_site.explain(threads)
    assert waits is not None
    return waits.overall.category


@pytest.mark.parametrize(
    ("frames", "category"),
    [
        ((c("mlx::core::allocator::malloc_or_wait(unsigned long)", False),), "memory"),
        ((c("cudaEventSynchronize", False), c("mlx::core::CudaEvent::wait()", False)),
         "stream_evaluation"),
        ((c("poll"), c("ncclAllReduce", False), *MAIN), "collective"),
        ((c("poll"), c("pncclAllReduce", False), *MAIN), "collective"),
        ((c("poll"), c("bootstrapAllGather(void*, void*, int)", False),
          c("ncclCommInitRankFunc(ncclAsyncJob*)", False), *MAIN), "collective"),
        ((c("accept"), c("mlx::core::distributed::nccl::init(bool)", False), *MAIN),
         "collective"),
        ((c("poll"), c("PMPI_Init", False), *MAIN), "collective"),
        ((c("usleep"), c("ompi_mpi_finalize", False), *MAIN), "collective"),
        ((c("mlx5_poll_cq", False), c("jaccl::Mesh::all_sum()", False), *MAIN), "collective"),
        ((c("ibv_poll_cq", False), *MAIN), "collective"),
        ((c("__psynch_mutexwait"), c("f", False)), "lock"),
        ((c("kevent"), *MAIN), "io"),
        ((c("take_gil"), *MAIN), "gil"),
        ((c("???"), c("pthread_cond_timedwait"), *MAIN), "gil"),
        ((c("pthread_cond_timedwait"), c("lock_PyThread_acquire_lock"), *MAIN), "lock"),
        ((c("mlx::core::eval_impl(int)", False), *MAIN), "running"),
        ((c("futex_wait"), c("mlx::core::eval_impl(int)", False), *MAIN), "stream_evaluation"),
        ((c("???"), *MAIN), "unknown"),
        ((in_library("libpython3.11.so.1.0"), *MAIN), "running"),
        ((in_library("python3.13t"), *MAIN), "running"),
        ((in_library("libc.so.6"), in_library("libpython3.11.so.1.0"), *MAIN), "unknown"),
        ((c("sre_match"), *MAIN), "running"),
        (MAIN, "running"),
        ((py("wait", "threading.py", system=True), *MAIN), "lock"),
        ((py("join", "process.py", system=True), *MAIN), "child"),
        ((py("get", "queue.py"), *MAIN), "queue"),
    ],
)  # fmt: skip
def test_made_up_stacks(frames: tuple[Frame, ...], category: str) -> None:
    if frames[0] == py("get", "queue.py"):
        # A user's own queue.py is not Python's.
        assert overall(thread(*frames)) is Category.RUNNING
    else:
        assert overall(thread(*frames)) == category


@pytest.mark.parametrize(
    "begins",
    [in_library("libopen-pal.so.40.30.2"), in_library("libpmix.so.2"), c("progress_engine", False)],
)
def test_a_thread_of_mpi_itself_has_nothing_to_do(begins: Frame) -> None:
    loop = (c("event_base_loop", False), begins)
    waits = wait_site.wait_site(thread(c("epoll_wait"), *loop))
    assert (waits.category, waits.description) == (Category.IDLE, SERVES_MPI)
    # It works while it does not wait, and what the training calls is no thread of MPI's.
    assert wait_site.wait_site(thread(*loop)).category is not Category.IDLE
    assert wait_site.wait_site(thread(c("poll"), *loop, *MAIN)).category is Category.IO


def test_a_frame_of_ours_is_not_the_users_line() -> None:
    ours = msgspec.structs.replace(py("init", "collectives.py"), ours=True)
    site = wait_site.wait_site(thread(c("poll"), c("PMPI_Init", False), ours, *MAIN))
    assert site.python_frame == wait_site.wait_site(thread(c("poll"), *MAIN)).python_frame
    alone = wait_site.wait_site(thread(c("poll"), ours))
    assert alone.python_frame is not None
    assert alone.python_frame.startswith("collectives.py:")


def test_code_that_exec_has_made_is_not_the_users_line() -> None:
    """As the property of a `multiprocessing.Value` that takes its lock."""
    made = py("getvalue", "<string>", 3)
    for frames, line in ((MAIN, "train.py:7 in step"), ((), "<string>:3 in getvalue")):
        site = wait_site.wait_site(thread(c("sem_wait"), made, *frames))
        assert site.python_frame == line
    run = py("<module>", "<string>", 1)  # python -c
    site = wait_site.wait_site(thread(c("sem_wait"), made, run))
    assert site.python_frame == "<string>:3 in getvalue"


def test_the_users_line_comes_before_that_of_an_installed_package() -> None:
    package = msgspec.structs.replace(py("thread_map", "concurrent.py", 163), installed="tqdm")
    site = wait_site.wait_site(thread(c("sem_wait"), package, *MAIN))
    assert site.python_frame == "train.py:7 in step"
    run = py("<module>", "<string>", 1)
    for rest in ((), (run,)):  # python -m tqdm, python -c
        site = wait_site.wait_site(thread(c("sem_wait"), package, *rest))
        assert site.python_frame == "concurrent.py:163 in thread_map"


def test_python_frames_alone_do_not_claim_that_a_thread_runs() -> None:
    assert overall(thread(*MAIN, native=False)) is Category.UNKNOWN
    assert overall(thread(*MAIN, native=False, running=True)) is Category.RUNNING
    assert overall(thread(*MAIN, native=False, running=False)) is Category.UNKNOWN


def test_an_idle_stream_leaves_the_evaluation_as_the_cause() -> None:
    assert overall(thread(*EVAL), thread(*IDLE, tid=2)) is Category.STREAM_EVALUATION


def test_a_stream_at_work_is_running() -> None:
    kernel = thread(c("sgemm_", False), *IDLE[1:], tid=2)
    assert overall(thread(*EVAL), kernel) is Category.RUNNING


@pytest.mark.parametrize(
    "function",
    [
        "ncclProxyService(void*)",
        "ncclProxyServiceUDS(void*)",
        "ncclProxyProgress(void*)",
        "bootstrapRoot(void*)",
        "rasThreadMain(void*) [clone .cold.14]",
        "ncclIbAsyncThreadMain(void*)",
        "persistentSocketThread(void*)",
    ],
)
def test_a_helper_of_nccl_waits_for_no_rank(function: str) -> None:
    inner = c("ncclSocketRecv(ncclSocket*, void*, int)", False)
    helper = thread(c("poll"), inner, c(function, False), tid=2)
    for one in (helper, thread(inner, c(function, False), tid=2, running=True)):
        site = wait_site.wait_site(one)
        assert (site.category, site.description) == (Category.IDLE, SERVES)
    assert overall(thread(*EVAL), helper) is Category.STREAM_EVALUATION


def test_the_names_of_the_helpers_are_those_of_nccl_2_28() -> None:
    """As pystack saw the thread that rank 0 starts to gather the others."""
    main, root = explain("nccl_bootstrap-pystack").threads
    assert (main.category, main.python_frame) == (Category.SLEEP, "nccl_boot.py:7 in wait")
    assert (root.category, root.description) == (Category.IDLE, SERVES)
    (stack,) = [one for one in load("nccl_bootstrap-pystack") if not one.main]
    own = [frame.function for frame in stack.frames if not frame.system]
    assert own[0].startswith("socketTryAccept")


def test_a_worker_of_the_cuda_backend_is_idle_until_a_task_comes() -> None:
    waits = thread(c("pthread_cond_wait"), c("mlx::core::cu::Worker::thread_fn()", False), tid=2)
    assert wait_site.wait_site(waits).category is Category.IDLE


def test_who_draws_bars_or_dumps_stacks_later_has_nothing_to_do_with_the_training() -> None:
    frame = py("run", "_monitor.py")
    waits = (c("sem_clockwait"), py("wait", "threading.py", system=True))
    dumps = (c("sem_clockwait"), c("PyThread_acquire_lock_timed"), c("faulthandler_thread"))
    tqdm = msgspec.structs.replace(frame, installed="tqdm")
    for frames in (dumps, (*waits, tqdm)):
        assert wait_site.wait_site(thread(*frames, tid=2)).category is Category.IDLE
    # A user's own file of that name may do anything.
    assert wait_site.wait_site(thread(*waits, frame, tid=2)).category is Category.LOCK
    assert wait_site.wait_site(thread(tqdm, tid=2)).category is Category.RUNNING


def test_a_driver_thread_is_not_taken_for_the_cause() -> None:
    driver = thread(c("poll"), c("???", False), tid=2)
    assert overall(thread(*EVAL), driver) is Category.STREAM_EVALUATION


def test_another_python_thread_does_not_explain_an_evaluation() -> None:
    reader = thread(c("read"), py("read_log"), tid=2)
    assert overall(thread(*EVAL), reader) is Category.STREAM_EVALUATION


def test_who_holds_the_gil_names_the_cause_of_waiting_for_it() -> None:
    main = thread(c("take_gil"), *MAIN, gil=Gil.WAITS)
    holder = thread(c("poll"), c("f", False), py("loader"), tid=2, gil=Gil.HOLDS)
    waits = wait_site.explain([main, holder])
    assert waits is not None
    assert waits.overall.tid == 2
    assert waits.overall.category is Category.IO


def test_nothing_seen_is_nothing_said() -> None:
    assert wait_site.explain([]) is None


def test_the_clearest_look_is_the_first_that_shows_anything() -> None:
    hidden, spins = thread(in_library("libc.so.6"), *MAIN), thread(*MAIN)
    for looks, category in (
        ([[hidden], [], [spins]], Category.RUNNING),
        ([[thread(*EVAL)], [spins]], Category.STREAM_EVALUATION),
        ([[], [hidden]], Category.UNKNOWN),
    ):
        waits = wait_site.clearest(looks)
        assert waits is not None
        assert waits.overall.category is category
    assert wait_site.clearest([[], []]) is None


# --- fingerprint --------------------------------------------------------------------------------


@pytest.mark.parametrize("hang", ["ring", "fork_deadlock"])
def test_two_recorded_runs_of_a_hang_have_one_fingerprint(hang: str) -> None:
    one, two = load(f"{hang}-pystack"), load(f"{hang}_again-pystack")
    assert {thread.tid for thread in one} != {thread.tid for thread in two}
    assert wait_site.fingerprint(one) == wait_site.fingerprint(two)


def test_recorded_hangs_have_fingerprints_of_their_own() -> None:
    names = [name for name in PYSTACK if "_again" not in name]
    assert len({wait_site.fingerprint(load(name)) for name in names}) == len(names)


def test_pystack_and_py_spy_agree_where_both_see_everything() -> None:
    for hang in ("fork_deadlock", "locks", "empty_queue", "child"):
        seen = {
            wait_site.fingerprint(load(f"{hang}-{tool}")) for tool in ("pystack", "py-spy-native")
        }
        assert len(seen) == 1


@given(st.sampled_from(PYSTACK), st.randoms(), st.integers(1, 1 << 40), st.integers(1, 500))
def test_a_fingerprint_ignores_order_numbers_lines_of_libraries_and_idle_workers(
    name: str, chance: random.Random, shift: int, lines: int
) -> None:
    threads = load(name)
    changed = [
        msgspec.structs.replace(
            one,
            tid=(one.tid or 0) + shift,
            frames=tuple(
                msgspec.structs.replace(frame, line=(frame.line or 0) + lines)
                if frame.system or not frame.python
                else frame
                for frame in one.frames
            ),
        )
        for one in threads
    ]
    idle = [one for one in changed if wait_site.wait_site(one).category is Category.IDLE]
    changed += idle * 3
    chance.shuffle(changed)
    assert wait_site.fingerprint(changed) == wait_site.fingerprint(threads)


def test_a_fingerprint_sees_another_line_and_another_category() -> None:
    here = wait_site.fingerprint([thread(*EVAL)])
    elsewhere = (*EVAL[:2], py("step", line=8), EVAL[-1])
    assert wait_site.fingerprint([thread(*elsewhere)]) != here
    assert wait_site.fingerprint([thread(c("recv"), *EVAL[1:])]) == here
    assert wait_site.fingerprint([thread(c("recv"), *MAIN)]) != here


def test_a_spinning_thread_has_one_fingerprint_wherever_it_was_caught() -> None:
    one = thread(c("list_extend"), py("<genexpr>"), py("spins", line=4), MAIN[1])
    two = thread(py("spins", line=5), MAIN[1])
    assert wait_site.fingerprint([one]) == wait_site.fingerprint([two])


def test_a_spin_lock_is_run_not_waited_for() -> None:
    spins = thread(c("pthread_spin_lock"), py("spin"), MAIN[1])
    assert wait_site.wait_site(spins).category is Category.RUNNING
    locked = thread(c("pthread_mutex_lock"), py("spin"), MAIN[1])
    assert wait_site.wait_site(locked).category is Category.LOCK


# --- moved --------------------------------------------------------------------------------------


def test_what_stands_still_is_in_the_same_place() -> None:
    for name in PYSTACK:
        assert wait_site.same_place(load(name), load(name))


def test_a_spinning_network_thread_is_not_movement() -> None:
    worker = c("mlx::core::distributed::ring::SocketThread::worker()", False)
    waits, spins = thread(c("recv"), worker, tid=2), thread(worker, tid=2)
    assert wait_site.same_place([thread(*EVAL), waits], [thread(*EVAL), spins])


def test_another_line_is_movement() -> None:
    one, two = thread(py("step", line=4)), thread(py("step", line=5))
    assert not wait_site.same_place([one], [two])


def test_a_stream_in_another_kernel_is_movement() -> None:
    kernels = [thread(c(name, False), *IDLE[1:], tid=2) for name in ("sgemm_", "exp")]
    assert not wait_site.same_place([thread(*EVAL), kernels[0]], [thread(*EVAL), kernels[1]])


def test_a_process_that_is_gone_has_moved() -> None:
    assert not wait_site.same_place([thread(*EVAL)], [])


def test_a_wait_for_mlx_data_is_one_for_the_loader():
    names = (
        ("__futex_abstimed_wait_common64", "libc.so.6"),
        ("pthread_cond_wait", "libc.so.6"),
        ("std::condition_variable::wait(std::unique_lock<std::mutex>&)", "libstdc++.so.6"),
        ("mlx::data::stream::Prefetch::next() const", "_c.so"),
    )
    frames = [native(name, None, None, f"/lib/{library}") for name, library in names]
    caller = Frame(function="batches", file="train.py", line=3, python=True)
    thread = ThreadStack(frames=(*frames, caller), tid=1, main=True)
    waits = wait_site.explain((thread,))
    assert waits is not None
    assert waits.overall.category is Category.QUEUE
    assert waits.overall.description == "waits for a batch of mlx-data"
