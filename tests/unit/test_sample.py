"""What `sample` prints on macOS 12 to 26: read as the distribution that it is."""

from __future__ import annotations

import random
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from observations import process, seen, thread

from harness.detect import spinning
from harness.detect.chain.facts import Facts
from harness.detect.chain.links import Node
from harness.observe import run_tool
from harness.stacks import tools, wait_site
from harness.stacks.parse import Frame, ThreadStack, parse
from harness.stacks.wait_rules import Category

FOLDER = Path(__file__).parents[1] / "macos" / "samples"
SAMPLES = {file.stem: file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.txt"))}
WAITS_FOR_GPU = (
    "waits for a stream to finish an evaluation",
    "-[IOSurfaceSharedEvent waitUntilSignaledValue:timeoutMS:]",
)


def stacks(name: str) -> tuple[ThreadStack, ...]:
    return parse("sample", SAMPLES[name], 1)


def main_of(name: str) -> ThreadStack:
    (main,) = (one for one in stacks(name) if one.main)
    return main


@pytest.mark.parametrize(
    ("name", "description", "function"),
    [
        ("composed-gpu-wait-main-only", *WAITS_FOR_GPU),
        ("composed-mlx-gpu-wait-macos26", *WAITS_FOR_GPU),
        ("composed-py-gpu-event-wait", *WAITS_FOR_GPU),
        ("composed-py-evalimpl-cvwait", WAITS_FOR_GPU[0], "mlx::core::eval_impl"),
        ("composed-py-buffer-create", "waits for memory", "IOGPUResourceCreate"),
        ("composed-pure-python-busy", "is running", "_PyEval_EvalFrameDefault"),
        ("real-python310-gil-oncelock-macos26", "waits for Python's global interpreter lock",
         "take_gil"),
        ("real-takegil-eigend-macos12", "waits for Python's global interpreter lock", "take_gil"),
        ("real-format-multiple", WAITS_FOR_GPU[0], "mlx::core::Event::wait"),
    ],
)  # fmt: skip
def test_the_main_thread_names_the_cause(name: str, description: str, function: str) -> None:
    waits = wait_site.explain(stacks(name))
    assert waits is not None
    assert waits.overall.main
    assert (waits.overall.description, waits.overall.function) == (description, function)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_workers_that_have_nothing_to_do_are_no_locks_and_no_collectives(name: str) -> None:
    for one in stacks(name):
        text = " ".join(frame.function for frame in one.frames)
        if not one.main and re.search("StreamThread|SocketThread|ThreadPool|workq_kern", text):
            assert wait_site.wait_site(one).category is Category.IDLE


def test_a_process_that_works_is_seen_to_move_in_one_capture() -> None:
    main = main_of("real-mlx-swift-busy-macos26")
    shares = wait_site.classes(main)
    assert shares[Category.IO] == pytest.approx(4 / 14)  # it reads a file, by pread
    assert shares[Category.STREAM_EVALUATION] == pytest.approx(7 / 14)
    assert sum(shares.values()) == pytest.approx(1)
    assert any(share.frames[0].function == "pread" for share in main.shares)
    assert wait_site.moves(main)
    same = stacks("real-mlx-swift-busy-macos26")
    assert not wait_site.same_place(same, same)


def test_python_that_runs_may_be_on_any_line() -> None:
    busy = stacks("composed-pure-python-busy")
    assert wait_site.moves(busy[0])
    assert not wait_site.same_place(busy, busy)


@pytest.mark.parametrize("name", sorted(name for name in SAMPLES if "busy" not in name))
def test_who_waits_is_in_one_place_however_its_looks_differ_inside_a_library(name: str) -> None:
    assert not wait_site.moves(main_of(name))
    assert wait_site.same_place(stacks(name), stacks(name))


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_each_look_of_a_thread_is_in_one_share(name: str) -> None:
    tree = SAMPLES[name].partition("Call graph:\n")[2].partition("\n\n")[0]
    listed = re.findall(r"^ +(\d+) Thread_", tree, re.MULTILINE)
    looks = sum(share.looks for one in stacks(name) for share in one.shares)
    assert looks == sum(map(int, listed))
    for one in stacks(name):
        assert one.frames == one.shares[0].frames
        assert [s.looks for s in one.shares] == sorted((s.looks for s in one.shares), reverse=True)


def test_headers_of_every_version() -> None:
    main, several, twice = stacks("real-format-multiple")
    assert (main.tid, main.main, main.name) == (18068423, True, "")
    assert (several.tid, several.name) == (None, "sample process queue")
    assert (twice.tid, sum(share.looks for share in twice.shares)) == (35070454, 14)
    assert main_of("composed-mlx-gpu-wait-macos26").tid == 35070053
    text = "Call graph:\n    3 Thread_7: loader\n"
    text += "    + 3 read  (in libsystem_kernel.dylib) + 8  [0x1]\n"
    text += "    3 Thread_9: Main Thread   DispatchQueue_<multiple>\n    + 3 f  (in a) + 8  [0x1]\n"
    loader, last = parse("sample", text, 9)
    assert (loader.name, loader.main, last.name, last.main) == ("loader", False, "", True)
    # Without a word about it, the first one is the main thread.
    assert parse("sample", text.replace("Main Thread   ", ""), 9)[0].main


@pytest.mark.parametrize(
    ("leaf", "library", "category"),
    [
        ("__psynch_cvwait_nocancel", "libsystem_kernel.dylib", Category.LOCK),
        ("__psynch_rw_wrlock", "libsystem_kernel.dylib", Category.LOCK),
        ("semaphore_wait_signal_trap", "libsystem_kernel.dylib", Category.LOCK),
        ("__read_nocancel", "libsystem_kernel.dylib", Category.IO),
        ("kevent_id", "libsystem_kernel.dylib", Category.IO),
        ("__sigwait", "libsystem_kernel.dylib", Category.IO),
        ("__sigsuspend", "libsystem_kernel.dylib", Category.IO),
        ("iokit_user_client_trap", "IOKit", Category.IO),
        ("io_connect_method", "IOKit", Category.IO),
        ("mach_wait_until", "libsystem_kernel.dylib", Category.SLEEP),
        ("clock_sleep_trap", "libsystem_kernel.dylib", Category.SLEEP),
        ("__wait4_nocancel", "libsystem_kernel.dylib", Category.CHILD),
        ("__a_call_of_tomorrow", "libsystem_kernel.dylib", Category.UNKNOWN),
        ("mach_absolute_time", "libsystem_kernel.dylib", Category.RUNNING),
        ("memmove", "libsystem_platform.dylib", Category.RUNNING),
    ],
)
def test_leaves_that_wait(leaf: str, library: str, category: Category) -> None:
    text = "Call graph:\n    5 Thread_1\n    + 5 mine  (in app) + 4  [0x1]\n"
    text += f"    +   5 {leaf}  (in {library}) + 8  [0x2]\n"
    (one,) = parse("sample", text, 1)
    assert wait_site.wait_site(one).category is category
    assert one.running is (category is Category.RUNNING)


@pytest.mark.parametrize(
    "frame",
    [
        "mlx::core::distributed::jaccl::MeshGroup::all_reduce()  (in libmlx.dylib)",
        "jaccl::SideChannel::wait()  (in libjaccl.dylib)",
        "ibv_poll_cq  (in librdma.dylib)",
    ],
)
def test_jaccl_is_a_collective(frame: str) -> None:
    text = f"Call graph:\n    5 Thread_1\n    + 5 {frame} + 4  [0x1]\n"
    (one,) = parse("sample", text, 1)
    assert wait_site.wait_site(one).category is Category.COLLECTIVE


def test_libraries_in_the_folders_of_the_system_are_the_systems() -> None:
    text = (
        "Call graph:\n    5 Thread_1\n    + 5 wait  (in FutureKit) + 4  [0x1]\n"
        "\nBinary Images:\n"
        "       0x100 -        0x1ff  org.python.python (3.14.1) <A-B> /opt/python/bin/Python\n"
        "       0x200 -        0x2ff  com.apple.FutureKit (1.0) <A-B> /System/Library/a/FutureKit\n"
    )
    (one,) = parse("sample", text, 1)
    assert one.frames[0].system
    assert not parse("sample", text.replace("/System/", "/opt/"), 1)[0].frames[0].system


def test_who_moves_within_a_capture_neither_spins_nor_stands() -> None:
    busy = parse("sample", SAMPLES["real-mlx-swift-busy-macos26"], 7)
    pid, tid = 7, 35070053
    before = process(pid, thread(tid, state="R", syscall=None, cpu_s=0.0))
    after = process(pid, thread(tid, state="R", syscall=None, cpu_s=4.0))
    observed = seen(before, later=(after,), root=pid, stacks={pid: (busy, busy)})
    assert Facts(observed).went_on(Node(pid, tid))
    assert spinning.inspect(observed).stays == {}


def test_answers_of_sample_are_told_apart() -> None:
    denied = "sample cannot examine process 1 (launchd) because you do not have appropriate "
    denied += "privileges to examine it; try running with `sudo`."
    gone = "sample cannot examine process 9 because it no longer appears to be running."
    reasons = [
        tools._reason(run_tool.Answer(code=255, output="", errors=text)) for text in (denied, gone)
    ]
    assert "sudo" in reasons[0]
    assert "has ended" in reasons[1]


@given(st.sampled_from(sorted(SAMPLES)), st.randoms(use_true_random=False))
def test_no_answer_makes_it_raise(name: str, chance: random.Random) -> None:
    text = mutated(SAMPLES[name], chance)
    threads = parse("sample", text, 1)
    assert all(isinstance(wait_site.moves(one), bool) for one in threads)
    explained = wait_site.explain(threads)
    assert explained is None or re.fullmatch(r"[0-9a-f]{12}", explained.fingerprint)


def mutated(text: str, chance: random.Random) -> str:
    """`text` with lines cut, doubled, moved and damaged."""
    lines = text.splitlines()
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(len(lines))
        change = chance.randrange(5)
        if change == 0 and len(lines) > 1:
            del lines[at]
        elif change == 1:
            lines.insert(at, lines[chance.randrange(len(lines))])
        elif change == 2:
            lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
        elif change == 3:
            spot = chance.randrange(len(lines[at]) + 1)
            odd = chance.choice(["", "(in ", "  ", "[", "0", "9" * 30, "<multiple>", "\x00", "é"])
            lines[at] = lines[at][:spot] + odd + lines[at][spot + 1 :]
        else:
            lines[at] = "    " * chance.randrange(4) + lines[at]
    return "\n".join(lines)


def test_a_name_that_is_no_text_has_a_fingerprint() -> None:
    odd = tuple(
        msgspec.structs.replace(one, name="\ud800", frames=(Frame(function="f\ud800"),), shares=())
        for one in stacks("real-format-multiple")
    )
    assert len(wait_site.fingerprint(odd)) == 12
