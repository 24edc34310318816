"""The project's tests."""

import threading
from functools import partial

import mlx.optimizers as optim
import pytest
import regression

pytestmark = pytest.mark.training(steps=30, budget=60)


def make_step(training, learning_rate=0.1):
    model = regression.Line()
    optimizer = optim.SGD(learning_rate=learning_rate)
    training.watch(model, optimizer)
    return regression.make_update(model, optimizer)


def make_waiting(training):
    """A step that waits for a lock which its own thread holds."""
    update = make_step(training)
    lock = threading.Lock()

    def step(x, y):
        if training.step == 5:
            lock.acquire()
            with lock:
                pass
        return update(x, y)

    return step


def batches(training):
    while True:
        yield regression.points(64)


def test_points_lie_on_the_line():
    x, y = regression.points(8)
    assert abs((y - 3 * x + 1).sum().item()) < 1e-5


@pytest.mark.parametrize("learning_rate", [0.05, 0.1])
def test_it_learns(harness_run, learning_rate):
    run = harness_run(partial(make_step, learning_rate=learning_rate), batches=batches)
    assert run.losses[-1] < run.losses[0] / 10
    assert run.metrics.parameters_changed
    assert len(run.step_times) == 30


@pytest.mark.training(expect="diverged")
def test_it_diverges_at_a_high_rate(harness_run):
    harness_run(partial(make_step, learning_rate=1e30), batches=batches)


def test_it_does_not_hang(harness_run):
    harness_run(make_waiting, batches=batches)
