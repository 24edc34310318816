"""Which threads' variables tell that a loop stands still."""

from __future__ import annotations

import pytest

from harness.stacks.values import parse

HEAD = "Traceback for thread 7 (python) [Has the GIL] (most recent call last):\n"
MODULE = '    (Python) File "/t.py", line 12, in <module>\n        run()\n'
FUNCTION = '    (Python) File "/t.py", line 5, in run\n        while True: n += 1\n'


def variables(**shown: str) -> str:
    return "".join(f"        {name}: {value}\n" for name, value in shown.items())


def test_a_digest_changes_with_a_variable_and_with_nothing_else():
    one, same, other = (
        parse(HEAD + MODULE + FUNCTION + "      Locals:\n" + variables(n=str(n), d="{}"))
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
    assert parse(HEAD + text) == {}


def test_one_plain_variable_beside_an_object_tells():
    shown = variables(self="<C at 0x7f37feee7690>", done="False")
    assert list(parse(HEAD + MODULE + FUNCTION + "      Arguments:\n" + shown)) == [7]


def test_each_thread_has_its_own():
    first = HEAD + FUNCTION + "      Locals:\n" + variables(n="1")
    second = first.replace("thread 7", "thread 8").replace("n: 1", "n: 2")
    found = parse(first + second)
    assert sorted(found) == [7, 8]
    assert found[7] != found[8]
