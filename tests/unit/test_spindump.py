"""What `spindump` tells of whom a thread waits for, in the forms that public reports show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stacks.parse import Owner, parse

REPORT = """Date/Time:        2026-02-02 23:22:34.999 -0800
OS Version:       macOS 26.2 (Build 25C56)
Steps:            20 (50ms sampling interval)

Process:          other [8]
Num samples:      20 (1-20)

  Thread 0x999    20 samples (1-20)    priority 31 (base 31)
  20  start + 1 (dyld + 2) [0x1] (blocked by turnstile waiting for python3.14 [7] thread 0x57be71)

Process:          python3.14 [7]
UUID:             F9F28501-0F9E-3E71-ACB0-5FC72758327F
Num threads:      3

  Thread 0x57be70    DispatchQueue "com.apple.main-thread"(1)    20 samples (1-20)    priority 31 (base 31)    last ran 41.2s ago
  20  start + 462 (dyld + 21790) [0x10ec9251e]
    20  ??? (python3.14 + 16000) [0x10663ae80]
      20  _pthread_mutex_firstfit_lock_slow + 205 (libsystem_pthread.dylib + 7355) [0x7ff813b6bcbb]
        20  __psynch_mutexwait + 10 (libsystem_kernel.dylib + 15314) [0x7ff813b35bd2]
         *20  psynch_mtxcontinue + 0 (pthread + 11285) [0xffffff8003753c15] (blocked by turnstile waiting for {main})

  Thread 0x57be71    Thread name "loader"    20 samples (1-20)    priority 31 (base 31)
  20  thread_start + 15 (libsystem_pthread.dylib + 8023) [0x7ff813b6bf57]
    20  __psynch_mutexwait + 10 (libsystem_kernel.dylib + 15314) [0x7ff813b35bd2]
     *{looks}  psynch_mtxcontinue + 0 (pthread + 11285) [0xffffff8003753c15] (blocked by turnstile waiting for {loader})

  Thread 0x57be72    20 samples (1-20)    priority 31 (base 31)    cpu time 0.9s
  12  start_wqthread + 15 (libsystem_pthread.dylib + 8023) [0x7ff813b6bf57]
    12  work + 1 (app + 2) [0x1] (running, p-core)
  8   another + 15 (app + 8023) [0x7ff813b6bf57]

  Binary Images:
           0x102ec7000 -                ???  org.python.python 3.14.1 <A-B>  /opt/python/bin/Python
"""  # noqa: E501
OTHER = "python3.14 [7] thread 0x57be71"


def report(main: str = OTHER, loader: str = "main thread", looks: int = 20) -> str:
    return REPORT.format(main=main, loader=loader, looks=looks)


def owners(text: str) -> dict[int, Owner | None]:
    return {one.tid or 0: one.owner for one in parse("spindump", text, 7)}


def test_threads_of_one_process_with_their_heaviest_path():
    main, loader, third = parse("spindump", report(), 7)
    assert (main.tid, main.main, main.name) == (0x57BE70, True, "")
    assert (loader.tid, loader.main, loader.name) == (0x57BE71, False, "loader")
    assert [frame.function for frame in main.frames] == [
        "__psynch_mutexwait", "_pthread_mutex_firstfit_lock_slow", "???", "start"
    ]  # fmt: skip
    assert [frame.function for frame in third.frames] == ["work", "start_wqthread"]
    assert [one.tid for one in parse("spindump", report(), 8)] == [0x999]


@pytest.mark.parametrize(
    ("words", "owner"),
    [
        (OTHER, Owner(pid=7, tid=0x57BE71)),
        ("python3.14 [7] thread 0x57be71 - part of a deadlock",
         Owner(pid=7, tid=0x57BE71, deadlock=True)),
        ("this thread", Owner(pid=7, tid=0x57BE70)),
        ("this thread - part of a deadlock", Owner(pid=7, tid=0x57BE70, deadlock=True)),
        ("thread 0x57be71", Owner(pid=7, tid=0x57BE71)),
        ("python3.14 thread 0x57be71", Owner(pid=7, tid=0x57BE71)),
        ("main thread", Owner(pid=7, tid=0x57BE70)),
        ("tccd [151] thread 0xabc after 2 hops", Owner(pid=151, tid=0xABC)),
        ("Cursor [858]", Owner(pid=858)),
        ("Cursor [858] main thread", None),  # which one that is, is not told
        ("smd", None),
        ("", None),
    ],
)  # fmt: skip
def test_whom_the_kernel_says_a_thread_waits_for(words, owner):
    assert owners(report(main=words))[0x57BE70] == owner


def test_who_did_not_wait_at_each_look_has_no_owner():
    assert owners(report(looks=19))[0x57BE71] is None
    assert owners(report())[0x57BE72] is None


@given(st.data())
def test_no_report_makes_it_raise(data):
    text = report()
    at = data.draw(st.integers(0, len(text)))
    odd = data.draw(st.text(max_size=20) | st.sampled_from(["0x", "9" * 30, "[", ")", "\n", "*"]))
    threads = parse("spindump", text[:at] + odd + text[data.draw(st.integers(at, len(text))) :], 7)
    assert all(one.tid is not None for one in threads)
