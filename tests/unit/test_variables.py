"""Digests of a thread's variables, as a worker on macOS tells them."""

from __future__ import annotations

import sys
import threading

import pytest

from harness.inject.inside import variables


class Counter:
    def __init__(self):
        self.number = 0


class Hostile:
    """Each way to look at it from outside runs code of its own."""

    @property
    def __dict__(self):
        raise AssertionError("looked at")

    def __getattribute__(self, name):
        raise AssertionError("looked at")

    __repr__ = __str__ = __hash__ = __len__ = __bool__ = __getattribute__


def digest_of(value, plain=0):
    """The digest of a function with these two variables, that nobody has called."""

    def function(value, plain):
        yield

    return frame_digest(function(value, plain))


def frame_digest(made):
    next(made)
    return variables.digest(made.gi_frame)


@pytest.mark.parametrize(
    "value",
    [3, 2**2000, 2.5, 1j, "a" * 9000, b"b", None, True, [1, [2]], (1,), {"a": {1}}, {3, 4},
     Counter(), Counter, sys],
)  # fmt: skip
def test_what_does_not_change_has_one_digest(value):
    assert digest_of(value) == digest_of(value) != ""


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ([], lambda it: it.append(1)),
        ([0] * 500, lambda it: it.__setitem__(3, 1)),
        ([0] * 500, lambda it: it.__setitem__(-3, 1)),
        ({}, lambda it: it.update(a=1)),
        ({"a": [1]}, lambda it: it["a"].append(2)),
        (set(), lambda it: it.add(1)),
        (bytearray(9), lambda it: it.extend(b"x")),
        (Counter(), lambda it: setattr(it, "number", 1)),
        ([Counter()], lambda it: setattr(it[0], "number", 1)),
    ],
)
def test_what_changes_within_a_value_changes_the_digest(value, change):
    before = digest_of(value)
    change(value)
    assert digest_of(value) != before


def test_numbers_and_texts_are_told_apart():
    values = [
        0,
        1,
        2**200,
        2**200 + 1,
        -1,
        1.0,
        "1",
        "",
        b"1",
        "a" * 3000,
        "a" * 3001,
        None,
        (),
        [],
    ]
    assert len({digest_of(value) for value in values}) == len(values)


def test_no_code_of_the_users_runs():
    hostile = Hostile()
    assert digest_of(hostile) == digest_of(hostile) != digest_of(Counter())


def test_a_function_that_shows_nothing_that_could_change_has_no_digest():
    def function(one):
        yield

    assert frame_digest(function(Counter())) == ""
    assert frame_digest((lambda: (yield))()) == ""


@pytest.mark.parametrize(
    ("value", "path", "seen"),
    [
        (list(range(200)), (0,), True),
        (list(range(200)), (100,), False),
        (list(range(200)), (199,), True),
        ([[[0]]], (0, 0, 0), True),
        ([[[[0]]]], (0, 0, 0, 0), False),
        ([[0] * 100 for _ in range(100)], (0, 0), True),
        ([[0] * 100 for _ in range(100)], (99, 99), False),
    ],
)
def test_what_would_take_long_is_cut(value, path, seen):
    before, part = digest_of(value), value
    for at in path[:-1]:
        part = part[at]
    part[path[-1]] = -1
    assert (digest_of(value) != before) is seen


def test_each_other_thread_is_told_by_its_number():
    ready, end = threading.Event(), threading.Event()

    def waits(number):
        ready.set()
        end.wait()
        return number

    other = threading.Thread(target=waits, args=(1,), daemon=True)
    other.start()
    ready.wait()
    try:
        told = variables.told()
    finally:
        end.set()
    other.join()
    assert f"Variables of thread {other.ident:#x}: " in told
    assert f"{threading.get_ident():#x}" not in told
    assert told.endswith(f"\n{variables.END}\n")


def test_a_thread_that_cannot_be_read_hides_no_end(monkeypatch):
    monkeypatch.setattr(variables, "digest", lambda frame: 1 / 0)
    assert variables.told() == f"{variables.END}\n"
