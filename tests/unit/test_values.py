"""Which threads' variables tell that a loop stands still."""

from __future__ import annotations

import pytest

from harness.stacks.values import parse, same, varied

HEAD = "Traceback for thread 7 (python) [Has the GIL] (most recent call last):\n"
MODULE = '    (Python) File "/t.py", line 12, in <module>\n        run()\n'
FUNCTION = '    (Python) File "/t.py", line 5, in run\n        while True: n += 1\n'


def variables(**shown: str) -> str:
    return "".join(f"        {name}: {value}\n" for name, value in shown.items())


def test_a_digest_changes_with_a_variable_and_with_nothing_else():
    one, same, other = (
        parse(HEAD + MODULE + FUNCTION + "      Locals:\n" + variables(n=str(n), d="{}")).every
        for n in (1, 1, 2)
    )
    assert one == same != other
    assert list(one) == [7]


@pytest.mark.parametrize(
    "text",
    [
        MODULE,
        MODULE + FUNCTION,
        MODULE + "      Locals:\n" + variables(n="1") + FUNCTION,
        MODULE + FUNCTION + "      Arguments:\n" + variables(self="<C at 0x7f37feee7690>"),
        "",
    ],
    ids=["module", "none", "of its caller", "an object", "no frame"],
)
def test_a_thread_whose_variables_tell_nothing_is_missing(text):
    assert parse(HEAD + text).every == {}


@pytest.mark.parametrize(
    "rows",
    ["<range_iterator at 0x7f37feee7690>", "<longrange_iterator object at 0x7f37feee7690>",
     "<generator object rows at 0x7f37feee7690>", "<itertools.islice object at 0x7f37feee7690>",
     "<_io.TextIOWrapper at 0x7f37feee7690>", "<zip object at 0x7f37feee7690>",
     "<_csv.reader object at 0x7f37feee7690>"],
)  # fmt: skip
def test_what_is_skipped_row_by_row_gets_on_unseen(rows):
    """`while next(rows) != wanted: ...`: nothing that is shown changes."""
    shown = variables(rows=rows, wanted="500000000")
    assert parse(HEAD + MODULE + FUNCTION + "      Arguments:\n" + shown).every == {}


def test_one_plain_variable_beside_an_object_tells():
    shown = variables(self="<C at 0x7f37feee7690>", done="False")
    assert list(parse(HEAD + MODULE + FUNCTION + "      Arguments:\n" + shown).every) == [7]


def test_a_loop_may_be_seen_at_any_of_its_lines_and_its_caller_at_one():
    """`while not done:` on one line, and `pass` on the next."""
    text = HEAD + MODULE + FUNCTION + "      Locals:\n" + variables(done="[]")
    one, below, later = (
        parse(seen).every
        for seen in (text, text.replace("line 5, ", "line 6, "), text.replace("line 12", "line 13"))
    )
    assert one == below != later


def test_each_thread_has_its_own():
    first = HEAD + FUNCTION + "      Locals:\n" + variables(n="1")
    second = first.replace("thread 7", "thread 8").replace("n: 1", "n: 2")
    found = parse(first + second).every
    assert sorted(found) == [7, 8]
    assert found[7] != found[8]


WAITS = (
    '    (Python) File "/usr/lib/python3.11/threading.py", line 327, in wait\n'
    "        waiter.acquire()\n      Locals:\n        waiter: <_thread.lock at 0x7f00000000{}>\n"
    "        again: {}\n"
)
LOOP = (
    '    (Python) File "/usr/lib/python3.11/asyncio/base_events.py", line 1898, in _run_once\n'
    "        events = select(timeout)\n      Locals:\n        end: 1.5\n"
)


def between(first: str, second: str) -> dict[int, bool]:
    return varied(parse(HEAD + MODULE + first), parse(HEAD + MODULE + second))


def function(**shown: str) -> str:
    return FUNCTION + "      Locals:\n" + variables(**shown)


def test_what_changes_in_a_library_alone_is_no_work_of_the_users():
    one, other = WAITS.format("10", 1), WAITS.format("20", 2)
    assert between(function(n="1") + one, function(n="1") + other) == {7: False}
    assert between(function(n="1") + one, function(n="2") + other) == {7: True}
    assert between(FUNCTION + one, FUNCTION + other) == {}


def test_another_object_is_a_change_and_the_same_one_tells_nothing():
    first, second = "<Batch at 0x7f37feee7690>", "<Batch at 0x7f37feee7700>"
    assert between(function(item=first), function(item=second)) == {7: True}
    assert between(function(item=first), function(item=first)) == {}


def test_a_line_is_no_variable():
    assert between(function(n="1"), function(n="1").replace("line 5", "line 6")) == {7: False}


def test_a_loop_of_events_hides_the_variables_of_its_tasks():
    assert between(function(n="1") + LOOP, function(n="1") + LOOP) == {}
    assert between(function(n="1") + LOOP, function(n="2") + LOOP) == {7: True}


def test_the_same_is_seen_of_objects_that_hide_their_variables_and_of_none_at_all():
    def both(first, second):
        return same(parse(HEAD + MODULE + first), parse(HEAD + MODULE + second))

    hidden = function(self="<Monitor at 0x7f37feee7690>")
    assert both(hidden, hidden) == both(FUNCTION, FUNCTION) == {7: True}
    assert both(hidden, function(self="<Monitor at 0x7f37feee7700>")) == {7: False}
    assert both(hidden + LOOP, hidden + LOOP) == {}, "tasks are not on the stack"
    assert between(FUNCTION, hidden) == {}
