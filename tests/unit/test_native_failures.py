"""What C++, Rust, the C library and Python's handler print when a process dies."""

from __future__ import annotations

import pytest

from harness.death import native
from harness.model.death import Kind

FAULT = """\
Fatal Python error: Segmentation fault

Thread 0x00007f0000000001 (most recent call first):
  File "/usr/lib/python3.12/threading.py", line 355 in wait
  File "/home/me/loader.py", line 3 in pull

Current thread 0x00007f0000000002 (most recent call first):
  File "/venv/lib/python3.12/site-packages/mlx/utils.py", line 9 in tree_map
  File "/home/me/train.py", line 30 in step
  File "/home/me/train.py", line 41 in <module>

Extension modules: mlx.core (total: 1)
"""


@pytest.mark.parametrize(
    ("text", "kind", "told", "place"),
    [
        ("terminate called after throwing an instance of 'std::out_of_range'\n  what():  id 7",
         Kind.TERMINATE, "std::out_of_range: id 7", ""),
        ("terminate called after throwing an instance of 'int'", Kind.TERMINATE, "int", ""),
        ("terminate called without an active exception", Kind.TERMINATE,
         "std::terminate was called without an exception, as when a joinable thread is destroyed",
         ""),
        ("libc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] x",
         Kind.TERMINATE, "std::runtime_error: [METAL] x", ""),
        ("Fill: 0%|  | 0/9libc++abi.dylib: terminating with uncaught exception of type E",
         Kind.TERMINATE, "E", ""),
        ("thread 'main' panicked at src/main.rs:5:9:\nindex out of bounds", Kind.PANIC,
         "panic: index out of bounds", "main.rs:5"),
        ("thread 'main' (123) panicked at src/main.rs:5:9:\nboom", Kind.PANIC, "panic: boom",
         "main.rs:5"),
        ("thread 'io' panicked at 'no disk', src/io.rs:7:1", Kind.PANIC, "panic: no disk",
         "io.rs:7 in thread io"),
        ("prog: src/a.cpp:12: int main(): Assertion `n > 0' failed.", Kind.ABORT,
         "assertion failed: n > 0", "a.cpp:12"),
        ("Assertion failed: (n > 0), function main, file a.c, line 3.", Kind.ABORT,
         "assertion failed: (n > 0)", "a.c:3"),
        ("*** stack smashing detected ***: terminated", Kind.ABORT, "stack smashing detected", ""),
        ("double free or corruption (out)", Kind.ABORT, "double free or corruption (out)", ""),
        ("==12==ERROR: AddressSanitizer: heap-use-after-free on address 0x1", Kind.ABORT,
         "ERROR: AddressSanitizer: heap-use-after-free on address 0x1", ""),
        (FAULT, Kind.FAULT, "Segmentation fault", "train.py:30 in step"),
        ("Timeout (0:00:01)!\nThread 0x00007f1 (most recent call first):\n"
         '  File "/home/me/train.py", line 3 in wait\n  File "/home/me/a.py", line 5 in <module>',
         Kind.FAULT, "Timeout (0:00:01)!", "train.py:3 in wait"),
        ("Fatal Python error: no heap\nPython runtime state: initialized\n\n"
         "Current thread 0x1 (most recent call first):\n"
         '  File "/home/me/train.py", line 3 in main', Kind.FAULT, "no heap", "train.py:3 in main"),
    ],
)  # fmt: skip
def test_each_form(text, kind, told, place):
    (said,) = native.find(text.splitlines())
    assert (said.kind, said.text, said.place) == (kind, told, place)


def test_a_thread_without_python_is_waited_for_by_the_main_one():
    text = FAULT.replace("Current thread", "Thread")
    text = text.replace("error: Segm", "error: Segm", 1)
    (said,) = native.find(text.splitlines())
    assert said.place == "train.py:30 in step"


@pytest.mark.parametrize(
    "text",
    ["caught an exception, what(): x", "the panic is over", "error: free (not a call)",
     "thread 'main' finished", "malloc is fine"],
)  # fmt: skip
def test_ordinary_lines_are_none(text):
    assert native.find([text]) == []
