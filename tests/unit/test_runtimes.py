"""What Go, Java and JavaScript print at their end, in the forms that they have."""

from __future__ import annotations

import time

import pytest

from harness.death import last_words
from harness.model.death import Kind

GO = """\
step 3 loss 1.5
panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
runtime.goPanicIndex(0x5, 0x3)
\t/usr/local/go/src/runtime/panic.go:114 +0x74
main.step(...)
\t/home/me/train/main.go:12
main.main()
\t/home/me/train/main.go:20 +0x1d
exit status 2
"""
GO_SIGNAL = """\
panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47b5a2]

goroutine 18 [running]:
main.load(0x0)
\t/home/me/train/load.go:7 +0x2
created by main.main in goroutine 1
\t/home/me/train/main.go:30 +0x25
"""
GO_DEADLOCK = """\
fatal error: all goroutines are asleep - deadlock!

goroutine 1 [chan receive]:
main.main()
\t/home/me/train/main.go:9 +0x35
"""
NODE = """\
/home/me/train.js:2
  throw new Error('no weights');
  ^

Error: no weights
    at load (/home/me/train.js:2:9)
    at Object.<anonymous> (/home/me/train.js:4:1)
    at Module._compile (node:internal/modules/cjs/loader:1554:14)
    at node:internal/main/run_main_module:36:49

Node.js v20.20.2
"""
NODE_CODE = """\
node:internal/fs/utils:356
    throw err;
    ^

Error: ENOENT: no such file or directory, open 'model.json'
    at Object.openSync (node:fs:596:3)
    at main (file:///home/me/app/src/load.mjs:14:20) {
  errno: -2,
  code: 'ENOENT'
}

Node.js v20.20.2
"""
JAVA = """\
Exception in thread "main" java.lang.IllegalStateException: no model
\tat java.base/java.util.Objects.requireNonNull(Objects.java:246)
\tat me.Trainer.load(Trainer.java:31)
\tat me.Trainer.main(Trainer.java:12)
Caused by: java.io.IOException: gone
\tat me.Files.read(Files.java:5)
\t... 1 more
"""
NODE_MEMORY = """\
<--- Last few GCs --->
FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory
----- Native stack trace -----

 1: 0xb76dc5 node::OOMErrorHandler(char const*, v8::OOMDetails const&) [node]
"""


def words(text, code):
    return last_words.of_exit(code, [last_words.read(text.encode())])


@pytest.mark.parametrize(
    ("text", "code", "kind", "says", "place"),
    [
        (GO, 2, Kind.PANIC, "panic: runtime error: index out of range [5]", "main.go:12"),
        (GO_SIGNAL, 2, Kind.PANIC, "panic: runtime error: invalid memory address", "load.go:7"),
        (GO_DEADLOCK, 2, Kind.PANIC, "fatal error: all goroutines are asleep", "main.go:9"),
        (NODE, 1, Kind.EXCEPTION, "Error: no weights", "train.js:2"),
        (NODE_CODE, 1, Kind.EXCEPTION, "Error: ENOENT: no such file", "load.mjs:14"),
        (JAVA, 1, Kind.EXCEPTION, "java.lang.IllegalStateException: no model", "Trainer.java:31"),
    ],
)
def test_the_failure_and_the_users_line(text, code, kind, says, place):
    found = words(text, code)
    assert found.kind is kind
    assert found.text.startswith(says)
    assert found.place == place


def test_the_heap_of_javascript():
    found = last_words.of_crash([last_words.read(NODE_MEMORY.encode())])
    assert "JavaScript heap out of memory" in found.text


@pytest.mark.parametrize("text", [GO, NODE, NODE_CODE, JAVA])
def test_a_failure_after_which_the_program_went_on_explains_nothing(text):
    later = "".join(f"step {n} loss 1.0\n" for n in range(4, 30))
    found = words(text + later, 3)
    assert found is None or found.kind is Kind.LINE


@pytest.mark.parametrize(
    "text",
    ["panic: the user pressed stop\nbye\n", "Error: 3 of 100 samples are wrong\n",
     "RuntimeError: printed by hand\nstep 3\n", "fatal error: none\n"],
)  # fmt: skip
def test_lines_that_only_look_alike(text):
    found = words(text, 1)
    assert found is None or found.kind is Kind.LINE


def test_a_panic_in_a_thread_that_the_program_leaves_for():
    text = (
        "thread 'loader' panicked at src/main.rs:3:22:\nno shard 7\n"
        "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n"
    )
    found = words(text, 3)
    assert (found.kind, found.text, found.uncaught) == (Kind.PANIC, "panic: no shard 7", False)
    assert found.place == "main.rs:3 in thread loader"


def test_a_backtrace_belongs_to_its_panic():
    frame = "  1: trainer::step\n             at ./src/main.rs:7:5\n"
    text = (
        "thread 'main' panicked at src/main.rs:3:22:\nno shard 7\nstack backtrace:\n"
        f"{90 * frame}note: Some details are omitted\n"
    )
    for code in (101, 3):
        assert words(text, code).place == "main.rs:3"


def test_a_pure_virtual_call_is_no_missing_exception():
    text = "pure virtual method called\nterminate called without an active exception\n"
    found = last_words.of_crash([last_words.read(text.encode())])
    assert found.text == "pure virtual method called"


@pytest.mark.parametrize(
    "printed",
    [
        "Error: boom\n    at " + "a :" * 80_000,
        "panic: boom\ngoroutine 1 [running]:\n" + "(" * 250_000,
    ],
)
def test_a_long_line_that_is_no_frame_takes_no_time(printed):
    """Work that grows with the square of its length would take minutes."""
    began = time.process_time()
    last_words.read(printed.encode())
    assert time.process_time() - began < 10


DOTNET = """\
Unhandled exception. System.InvalidOperationException: no shard 3
   at System.Linq.Enumerable.First[T](IEnumerable`1 source)
   at Loader.Next() in /src/Loader.cs:line 12
   at Program.Main() in /src/Program.cs:line 4
"""
SWIFT = "Swift/ContiguousArrayBuffer.swift:600: Fatal error: Index out of range\n"
SWIFT_OWN = "Trainer/main.swift:41: Fatal error: Unexpectedly found nil\n"
SWIFT_OLD = "Fatal error: no batch: file /src/Loader.swift, line 7\n"
RUST_STACK = (
    "\nthread 'main' (8812) has overflowed its stack\n"
    "fatal runtime error: stack overflow, aborting\n"
)


@pytest.mark.parametrize(
    ("text", "says", "place"),
    [
        (DOTNET, "System.InvalidOperationException: no shard 3", "Loader.cs:12"),
        (SWIFT, "Fatal error: Index out of range", ""),
        (SWIFT_OWN, "Fatal error: Unexpectedly found nil", "main.swift:41"),
        (SWIFT_OLD, "Fatal error: no batch", "Loader.swift:7"),
        (RUST_STACK, "thread 'main' (8812) has overflowed its stack", ""),
    ],
)
def test_what_is_said_before_a_signal(text, says, place):
    found = last_words.of_crash([last_words.read(f"step 3 loss 1.5\n{text}".encode())])
    assert (found.text, found.place) == (says, place)


SANITIZER = """\
=================================================================
==123==ERROR: AddressSanitizer: heap-use-after-free on address 0x60 at pc 0x55
READ of size 4 at 0x60 thread T0
    #0 0x55e in next_batch /src/loader.cpp:12:9

SUMMARY: AddressSanitizer: heap-use-after-free /src/loader.cpp:12:9 in next_batch
Shadow bytes around the buggy address:
  0x0c047fff7fb0: 00 00 00 00
  0x0c047fff7fc0: 00 00 00 00
  0x0c047fff7fd0: 00 00 00 00
==123==ABORTING
"""
LEAK = """\
==7==ERROR: LeakSanitizer: detected memory leaks

Direct leak of 40 byte(s) in 1 object(s) allocated from:
    #0 0x4a in malloc

SUMMARY: AddressSanitizer: 40 byte(s) leaked in 1 allocation(s).
"""
JAVA_MEMORY = """\
#
# There is insufficient memory for the Java Runtime Environment to continue.
# Native memory allocation (mmap) failed to map 2147483648 bytes for committing reserved memory.
# An error report file with more information is saved as:
# /app/hs_err_pid12.log
"""
R = "Error in fit(x, y) : object 'lr' not found\nCalls: main -> fit\nExecution halted\n"
R_LONG = "Error in fit(x, y) : \n  object 'lr' not found\nExecution halted\n"
JULIA = """\
ERROR: LoadError: DimensionMismatch: A has size (3,4), B has size (3,4)
Stacktrace:
 [1] _matmul(x::Matrix)
   @ LinearAlgebra ~/julia/matmul.jl:7
 [2] error(s::String)
   @ Base ./error.jl:35
in expression starting at /src/train.jl:12
"""


@pytest.mark.parametrize(
    ("text", "says", "place"),
    [
        (SANITIZER, "ERROR: AddressSanitizer: heap-use-after-free on address", "loader.cpp:12"),
        (LEAK, "ERROR: LeakSanitizer: detected memory leaks", ""),
        (JAVA_MEMORY, "There is insufficient memory for the Java Runtime Environment", ""),
        (R, "Error in fit(x, y) : object 'lr' not found", ""),
        (R_LONG, "Error in fit(x, y) : object 'lr' not found", ""),
        (JULIA, "DimensionMismatch: A has size (3,4)", "matmul.jl:7"),
    ],
)
def test_what_is_said_before_an_exit(text, says, place):
    found = words(text, 1)
    assert found.text.startswith(says)
    assert found.place == place


@pytest.mark.parametrize("text", [DOTNET, SWIFT, SANITIZER, JULIA])
def test_what_is_quoted_while_a_program_goes_on_is_no_last_word(text):
    later = "".join(f"step {n} loss 1.0\n" for n in range(4, 30))
    assert last_words.of_crash([last_words.read((text + later).encode())]) is None
    found = words(text + later, 3)
    assert found is None or found.kind is Kind.LINE


@pytest.mark.parametrize(
    "text",
    ["Error: x\nExecution halted by the user\n", "ERROR: LoadError: no\nStacktrace: below\n"],
)
def test_what_only_begins_like_the_end_of_r_or_julia_is_none(text):
    assert not last_words.read(text.encode()).said


def test_each_of_two_reports_of_a_sanitizer_has_its_own_place():
    report = (
        "WARNING: ThreadSanitizer: data race (pid={0})\n"
        "    #0 step /src/step{0}.cpp:{0}\n"
        "SUMMARY: ThreadSanitizer: data race /src/step{0}.cpp:{0}:9 in step\n"
    )
    said = last_words.read("".join(map(report.format, (1, 2))).encode()).said
    assert [one.place for one in said] == ["step1.cpp:1", "step2.cpp:2"]
