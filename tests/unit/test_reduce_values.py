"""What is always the same while a program runs becomes a literal."""

from __future__ import annotations

import ast
import contextlib
import io

import pytest
from reduced import plain

from harness.reduce import edit, passes, texts, values

PROGRAM = """
from __future__ import annotations
def half(n):
    return n / 2
class Row:
    size = len("abc")
items = [half(6), half(8)]
rows = list(range(half(4).__int__()))
for item in rows:
    print(item)
if half(6) > Row.size - 1:
    print(Row.size, float("nan"))
"""


def after(text):
    """`text` with all values that were seen, in the form that ast gives it."""
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        exec(compile(values.noting(text), "program", "exec"), {})
    module = edit.parsed(text)
    edits = values.constants(values.notes(errors.getvalue()))(module)
    return ast.unparse(ast.parse(edit.applied(module, edits)))


def test_what_is_always_the_same_becomes_a_literal():
    left = list(filter(None, after(PROGRAM).splitlines()))
    assert left == [
        "from __future__ import annotations",
        "def half(n):",
        "    return n / 2",  # 3.0 and 4.0
        "class Row:",
        "    size = 3",
        "items = [3.0, 4.0]",
        "rows = [0, 1]",
        "for item in [0, 1]:",
        "    print(item)",
        "if True:",
        "    print(3, float('nan'))",
    ]


def test_what_is_assigned_to_is_no_value():
    text = "def f():\n    return 1, [2]\n(a, (b,)) = f()\n"
    text += "for c, d in [(a, b)]:\n    print(len('ab'))\n"
    text += "print([e for (e,) in [f()[1]]])\nwith g() as (h, i):\n    print(h + i)\n"
    text = "from contextlib import nullcontext\ng = lambda: nullcontext((1, 2))\n" + text
    left = after(text)
    assert plain("a, (b,) = f()") in left  # a list in a tuple is no plain value
    assert "print(2)" in left
    assert "print(3)" in left


def test_what_nothing_was_noted_of_stays():
    assert values.notes("") == {}
    assert values.notes("harness: value 1 ?\nharness: value 2 nan\nharness: value 3 [1, 2]") == {
        3: "[1, 2]"
    }
    assert values.constants({99: "1"})(edit.parsed("x = f()\n")) == []


def test_a_value_that_changes_is_none():
    assert values.notes("harness: value 1 2\nharness: value 1 ?\n") == {}


@pytest.mark.parametrize("opened", ['"""\n', '"""\\\n'])
def test_a_line_of_a_text_can_go(opened):
    text = f'run({opened}import sys\nprint("a\\n")\n""")\n'
    left = [passes.lines(text).text(frozenset({n})) for n in range(passes.lines(text).number)]
    assert left == [f'run({opened}print("a\\n")\n""")\n', f'run({opened}import sys\n""")\n']


def test_a_text_with_a_line_that_goes_on_stays_whole():
    assert passes.lines('run("""\none \\\ntwo\n""")\n').number == 0


@pytest.mark.parametrize("opened", ['"""\n', '"""\\\n'])
def test_a_text_stands_at_the_left_by_itself(opened):
    def dedented(text):
        return passes.edits(text, texts.dedented).text(frozenset({0}))

    assert dedented(f'run(dedent({opened}  a\n  b\n"""))\n') == f'run({opened}a\nb\n""")\n'
    tab = f'run(dedent({opened}  \\ta\n  b\n"""))\n'
    assert passes.edits(tab, texts.dedented).number == 0  # the tab is space too
