"""Native stacks, joined with the Python stacks that the process has told itself."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.inject.inside import answering
from harness.stacks import wait_site
from harness.stacks.joined import joined, owned
from harness.stacks.parse import Owner, ThreadStack, parse
from harness.stacks.wait_rules import Category

NATIVE = """Call graph:
    20 Thread_100: Main Thread   DispatchQueue_1: com.apple.main-thread  (serial)
    + 20 start  (in dyld) + 6992  [0x1]
    +   20 Py_BytesMain  (in Python) + 40  [0x2]
    +     20 _PyEval_EvalFrameDefault  (in Python) + 31044  [0x3]
    +       20 PyObject_Vectorcall  (in Python) + 92  [0x4]
    +         20 _PyEval_EvalFrameDefault  (in Python) + 31044  [0x3]
    +           20 lock_PyThread_acquire_lock  (in Python) + 92  [0x4]
    +             20 __psynch_cvwait  (in libsystem_kernel.dylib) + 8  [0x5]
    20 Thread_101: loader
    + 20 _PyEval_EvalFrameDefault  (in Python) + 31044  [0x3]
    +   20 os_read  (in Python) + 8  [0x5]
    +     20 read  (in libsystem_kernel.dylib) + 8  [0x5]
    20 Thread_102: idle
    + 20 std::condition_variable::wait(int)  (in libc++.1.dylib) + 8  [0x5]
    +   20 __psynch_cvwait  (in libsystem_kernel.dylib) + 8  [0x5]
"""
PYTHON = """Thread 0x000000016f5c3000 [loader] (most recent call first):
  File "/home/me/train.py", line 9 in fill
  File "/usr/lib/python3.14/threading.py", line 1 in run

Current thread 0x000000016f100000 (most recent call first):
  File "/home/me/train.py", line 31 in step
  File "/home/me/train.py", line 40 in <module>
"""
MAIN, LOADER, OFFSET = 0x16F100000, 0x16F5C3000, 224
HANDLES = {MAIN + OFFSET: 100, LOADER + OFFSET: 101, 0x170000000 + OFFSET: 102}


def native(text: str = NATIVE) -> tuple[ThreadStack, ...]:
    return parse("sample", text, 1)


def python(text: str = PYTHON) -> tuple[ThreadStack, ...]:
    return parse("faulthandler", text, 1)


def test_the_lines_of_python_are_in_the_threads_that_they_belong_to():
    main, loader, idle = joined(native(), python(), HANDLES)
    assert [frame.function for frame in main.frames] == [
        "__psynch_cvwait", "lock_PyThread_acquire_lock", "step", "<module>", "Py_BytesMain", "start"
    ]  # fmt: skip
    site = wait_site.wait_site(main)
    assert (site.category, site.python_frame) == (Category.LOCK, "train.py:31 in step")
    assert wait_site.wait_site(loader).python_frame == "train.py:9 in fill"
    assert idle == native()[2]


@pytest.mark.parametrize(
    "handles",
    [
        {},
        {key + 8: tid for key, tid in HANDLES.items() if tid != 101},  # one of them is not there
        {key + 5000: tid for key, tid in HANDLES.items()},  # they lie too far apart
        {**HANDLES, **{key + 8: tid for key, tid in HANDLES.items()}},  # two distances fit
    ],
)
def test_without_their_numbers_the_main_thread_alone_is_joined(handles):
    main, loader, _ = joined(native(), python(), handles)
    assert wait_site.wait_site(main).python_frame == "train.py:31 in step"
    assert loader == native()[1]


def test_a_thread_that_ran_at_a_look_keeps_its_native_stack():
    looks = "20 __psynch_cvwait  (in libsystem_kernel.dylib) + 8  [0x5]\n    20 Thread_101"
    ran = "    +             1 memmove  (in libsystem_platform.dylib) + 8  [0x5]\n    20 Thread_101"
    text = NATIVE.replace(looks, looks.replace("20", "19", 1).replace("    20 Thread_101", ran))
    alone = native(text)[0]
    assert len(alone.shares) == 2
    digests = f"{PYTHON}Variables of thread {MAIN:#x}: {'ab' * 16}\nVariables of nobody\n"
    main = joined(native(text), python(digests), HANDLES)[0]
    assert (main.frames, main.shares, main.variables) == (alone.frames, alone.shares, "ab" * 16)
    assert [frame.function for frame in main.python] == ["step", "<module>"]
    assert wait_site.wait_site(main).python_frame == "train.py:31 in step"


def test_a_stack_without_the_interpreter_is_kept():
    bare = msgspec.structs.replace(native()[2], main=True)
    assert joined((bare,), python(), {}) == (bare,)
    assert joined(native(), (), HANDLES) == native()


def test_the_thread_that_answers_has_nothing_to_do():
    thread = native(NATIVE.replace("loader", answering.NAME))[1]
    assert wait_site.wait_site(thread).category is Category.IDLE


@given(st.text(alphabet='0123456789abcdefxThread ():\n[]"File,line in', max_size=400))
def test_no_answer_makes_it_raise(text):
    found = joined(native(), parse("faulthandler", PYTHON + text, 1), HANDLES)
    assert [one.tid for one in found] == [one.tid for one in native()]


def test_owners_are_in_the_threads_that_waited():
    told = [ThreadStack(frames=(), tid=tid, owner=Owner(pid=1, tid=100)) for tid in (101, 103)]
    assert [one.owner for one in owned(native(), told)] == [None, Owner(pid=1, tid=100), None]
    ran = msgspec.structs.replace(
        native()[1],
        shares=tuple(msgspec.structs.replace(s, running=True) for s in native()[1].shares),
    )
    assert owned((ran,), told) == (ran,)
