"""A model that is followed is not kept: what a program lets go of is looked at once more."""

from __future__ import annotations

import gc
import json
import weakref

import pytest

mx = pytest.importorskip("mlx.core")
import mlx.nn as nn  # noqa: E402
import mlx.optimizers as optim  # noqa: E402

from harness.inject.inside.watched import NAME, Followed  # noqa: E402


class Net(nn.Module):
    """Has an array of its own beside its layers."""

    def __init__(self):
        super().__init__()
        self.scale = mx.ones((4,))
        self.layer = nn.Linear(4, 2)

    def __call__(self, x):
        return self.layer(x * self.scale)


def trained(folder, make, steps, rate=1e-2):
    """Train a model that nothing keeps; return it and its optimizer as weak references."""
    model, optimizer = make(), optim.Adam(rate)
    followed = Followed(str(folder), model, optimizer)
    try:
        loss_and_grad = nn.value_and_grad(model, lambda model, x: model(x).square().mean())
        for _ in range(steps):
            loss, gradients = loss_and_grad(model, mx.random.normal((3, 4)))
            optimizer.update(model, gradients)
            mx.eval(loss, model.parameters(), optimizer.state)
        references = weakref.ref(model), weakref.ref(optimizer)
        del model, optimizer, loss_and_grad
        gc.collect()
        return references
    finally:
        followed.close()


def told(folder):
    text = (folder / NAME).read_text()
    return json.loads(text)["trainable"] if text else None


@pytest.mark.parametrize("make", [Net, lambda: nn.Linear(4, 2)])
@pytest.mark.parametrize(("rate", "changed"), [(1e-2, True), (0.0, False)])
def test_a_model_is_looked_at_when_the_program_lets_go_of_it(tmp_path, make, rate, changed):
    model, optimizer = trained(tmp_path, make, 5, rate)
    assert model() is None
    assert optimizer() is None
    found = told(tmp_path)
    assert found["changed"] == (found["total"] if changed else 0)
    assert found["total"] >= 2


def test_an_update_that_was_not_seen_is_not_told_as_none(tmp_path):
    trained(tmp_path, lambda: nn.Linear(4, 2), 1)
    assert told(tmp_path) is None


def test_one_update_of_layers_is_seen(tmp_path):
    trained(tmp_path, lambda: nn.Sequential(nn.Linear(4, 2)), 1)
    assert told(tmp_path)["changed"] == 2


@pytest.mark.parametrize("compiled", [False, True])
def test_a_function_that_outlives_its_model_still_computes(tmp_path, compiled):
    optimizer, models = optim.SGD(0.1), [nn.Linear(4, 2, bias=False)]
    optimizer.init(models[0].trainable_parameters())
    followed = Followed(str(tmp_path), models[0], optimizer)

    def step(x):
        gradient = mx.ones((2, 4)) * x.sum()
        return optimizer.apply_gradients({"weight": gradient}, models[0])["weight"]

    try:
        kept = mx.compile(step) if compiled else mx.grad(lambda x: x.square().sum())
        expected = kept(mx.ones((3, 4)))
        gone = weakref.ref(models.pop())
        gc.collect()
        assert gone() is None
        assert mx.array_equal(kept(mx.ones((3, 4))), expected)
    finally:
        followed.close()
