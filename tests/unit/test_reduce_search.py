"""The search and the whole order of passes, with a judge that is a function."""

from __future__ import annotations

import ast
import contextlib
import io

from hypothesis import given
from hypothesis import strategies as st

from harness.reduce import order, search


def lines_of(count):
    """A program of so many lines, and the text that is left without some of them."""
    whole = [f"x{i} = {i}" for i in range(count)]

    def text(chosen):
        return "".join(f"{line}\n" for i, line in enumerate(whole) if i not in chosen)

    return text


@given(
    count=st.integers(1, 40),
    needed=st.sets(st.integers(0, 39), max_size=6),
    width=st.integers(1, 5),
)
def test_all_is_left_out_that_is_not_needed(count, needed, width):
    """Where each line counts by itself, the search finds exactly those that count."""
    text = lines_of(count)
    needed = {i for i in needed if i < count}
    asked = []

    def test(texts):
        assert 0 < len(texts) <= width
        assert len(set(texts)) == len(texts)
        asked.extend(texts)
        return [all(f"x{i} = " in one for i in needed) for one in texts]

    best = search.most(count, text, text(frozenset()), test, width)
    assert {f"x{i} = {i}" for i in needed} == set(best.splitlines())
    assert len(set(asked)) == len(asked)


@given(
    count=st.integers(1, 24),
    width=st.integers(1, 4),
    answers=st.randoms(use_true_random=False),
)
def test_what_is_found_was_shown_and_is_never_larger(count, width, answers):
    """Whatever the judge says, and however little sense it makes."""
    text = lines_of(count)
    whole = text(frozenset())
    said = {whole: True}

    def test(texts):
        for one in texts:
            said.setdefault(one, answers.random() < 0.3)
        return [said[one] for one in texts]

    best = search.most(count, text, whole, test, width)
    assert said[best]
    assert search.size(best) <= search.size(whole)


def test_two_edits_that_are_right_only_alone_are_not_joined():
    text = lines_of(2)
    best = search.most(
        2, text, text(frozenset()), lambda texts: [len(t.splitlines()) == 1 for t in texts], 4
    )
    assert best in ("x0 = 0\n", "x1 = 1\n")


def test_the_halves_of_two_groups_that_give_one_program_are_tried():
    """Edits 0 and 1 need each other's lines, as edits 2 and 3 do: all of them give nothing."""

    def text(chosen):
        return lines_of(5)(chosen) if len(chosen) < 2 else "x = 1\n"

    best = search.most(5, text, text(frozenset()), lambda texts: ["x0" in t for t in texts], 2)
    assert len(best.splitlines()) == 4


def test_an_edit_that_gives_no_program_is_left_out_and_its_halves_are_tried():
    def text(chosen):
        return None if len(chosen) > 1 else lines_of(3)(chosen)

    best = search.most(3, text, text(frozenset()), lambda texts: [True] * len(texts), 1)
    assert len(best.splitlines()) == 2


def test_the_size_counts_code_before_characters():
    assert search.size("# a long comment\n\nx = 1\n") == (1, 5)
    assert search.size("x = 1\ny = 2\n") > search.size("x = 123456789\n")


PROGRAM = '''
"""A program that fails."""
import math
import os.path as path
from contextlib import nullcontext
from dataclasses import dataclass


@dataclass
class Config:
    steps: int = 12
    rate: float = 0.1


class Meter:
    """Collects values."""

    def __init__(self, name):
        self.values = []

    def add(self, value):
        self.values.append(value)  # kept


def share(part, whole):
    return part / whole


def loop(config, meter):
    total = 0
    for step in range(config.steps):
        with nullcontext(path.sep) as name:
            print(name)
        total += math.sqrt(step)
        meter.add(total)
        if step == 7:
            share(total, step - 7)
    return total


def main():
    config = Config(rate=0.5)
    meter = Meter("loss")
    loop(config, meter)


if __name__ == "__main__":
    main()
'''


def failure(text):
    """The function in which a program divides by zero, or None. It prints to nowhere."""
    space = {"__name__": "__main__"}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(text, "program", "exec"), space)
    except ZeroDivisionError as error:
        trace = error.__traceback__
        while trace.tb_next is not None:
            trace = trace.tb_next
        return trace.tb_frame.f_code.co_name
    except Exception:
        return None
    return None


def test_a_program_gets_small_and_fails_in_the_same_function():
    """Each candidate is a program, and smaller than the best before it."""
    whole = PROGRAM
    assert failure(whole) == "share"
    sizes = [search.size(whole)]

    def test(texts):
        shown = [failure(text) == "share" for text in texts]
        for text in texts:
            ast.parse(text)
            assert search.size(text) < sizes[-1]
        if any(shown):
            sizes.append(search.size(texts[shown.index(True)]))
        return shown

    left = order.reduced(whole, test, 2)
    assert failure(left) == "share"
    assert search.size(left)[0] <= 4, left


def test_lines_that_never_ran_go_first():
    asked = []

    def test(texts):
        asked.extend(texts)
        return ["boom" in text for text in texts]

    text = "import os\n\n\ndef idle():\n    os.getpid()\n\n\nx = 1\nprint(x, 'boom')\n"
    order.reduced(text, test, 1, frozenset({1, 4, 8, 9}))
    assert "idle" not in asked[0]
    assert "x = 1" in asked[0]


def test_the_sleeps_of_a_race_go_last():
    text = "import time\ntime.sleep(1)\nx = boom\n"
    asked = []

    def test(texts):
        asked.extend(texts)
        return ["boom" in text for text in texts]

    assert "sleep" not in order.reduced(text, test, 2, race=True)
    without = [at for at, one in enumerate(asked) if "sleep" not in one]
    assert without[0] >= 4  # statements, and then all else, were tried before


def test_nothing_is_changed_where_nothing_else_shows_it():
    text = "a = 1\nb = a\n"
    assert order.reduced(text, lambda texts: [False] * len(texts), 2) == text


def test_what_was_given_too_little_time_is_tried_once_more():
    late = True

    def test(texts):
        return ["boom" in text and not late for text in texts]

    def hasty(text):
        nonlocal late
        late, was = False, late
        return was

    left = order.reduced("x = 1\nboom\n", test, 2, hasty=hasty)
    assert left.strip() == "boom"
