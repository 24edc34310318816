"""The commonest mistakes in a scenario, each in a sentence with its line."""

from __future__ import annotations

import functools
import itertools
import re

import mlx.core as mx
import mlx.nn as nn
import pytest

from harness.errors import ScenarioError
from harness.training import mistakes

HERE = re.compile(r"test_mistakes\.py:\d+ in ")


def step(inputs, targets):
    return inputs


def batches(training):
    yield from range(3)


def told(call, *arguments):
    with pytest.raises(ScenarioError) as caught:
        call(*arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (1.5, "returns a number, not an array: return the loss without .item()"),
        (3, "returns a number"),
        ((mx.array(1.0), {}), "returns a tuple: return the loss alone"),
        ({"loss": mx.array(1.0)}, "returns a dict"),
        (mx.zeros((4, 8)), "returns a loss of shape 4×8, not one number: take its mean()"),
        (mx.zeros((0,)), "returns a loss of shape 0"),
    ],
)
def test_what_is_no_loss_is_told_with_the_line_of_the_step(loss, says):
    text = told(mistakes.check_loss, step, loss)
    assert HERE.match(text)
    assert says in text


@pytest.mark.parametrize("loss", [None, mx.array(1.0), mx.zeros((1,)), mx.zeros((1, 1))])
def test_a_loss_is_taken_as_it_is(loss):
    mistakes.check_loss(step, loss)


def test_a_maker_that_returns_no_step_is_told():
    def nothing(training):
        pass

    def called(training):
        return mx.array(1.0)

    def alone():
        return step

    assert "returns nothing: end it with `return step`" in told(mistakes.make, nothing, None)
    assert "not a function: return the step itself" in told(mistakes.make, called, None)
    assert "it with one argument, training" in told(mistakes.make, alone, None)
    assert mistakes.make(lambda training: step, None) is step


def test_batches_that_end_are_told_with_how_many_there_were():
    iterator = batches(None)
    for _ in range(3):
        mistakes.next_batch(iterator, batches, 0, 10)
    text = told(mistakes.next_batch, iterator, batches, 3, 10)
    assert HERE.match(text)
    assert "ended after 3 batches of 10" in text
    assert "--steps 3" in text
    assert mistakes.next_batch(itertools.repeat(5), None, 0, 10) == 5


def test_an_exception_in_a_loader_of_the_users_own_is_no_mistake_of_this_kind():
    def broken():
        raise ValueError("no file")
        yield

    with pytest.raises(ValueError, match="no file"):
        mistakes.next_batch(broken(), broken, 0, 10)


@pytest.mark.parametrize("arguments", [(1,), (1, 2, 3)])
def test_a_step_that_cannot_take_the_batch_is_told(arguments):
    text = told(mistakes.check_batch, step, arguments)
    assert HERE.match(text)
    assert f"a batch has {len(arguments)} part" in text


@pytest.mark.parametrize(
    "function",
    [step, lambda *batch: None, functools.partial(step, targets=1), mx.compile(step), print],
)
def test_any_step_that_may_fit_is_let_through(function):
    arguments = (1,) if isinstance(function, functools.partial) else (1, 2)
    mistakes.check_batch(function, arguments)
    assert mistakes.at(function)


def test_a_model_that_nobody_told_of_is_named_by_its_class():
    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(2, 2) for _ in range(3)]

    model = Mine()
    assert mistakes.largest([*model.layers, model, nn.ReLU()]) == "Mine"
    assert mistakes.largest([nn.ReLU()]) is None
    assert mistakes.unwatched() is not None


def test_who_looks_for_models_runs_no_code_of_other_objects():
    class Proxy:
        asked = 0

        @property
        def __class__(self):
            Proxy.asked += 1
            return nn.Module

    proxies = [Proxy(), nn.Linear(2, 2)]
    mistakes.unwatched()
    assert Proxy.asked == 0
    assert len(proxies) == 2
