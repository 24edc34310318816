"""Which of the printed failures explains an end, and which does not."""

from __future__ import annotations

import pytest

from harness.death import choice, last_words
from harness.inject.processes import Told
from harness.model.death import EndFacts, KernelWord, Kind

RAISED = """\
Traceback (most recent call last):
  File "/home/me/train.py", line 9, in main
    model(x)
ValueError: bad shape
"""
STEPS = "".join(f"step {i} loss 1.0\n" for i in range(200))


def words(code, *outputs, signal=None, told=(), stale=()):
    printed = [last_words.read(text.encode(), i in stale) for i, text in enumerate(outputs)]
    return choice.complete(EndFacts(pid=7), code, signal, printed, told)


def told(error=None, pid=7, **fields):
    return Told(pid, "3.11.7", ended=True, error=error, **fields)


def test_an_exception_with_exit_code_1_is_the_reason():
    found = words(1, "", STEPS + RAISED).words
    assert found is not None
    assert found.told == "ValueError: bad shape, at train.py:9 in main"
    assert found.uncaught


def test_some_lines_may_follow_an_uncaught_exception():
    after = "wandb: epoch 3\n" * 20 + "sys:1: ResourceWarning: unclosed file\n"
    found = words(1, RAISED + after).words
    assert found is not None
    assert found.text == "ValueError: bad shape"


@pytest.mark.parametrize("code", [0, 1, 3])
def test_an_exception_after_which_steps_came_explains_nothing(code):
    facts = words(code, RAISED + STEPS)
    assert facts.words is None or facts.words.kind is Kind.LINE
    assert facts.error is None


def test_an_output_that_was_silent_while_another_went_on_has_no_last_word():
    assert words(1, "loading\n", RAISED, stale={1}).words.text == "loading"


def test_an_exception_that_was_printed_just_before_leaving():
    found = words(9, RAISED, told=[told()]).words
    assert found is not None
    assert not found.uncaught
    assert words(9, RAISED + "cleaning up\n" * 8).words.kind is Kind.LINE


def test_what_python_told_is_certain_whatever_was_printed():
    found = words(1, "all is well\n", told=[told(RAISED)]).words
    assert found is not None
    assert (found.text, found.uncaught) == ("ValueError: bad shape", True)


def test_the_exception_of_a_forked_child_is_not_its_parents():
    facts = words(3, RAISED, told=[told(RAISED, pid=8, forked=True), told()])
    assert facts.words is None
    assert facts.other is not None
    assert facts.other.who == "a process that it forked"
    assert facts.other.text == "ValueError: bad shape"


def test_the_exception_of_a_python_below_a_shell_is_that_of_the_shell():
    below = told(RAISED, pid=8)
    assert words(1, RAISED, told=[below]).words.uncaught
    # The shell went on, or left for a reason of its own.
    assert words(1, RAISED + STEPS, told=[below]).words is None
    assert words(4, RAISED, told=[below]).other is not None


def test_an_exception_that_tells_of_another_process_is_told_with_that_one():
    own = RAISED.replace("ValueError: bad shape", "subprocess.CalledProcessError: Command died")
    facts = words(1, told=[told(RAISED, pid=8), told(own)])
    assert facts.words.text == "subprocess.CalledProcessError: Command died"
    assert facts.other.text == "ValueError: bad shape"


@pytest.mark.parametrize("head", ["Exception in thread loader:", "Process Loader-1:"])
def test_the_exception_of_a_thread_or_a_process(head):
    facts = words(4, f"{head}\n{RAISED}")
    assert facts.words is None
    assert facts.other.text == "ValueError: bad shape"
    assert words(4, f"{head}\n{RAISED}{STEPS}").other is None


@pytest.mark.parametrize(
    "line",
    ["UserWarning: slow", "2026-01-01 INFO done", "step 4 loss 2", "---", " 10%|# | 1/9", "Killed"],
)
def test_ordinary_lines_are_no_last_words(line):
    assert words(3, f"{line}\n").words is None


def test_the_last_line_is_quoted():
    found = words(2, "x\n", "usage: train.py\ntrain.py: error: no such option\n").words
    assert found.text == "train.py: error: no such option"


def test_a_crash_has_its_message_and_its_line_of_python():
    text = (
        "libc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] "
        "Command buffer execution failed: Caused GPU Timeout Error\n"
        "Fatal Python error: Aborted\n\nCurrent thread 0x1 (most recent call first):\n"
        '  File "/home/me/train.py", line 30 in step\n'
    )
    facts = words(None, text, signal="SIGABRT")
    assert facts.words.text.startswith("std::runtime_error: [METAL]")
    assert facts.words.place == "train.py:30 in step"
    assert facts.error.code == "metal_timeout"
    assert words(134, text).words.place == "train.py:30 in step"


def test_a_time_limit_of_faulthandler_explains_an_exit_and_no_signal():
    """Without `exit=True` it only shows the stacks, and the program goes on."""
    text = (
        "Timeout (0:10:00)!\nThread 0x1 (most recent call first):\n"
        '  File "/home/me/train.py", line 30 in step\n'
    )
    found = words(1, text).words
    assert (found.text, found.place) == ("Timeout (0:10:00)!", "train.py:30 in step")
    assert words(1, text + STEPS).words is None
    assert words(None, text, signal="SIGABRT").words is None
    assert words(None, text, signal="SIGKILL").words is None


def test_a_signal_from_outside_has_no_words():
    text = RAISED + "Insufficient Memory (00000008:kIOGPU...)\n"
    facts = words(None, text, signal="SIGKILL")
    assert (facts.words, facts.error) == (None, None)


def test_an_interrupt_has_its_place():
    text = RAISED.replace("ValueError: bad shape", "KeyboardInterrupt")
    assert (
        words(None, text, signal="SIGINT").words.told == "KeyboardInterrupt, at train.py:9 in main"
    )


def test_a_panic_ends_a_program_with_101():
    text = "thread 'main' panicked at src/main.rs:5:9:\nboom\nnote: run with RUST_BACKTRACE=1\n"
    assert words(101, text).words.told == "panic: boom, at main.rs:5"


def test_a_program_that_came_to_its_end_and_died_then():
    assert words(None, "", signal="SIGSEGV", told=[told()]).over
    assert not words(None, "", signal="SIGSEGV", told=[told(RAISED)]).over
    assert not words(None, "", signal="SIGSEGV").over


def test_a_known_error_without_an_exception():
    facts = words(1, "NCCL error nccl.cpp:9 'unhandled system error'\n")
    assert facts.error.code == "nccl_system"


def test_what_ended_well_has_no_words():
    assert words(0, RAISED, told=[told(RAISED)]) == EndFacts(pid=7)


def test_what_the_driver_of_a_gpu_logged_of_it():
    def facts(pid):
        text = "NVRM: Xid (PCI:0000:65:00): 31, pid=7, name=python"
        word = KernelWord(kind="xid", pid=pid, name="python", text=text)
        return choice.complete(EndFacts(pid=7, kernel=(word,)), None, "SIGABRT", [])

    assert facts(7).error.code == "xid_memory_fault"
    assert facts(None).error.code == "xid_memory_fault"
    assert facts(8).error is None


def test_a_traceback_that_a_note_quotes_is_not_the_one_of_the_end():
    quoted = RAISED.replace("ValueError: bad shape", "KeyError: 'lr'")
    words = last_words.of_told(f"{RAISED}{quoted}")
    assert words is not None
    assert words.text == "ValueError: bad shape"


def test_of_a_chain_the_last_exception_counts_whatever_the_first_one_quotes():
    quoted = RAISED.replace("ValueError: bad shape", "KeyError: 'lr'")
    link = "\nThe above exception was the direct cause of the following exception:\n\n"
    last = RAISED.replace("ValueError: bad shape", "RuntimeError: no batch")
    words = last_words.of_told(f"{RAISED}{quoted}{link}{last}")
    assert words is not None
    assert words.text == "RuntimeError: no batch"


def test_an_exception_that_was_ignored_last_is_not_the_one_of_the_end():
    ignored = RAISED.replace("ValueError: bad shape", "OSError: closed")
    words = last_words.of_text(f"{RAISED}Exception ignored in: <f>\n{ignored}")
    assert words is not None
    assert words.text == "ValueError: bad shape"
