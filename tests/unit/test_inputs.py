"""The shapes of batches, as they are counted in each step."""

from __future__ import annotations

import numpy as np
import pytest

from harness.inject.inside.inputs import Inputs


def batch(*shapes, dtype="int32"):
    return tuple(np.zeros(shape, dtype) for shape in shapes)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda arrays: arrays,
        list,
        lambda arrays: {"ids": arrays[0], "rest": arrays[1:]},
        lambda arrays: (arrays[0], {"labels": arrays[1], "name": "x"}),
        lambda arrays: [[arrays[0]], 3, None, (arrays[1],)],
    ],
)
def test_shapes_are_told_apart_however_a_batch_is_put_together(wrapped):
    seen = Inputs()
    assert seen.look(wrapped(batch((4, 8), (4, 8)))) == (1, 2 * 4 * 8 * 4)
    assert seen.look(wrapped(batch((4, 8), (4, 8)))) == (1, 2 * 4 * 8 * 4)
    assert seen.look(wrapped(batch((4, 9), (4, 9)))) == (2, 2 * 4 * 9 * 4)
    assert seen.look(wrapped(batch((4, 9), (4, 9), dtype="int64"))) == (3, 2 * 4 * 9 * 8)
    assert seen.look(wrapped(batch((4, 8), (4, 8)))) == (3, 2 * 4 * 8 * 4)


def test_one_array_is_a_batch():
    assert Inputs().look(batch((2, 3))[0]) == (1, 24)


@pytest.mark.parametrize("nothing", [None, (), 3, "text", [1, 2], {"a": None}, (1, 2), range(9)])
def test_a_batch_without_arrays_has_no_shape(nothing):
    assert Inputs().look(nothing) == (0, 0)


def test_a_batch_that_raises_is_never_looked_at_again():
    class Odd:
        nbytes = dtype = 1

        @property
        def shape(self):
            raise RuntimeError("not yet")

    seen = Inputs()
    assert seen.look(batch((2, 3))) == (1, 24)
    assert seen.look((Odd(),)) == (0, 0)
    assert seen.look(batch((2, 3))) == (0, 0)


def test_a_batch_of_many_arrays_costs_no_more_than_some():
    assert Inputs().look(batch(*[(1,)] * 1000))[0] == 1
    assert Inputs().look(batch(*[(1,)] * 1000))[1] == 256 * 4


def test_lists_of_numbers_are_not_searched_to_their_end():
    class Tokens(list):
        read = 0

        def __iter__(self):
            for token in super().__iter__():
                self.read += 1
                yield token

    tokens = Tokens(range(100_000))
    assert Inputs().look(([tokens] * 8, *batch((2, 3)))) == (1, 24)
    assert tokens.read < 200
    assert Inputs().look([[None] * 100_000, *batch((2, 3))]) == (0, 0)
