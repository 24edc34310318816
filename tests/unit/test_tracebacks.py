"""Tracebacks in printed text: which exception it was, where, and whose."""

from __future__ import annotations

import io
import sys
import traceback

import pytest
from rich.console import Console
from rich.traceback import Traceback

from harness.death import tracebacks

PLAIN = """\
step 3 loss 1.5
Traceback (most recent call last):
  File "/home/me/train.py", line 12, in <module>
    main()
    ~~~~^^
  File "/home/me/train.py", line 9, in main
    model(x)
  File "/venv/lib/python3.12/site-packages/mlx/nn/layers/linear.py", line 70, in __call__
    x = mx.addmm(self["bias"], x, self["weight"].T)
ValueError: [addmm] shapes (3, 4) and (5, 2)
"""


def only(text):
    (one,) = tracebacks.find(text.splitlines())
    return one


def printed(raiser):
    try:
        raiser()
    except BaseException:
        return traceback.format_exc()
    raise AssertionError("it raised nothing")


def test_the_place_is_the_users_line_and_not_that_of_a_package():
    one = only(PLAIN)
    assert one.text == "ValueError: [addmm] shapes (3, 4) and (5, 2)"
    assert one.place == "train.py:9 in main"
    assert (one.first, one.end) == (1, 10)


def test_without_a_line_of_the_users_the_innermost_one_is_the_place():
    text = PLAIN.replace("/home/me", "/usr/lib/python3.12")
    assert only(text).place == "linear.py:70 in __call__"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        ("torch.OutOfMemoryError: no room", "torch.OutOfMemoryError: no room"),
        ("__main__.Broken: x", "Broken: x"),
        ("app.make.<locals>.Inner: y", "app.make.<locals>.Inner: y"),
        ("KeyError: 'a: b'", "KeyError: 'a: b'"),
    ],
)  # fmt: skip
def test_types_and_messages(line, text):
    assert only(PLAIN.rpartition("ValueError")[0] + line + "\n").text == text


def test_a_message_that_begins_with_an_empty_line():
    assert only(PLAIN.rpartition("ValueError")[0] + "RuntimeError: \nno kernel\n").text == (
        "RuntimeError: no kernel"
    )


def test_of_a_chain_it_is_the_last_one_and_its_direct_cause():
    def load():
        return {}["x"]

    def main():
        try:
            load()
        except KeyError as error:
            raise RuntimeError("cannot load") from error

    one = only(printed(main))
    assert one.text == "RuntimeError: cannot load"
    assert one.place.endswith("in main")
    assert one.cause is not None
    assert one.cause.text == "KeyError: 'x'"
    assert one.cause.place.endswith("in load")
    assert one.chain == ("KeyError: 'x'",)


def test_what_was_being_handled_is_no_cause():
    def main():
        try:
            int("x")
        except ValueError:
            raise LookupError("no fallback")  # noqa: B904

    one = only(printed(main))
    assert one.text == "LookupError: no fallback"
    assert one.cause is None
    assert len(one.chain) == 1


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes and groups are of Python 3.11")
def test_notes_are_no_exceptions():
    def main():
        error = ValueError("empty batch")
        error.add_note("TypeError: only a note")
        raise error

    assert only(printed(main)).text == "ValueError: empty batch"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes and groups are of Python 3.11")
def test_a_group_is_told_with_its_first_exception_and_place():
    def read():
        raise OSError("shard 1 is gone")

    def main():
        try:
            read()
        except OSError as first:
            raise ExceptionGroup("two", [first, ValueError("x")]) from None  # noqa: F821

    one = only(printed(main) + "step 4\n")
    assert one.text == "ExceptionGroup: two (2 sub-exceptions): OSError: shard 1 is gone"
    assert one.place.endswith("in read")


def test_a_worker_of_a_pool_says_where_it_was():
    quoted = PLAIN.partition("\n")[2]
    text = (
        f'concurrent.futures.process._RemoteTraceback: \n"""\n{quoted}"""\n\n'
        "The above exception was the direct cause of the following exception:\n\n"
        + quoted.replace("train.py", "wait.py")
    )
    one = only(text)
    assert one.place == "train.py:9 in main"
    assert one.cause is None


@pytest.mark.parametrize(
    ("before", "who"),
    [("Exception in thread Thread-1 (work):", "thread Thread-1 (work)"),
     ("Process ForkProcess-1:", "process ForkProcess-1"), ("something else", "")],
)  # fmt: skip
def test_whose_it_is(before, who):
    assert only(f"{before}\n{PLAIN.partition(chr(10))[2]}").who == who


@pytest.mark.parametrize(
    "before",
    ["Exception ignored in: <function Pool.__del__ at 0x7f>", "--- Logging error ---",
     "Error in atexit._run_exitfuncs:", "Task exception was never retrieved\nfuture: <Task>"],
)  # fmt: skip
def test_some_forms_say_that_the_program_goes_on(before):
    assert only(f"{before}\n{PLAIN.partition(chr(10))[2]}").goes_on


def test_a_mark_in_front_of_each_line():
    text = "".join(f"[rank1]: {line}\n" for line in PLAIN.splitlines()[1:])
    assert only(text).text.startswith("ValueError: [addmm]")
    assert only(text).place == "train.py:9 in main"


def test_the_text_of_a_logger_in_front_of_the_first_line():
    text = PLAIN.replace("Traceback", "2026-01-01 ERROR failed Traceback")
    assert only(text).place == "train.py:9 in main"


def test_a_syntax_error_of_the_script_has_no_head():
    text = (
        '  File "/home/me/bad.py", line 4\n    for x in y\n              ^\n'
        "SyntaxError: expected ':'\n"
    )
    one = only(text)
    assert (one.text, one.place) == ("SyntaxError: expected ':'", "bad.py:4")


def test_what_rich_draws():
    def main():
        raise ValueError("bad rank")

    out = io.StringIO()
    try:
        main()
    except ValueError:
        kind, error, tb = sys.exc_info()
        console = Console(file=out, width=400)
        console.print(Traceback.from_exception(kind, error, tb))
    one = only(out.getvalue())
    assert one.text == "ValueError: bad rank"
    assert one.place.startswith("test_tracebacks.py:")
    assert one.place.endswith("in main")


@pytest.mark.parametrize(
    "text",
    ["Traceback (most recent call last):", "Traceback (most recent call last):\n  File",
     'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    x\n', "",
     "+ Exception Group Traceback (most recent call last):", "SyntaxError: alone",
     "╭──── Traceback (most recent call last) ────╮"],
)  # fmt: skip
def test_what_was_cut_is_no_exception(text):
    assert tracebacks.find(text.splitlines()) == []


def test_a_recursion_through_two_functions_is_not_folded():
    """Python folds the frames of one function alone."""
    frames = '  File "/home/me/a.py", line 2, in f\n    g()\n  File "/home/me/a.py", line 4, in g\n'
    text = f"Traceback (most recent call last):\n{frames * 998}RecursionError: too deep\n"
    assert only(text).text == "RecursionError: too deep"


def test_a_message_that_begins_with_a_drawn_line():
    text = (
        'Traceback (most recent call last):\n  File "/home/me/run.py", line 8, in main\n'
        f"torch.ChildFailedError: \n{'=' * 60}\ntrain.py FAILED\n{'-' * 60}\n"
    )
    assert only(text).text == "torch.ChildFailedError: train.py FAILED"
