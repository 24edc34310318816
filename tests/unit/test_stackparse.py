"""Parsers of stack tools, on what the tools really printed (stack_samples/README.md)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import harness
from harness.privacy import redacted
from harness.privacy.redact import Personal
from harness.stacks.parse import PARSERS, Gil, parse, pyspy
from harness.stacks.parse.frames import Frame, ThreadStack, native, python
from harness.stacks.parse.names import bare_name

SAMPLES = Path(__file__).parent / "stack_samples"


def threads(name: str, pid: int = 0) -> tuple[ThreadStack, ...]:
    tool = name.partition("-")[2].removesuffix("-native")
    return parse(tool, (SAMPLES / f"{name}.txt").read_text(), pid)


def functions(thread: ThreadStack) -> list[str]:
    return [frame.function for frame in thread.frames]


def test_pystack_merges_python_and_native_frames_innermost_first() -> None:
    first, main = threads("locks-pystack")
    pid = main.tid
    assert pid is not None
    assert functions(main)[-2:] == ["locks", "<module>"]
    assert main.frames[0].function.startswith("__futex_abstimed_wait")
    assert [thread.main for thread in threads("locks-pystack", pid)] == [False, True]
    other = next(frame for frame in first.frames if frame.function == "other")
    assert other == Frame(
        function="other",
        file="stacks_hangs.py",
        line=other.line,
        python=True,
        source="with first:",
    )


def test_pystack_says_who_holds_the_gil() -> None:
    assert [thread.gil for thread in threads("gil-pystack")] == [Gil.WAITS, Gil.HOLDS]


def test_pystack_keeps_cpp_names_whole_and_drops_the_library_after_them() -> None:
    names = {name for thread in threads("ring-pystack") for name in functions(thread)}
    assert "mlx::core::Event::wait()" in names
    assert not any(name.endswith(".so)") for name in names)


def test_pystack_inlined_frames_lose_their_mark_in_the_plain_name() -> None:
    (main,) = threads("fork_deadlock-pystack")
    assert bare_name(functions(main)[0]) == "__futex_abstimed_wait_common64"


def test_py_spy_tells_python_from_native_and_the_library_from_the_system() -> None:
    (main,) = threads("empty_queue-py-spy-native")
    assert main.main
    assert main.native
    assert main.running is False
    found = {frame.function: frame for frame in main.frames}
    assert found["PyThread_acquire_lock_timed"].system
    assert not found["PyThread_acquire_lock_timed"].python
    assert found["Queue.get"].python
    assert found["Queue.get"].system
    assert found["empty_queue"].python
    assert not found["empty_queue"].system
    assert main.frames[0].function == "???"


def test_py_spy_without_native_frames_says_so() -> None:
    assert not any(thread.native for thread in threads("locks-py-spy"))
    assert [thread.name for thread in threads("locks-py-spy")] == ["MainThread", "Thread-1 (other)"]


def test_py_spy_knows_who_runs_with_the_gil() -> None:
    (main,) = threads("spins-py-spy")
    assert main.running
    assert main.gil is Gil.HOLDS


@pytest.mark.parametrize("look", ["native", "nonblocking"])
def test_py_spys_json_says_who_holds_the_gil_while_it_waits(look: str) -> None:
    text = pyspy.text_of((SAMPLES / f"gil-py-spy-{look}.json").read_text())
    main, wants = parse("py-spy", text, 0)
    assert (main.name, wants.name) == ("MainThread", "Thread-1 (wants)")
    assert (main.gil, main.running, wants.gil) == (Gil.HOLDS, False, None)
    assert main.native is (look == "native")
    own = next(frame for frame in main.frames if frame.function == "gil")
    assert own == Frame(function="gil", file="stacks_hangs.py", line=own.line, python=True)
    if look == "native":
        assert functions(main)[0] == "pause"
        assert main.frames[0].file == "libc.so.6"
        assert next(frame for frame in main.frames if frame.file == "callproc.c").system


def test_py_spys_json_becomes_the_text_that_people_read() -> None:
    text = pyspy.text_of((SAMPLES / "gil-py-spy-nonblocking.json").read_text())
    first, second, third, *_ = text.splitlines()
    assert re.fullmatch(r"Process \d+", first)  # without the command line, which may tell secrets
    assert re.fullmatch(r'Thread \d+ \(idle\+gil\): "MainThread"', second)
    assert re.fullmatch(r"    gil \(/home/user/stacks_hangs.py:\d+\)", third)


@pytest.mark.parametrize("answer", ["", "[]", "{", "[{}]", "Process 3: python", "null"])
def test_what_is_no_json_of_py_spy_has_no_threads(answer: str) -> None:
    assert parse("py-spy", pyspy.text_of(answer), 0) == ()


def test_py_spys_names_stay_on_one_line_and_paths_may_have_brackets() -> None:
    frames = [{"name": "step", "filename": "/home/user/a (copy)/t.py", "line": 3}]
    thread = {"thread_id": 0x7F0001, "thread_name": "a\nb", "active": True, "frames": frames}
    (found,) = parse("py-spy", pyspy.text_of(json.dumps([thread])), 0)
    assert (found.tid, found.name, found.running) == (0x7F0001, "a b", True)
    assert found.frames == (Frame(function="step", file="t.py", line=3, python=True),)


def test_gdb_reads_threads_and_cuts_arguments_off() -> None:
    found = threads("ring-gdb")
    main = min(found, key=lambda thread: thread.tid or 0)
    assert "mlx::core::Event::wait()" in functions(main)
    assert not any("futex_word=" in name for thread in found for name in functions(thread))
    assert sum("StreamThread" in name for thread in found for name in functions(thread)) == 1


def test_gdb_of_a_process_without_thread_library_and_of_one_thread() -> None:
    text = (
        'Thread 1 (LWP 77 "python"):\n'
        "#0  0x00007f21 in ?? () from /lib/libc.so.6\n"
        '#1  0x00007f22 in run (f=0x7 <g(int)>, s=0x8 "a") at ./src/train.cc:12\n'
        "#2  <signal handler called>\n"
        "Thread 2 (process 78):\n#0  main () at train.c:1\n"
    )
    one, two = parse("gdb", text, 77)
    assert one.main
    assert not two.main
    assert two.tid == 78
    assert [(f.function, f.file, f.line) for f in one.frames[:2]] == [
        ("???", "libc.so.6", None),
        ("run", "train.cc", 12),
    ]


def test_sample_follows_the_branch_seen_most() -> None:
    main, worker = threads("fork_deadlock-sample")
    assert main.main
    assert not worker.main
    assert [bare_name(name) for name in functions(main)][:4] == [
        "__psynch_cvwait",
        "_pthread_cond_wait",
        "std::__1::condition_variable::wait",
        "mlx::core::Event::wait",
    ]
    assert main.frames[-1].function == "start"
    assert len(worker.frames) == 5


def test_faulthandler_finds_the_main_thread_by_its_module() -> None:
    other, main = threads("locks-faulthandler")
    assert not other.main
    assert main.main
    assert functions(main) == ["locks", "<module>"]
    assert not main.native


@pytest.mark.parametrize("file", sorted(SAMPLES.glob("*-*.txt")), ids=lambda file: file.stem)
def test_what_is_published_of_a_recording_reads_like_it(file: Path) -> None:
    tool = file.stem.partition("-")[2].removesuffix("-native")
    here = Personal(folders=(("/usr/lib", "<python>"), ("/work", "<project>"), ("/root", "~")))
    published = parse(tool, redacted(file.read_text(), here), 0)
    assert list(map(functions, published)) == list(map(functions, threads(file.stem)))


@pytest.mark.parametrize("file", sorted(SAMPLES.glob("*-*.txt")), ids=lambda file: file.stem)
def test_every_recording_has_threads_and_every_frame_of_them(file: Path) -> None:
    found = threads(file.stem)
    text = file.read_text()
    starts = ("    (C)", "    (Python)", '  File "', "#")
    if "py-spy" in file.stem:
        expected = sum(line.startswith("    ") for line in text.splitlines())
    else:
        expected = sum(line.startswith(starts) for line in text.splitlines())
    assert found
    if "sample" not in file.stem:
        assert sum(len(thread.frames) for thread in found) == expected


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("void mlx::core::matmul<float>(float const*, float*, bool)", "mlx::core::matmul"),
        ("mlx::core::distributed::ring::(anonymous namespace)::SocketThread::worker()",
         "mlx::core::distributed::ring::SocketThread::worker"),
        ("RingGroup::all_reduce<float, Op<float> >(array const&)::{lambda()#1}::operator()() const",
         "RingGroup::all_reduce::{lambda#1}::operator()"),
        ("std::vector<int>::operator<<(int)", "std::vector::operator"),
        ("pthread_cond_wait@@GLIBC_2.3.2", "pthread_cond_wait"),
        ("__new_sem_wait_slow64.constprop.0", "__new_sem_wait_slow64"),
        ("__GI___poll", "poll"),
        ("__libc_recv (inlined)", "recv"),
        ("-[_MTLSharedEvent waitUntilSignaledValue:timeoutMS:]",
         "-[_MTLSharedEvent waitUntilSignaledValue:timeoutMS:]"),
        ("???", "???"),
    ],
)  # fmt: skip
def test_plain_names(long: str, short: str) -> None:
    assert bare_name(long) == short


@pytest.mark.parametrize(
    ("path", "system"),
    [
        ("/usr/lib/python3.11/threading.py", True),
        ("/usr/lib/python3.11/multiprocessing/queues.py", True),
        ("/opt/venv/lib/python3.13/site-packages/mlx_lm/trainer.py", False),
        ("/usr/lib/python3/dist-packages/numpy/core.py", False),
        ("mlx_lm/tuner/trainer.py", False),
        ("multiprocessing/queues.py", True),
        ("/srv/train/queue.py", False),
        ("<frozen importlib._bootstrap>", True),
        ("<python>/lib/python3.11/threading.py", True),
        ("<python>/lib/python3.11/site-packages/mlx_lm/trainer.py", False),
        ("~/.pyenv/versions/3.12.1/lib/python3.12/threading.py", True),
        ("~/train/threading.py", False),
    ],
)
def test_the_standard_library_is_told_from_other_python(path: str, system: bool) -> None:
    assert python("f", path, 1).system is system


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("/opt/venv/lib/python3.13/site-packages/rich/live.py", "rich"),
        ("/usr/lib/python3/dist-packages/six.py", "six"),
        ("<site-packages>/torch/utils/data/dataloader.py", "torch"),
        ("/home/me/train.py", None),
        ("/usr/lib/python3.11/queue.py", None),
        ("site-packages", None),
    ],
)
def test_a_python_frame_knows_the_package_that_it_was_installed_with(
    path: str, package: str | None
) -> None:
    assert python("run", path, 3).installed == package


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        (str(Path(harness.__file__).parent / "worker.py"), True),
        (str(Path(harness.__file__).parent / "scenarios" / "ladder" / "sgd_step.py"), False),
        ("<harness>/harness/training/loop.py", True),
        ("<harness>/harness/scenarios/ladder/sgd_step.py", False),
        ("<harness>/scenarios/ladder/sgd_step.py", False),
        ("<harness>/mlx_lm/trainer.py", False),
        ("harness/training/loop.py", True),
        ("/srv/harness/training/loop.py", False),
        ("<string>", False),
    ],
)
def test_the_frames_of_the_harness_are_known(path: str, ours: bool) -> None:
    assert python("f", path, 1).ours is ours


def test_the_c_library_and_the_interpreter_are_told_from_other_native_code() -> None:
    def system(source: str | None, library: str | None) -> bool:
        return native("f", source, 1, library).system

    assert system(None, "/lib/x86_64-linux-gnu/libc.so.6")
    assert system(None, "/usr/lib/libpython3.11.so.1.0")
    assert system(None, "libsystem_kernel.dylib")
    assert system("Modules/_threadmodule.c", None)
    assert system("./Modules/timemodule.c", None)
    assert system("/build/Python-3.11.7/Modules/_ctypes/callproc.c", None)
    assert system("../sysdeps/unix/sysv/linux/read.c", None)
    assert system(None, "/usr/lib/python3.11/lib-dynload/_socket.cpython-311.so")
    assert system(None, "[vdso: 20122]")
    assert system(None, "linux-vdso.so.1")
    assert not system(None, "/opt/venv/lib/python3.11/site-packages/mlx/lib/libmlx.so")
    assert not system("src/train.cc", None)


@given(st.text(), st.sampled_from(sorted(PARSERS)))
def test_no_text_makes_a_parser_raise(text: str, tool: str) -> None:
    assert all(one.frames for one in parse(tool, text, 1))


@given(
    st.sampled_from(sorted(SAMPLES.glob("*-*.txt"))),
    st.integers(min_value=0, max_value=12_000),
)
def test_an_answer_cut_anywhere_gives_what_is_there(file: Path, end: int) -> None:
    tool = file.stem.partition("-")[2].removesuffix("-native")
    text = file.read_text()
    assert len(parse(tool, text[:end], 1)) <= len(parse(tool, text, 1))


@given(st.text())
@example("0 *")
def test_a_plain_name_is_never_empty_for_a_name(name: str) -> None:
    assert bare_name(name) or not name.replace("*", "").replace("&", "").strip()


def test_what_the_kernel_maps_itself_is_the_library_of_a_frame_of_pystack() -> None:
    text = (
        "Traceback for thread 7 (python) [] (most recent call last):\n"
        '    (Python) File "/home/me/train.py", line 3, in step\n'
        '    (C) File "???", line 0, in __vdso_clock_gettime ([vdso: 20122])\n'
    )
    (one,) = parse("pystack", text, 7)
    inner = one.frames[0]
    assert (inner.bare, inner.file, inner.system) == ("__vdso_clock_gettime", "[vdso: 20122]", True)
