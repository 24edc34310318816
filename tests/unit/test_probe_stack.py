"""The stack at each operation is the whole one, though it shares what has not changed."""

from __future__ import annotations

import gc
import weakref

from harness.inject.inside.stack import Stack, lines


class Layer:
    def __init__(self, see):
        self.see = see

    def __call__(self, depth):
        self.see()
        if depth:
            self(depth - 1)
        self.see()


class Seer:
    """Looks with a stack that is kept, and with a new one, from the same place."""

    def __init__(self):
        self.stack = Stack()
        self.looks = 0

    def __call__(self):
        kept, new = self.stack.line(1), Stack().line(1)
        ours = [(code, last, module) for code, last, module, _ in lines(kept)]
        # The two looks are at two places of this function only, which is left out.
        assert ours == [(code, last, module) for code, last, module, _ in lines(new)]
        self.looks += 1
        return ours


def test_calls_that_return_and_come_again_are_told_apart():
    see = Seer()
    layer = Layer(see)
    for depth in (0, 3, 1):
        layer(depth)
        see()
    [layer(1) for _ in range(2)]
    assert see.looks == 2 + 8 + 4 + 3 + 8


def test_a_generator_may_go_on_below_another_caller():
    see = Seer()

    def batches():
        while True:
            yield see()

    def first(drawn):
        return next(drawn)

    def second(drawn):
        see()
        return next(drawn)

    drawn = batches()
    names = [[code.co_name for code, _, _ in draw(drawn)][:2] for draw in (first, second, first)]
    assert names == [["batches", "first"], ["batches", "second"], ["batches", "first"]]


def test_the_modules_are_those_that_are_called():
    see, found = Seer(), []

    def noted():
        found.append([module for _, _, module in see() if isinstance(module, Layer)])

    layer = Layer(noted)
    layer(1)
    assert found == [[layer], [layer, layer], [layer, layer], [layer]]


def test_nothing_is_kept_once_it_is_cleared():
    see = Seer()

    class Held:
        pass

    def run():
        held = Held()
        see()
        return weakref.ref(held)

    held = run()
    see.stack.clear()
    gc.collect()
    assert held() is None
