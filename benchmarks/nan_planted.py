"""Trainings whose numbers stop being finite at a place that is known: for benchmarks/nan_origin.py.

The line of each origin ends with `# origin` and its name. Each is as it comes in real programs: a
guard that is missing, a type that is too small, a mask that leaves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_map

ROWS, WIDTH, CLASSES = 8, 16, 4
LATE = 4
"""The step whose batch is the bad one, where a batch is."""

Batch = tuple[mx.array, mx.array]


def batches(training: Any) -> Iterator[Batch]:
    """Rows of random numbers and their classes; in step LATE row 2 is all zeros, and its class is
    none."""
    step = 0
    while True:
        x, y = mx.random.normal((ROWS, WIDTH)), mx.random.randint(0, CLASSES, (ROWS,))
        if step == LATE:
            row = mx.arange(ROWS) == 2
            x, y = mx.where(row[:, None], 0.0, x), mx.where(row, -1, y)
        step += 1
        yield x, y


def _mlp(training: Any, dtype: mx.Dtype = mx.float32) -> nn.Module:
    model = nn.Sequential(nn.Linear(WIDTH, 32), nn.GELU(), nn.Linear(32, CLASSES))
    model.set_dtype(dtype)
    training.watch(model, optim.SGD(1e-2))
    return model


def _step(training: Any, model: nn.Module, loss: Callable[..., mx.array]) -> Any:
    loss_and_grad = nn.value_and_grad(model, loss)

    def step(x: mx.array, y: mx.array) -> mx.array:
        value: mx.array
        value, gradients = loss_and_grad(model, x, y)
        training.optimizer.update(model, gradients)
        return value

    return step


# --- forward --------------------------------------------------------------------------------------


def log_of_zero(training: Any) -> Any:
    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        wanted = mx.arange(CLASSES) == y[:, None]
        likely = (mx.softmax(model(x), axis=-1) * wanted).sum(axis=-1)
        return -mx.log(likely).mean()  # origin log_of_zero

    return _step(training, _mlp(training), loss)


def nothing_to_divide(training: Any) -> Any:
    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        losses = nn.losses.cross_entropy(model(x), mx.maximum(y, 0))
        counted = mx.full(y.shape, training.step != LATE)
        return (losses * counted).sum() / counted.sum()  # origin nothing_to_divide

    return _step(training, _mlp(training), loss)


def softmax_by_hand(training: Any) -> Any:
    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        scale = 2000.0 if training.step == LATE else 1.0
        raised = mx.exp(scale * model(x))  # origin softmax_by_hand
        likely = raised / raised.sum(axis=-1, keepdims=True)
        return -mx.log(1e-6 + mx.take_along_axis(likely, mx.maximum(y, 0)[:, None], 1)).mean()

    return _step(training, _mlp(training), loss)


def no_epsilon(training: Any) -> Any:
    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        normed = x * mx.rsqrt(x.square().mean(axis=-1, keepdims=True))  # origin no_epsilon
        return nn.losses.cross_entropy(model(normed), mx.maximum(y, 0), reduction="mean")

    return _step(training, _mlp(training), loss)


def row_all_masked(training: Any) -> Any:
    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        masked = mx.where(x == 0, -mx.inf, model.layers[0](x)[:, :WIDTH])
        weights = mx.softmax(masked, axis=-1)  # origin row_all_masked
        return nn.losses.cross_entropy(model(weights * x), mx.maximum(y, 0), reduction="mean")

    return _step(training, _mlp(training), loss)


def beside_a_mask(training: Any) -> Any:
    """Infinities of a mask, which are healthy, come before the log."""

    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        scores = mx.where(mx.tri(WIDTH) > 0, x[:, None, :], -mx.inf)
        mixed = (mx.softmax(scores, axis=-1) @ x[..., None]).squeeze(-1)
        strength = mx.log(mx.abs(x).max(axis=-1))  # origin beside_a_mask
        value = nn.losses.cross_entropy(model(mixed), mx.maximum(y, 0), reduction="mean")
        return value + 1e-3 * strength.mean()

    return _step(training, _mlp(training), loss)


def half_scores(training: Any) -> Any:
    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        hidden = model.layers[0](x.astype(mx.float16)) * (500 if training.step == LATE else 1)
        scores = hidden @ hidden.T  # origin half_scores
        near = mx.softmax(scores.astype(mx.float32), axis=-1)
        return nn.losses.cross_entropy(near @ model(x), mx.maximum(y, 0), reduction="mean")

    return _step(training, _mlp(training, mx.float16), loss)


def half_sum(training: Any) -> Any:
    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        hidden = model.layers[0](x.astype(mx.float16)) * (40 if training.step == LATE else 1)
        penalty = hidden.square().sum()  # origin half_sum
        value = nn.losses.cross_entropy(model(x), mx.maximum(y, 0), reduction="mean")
        return value + 1e-5 * penalty

    return _step(training, _mlp(training, mx.float16), loss)


def bfloat_root(training: Any) -> Any:
    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        output = model(x.astype(mx.bfloat16))
        sign = -1.0 if training.step == LATE else 1.0
        return ((sign * output.square() + 1e-3) ** 0.5).mean()  # origin bfloat_root

    return _step(training, _mlp(training, mx.bfloat16), loss)


# --- backward -------------------------------------------------------------------------------------


def norm_penalty(training: Any) -> Any:
    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        value = nn.losses.cross_entropy(model(x), mx.maximum(y, 0), reduction="mean")
        moved = (model(x) * (y >= 0)[:, None]).square().sum(axis=-1)
        return value + 0.1 * mx.sqrt(moved)[2]  # origin norm_penalty

    return _step(training, _mlp(training), loss)


def dead_branch(training: Any) -> Any:
    """The branch that is not taken has no slope, and 0 times that is NaN."""

    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        size = nn.relu(model(x)) * (y >= 0)[:, None]
        logs = mx.log(size)  # origin dead_branch
        return mx.where(size > 0, logs, 0.0).square().mean()

    return _step(training, _mlp(training), loss)


def loss_scale(training: Any) -> Any:
    model = _mlp(training, mx.float16)
    scale = 2.0**20

    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        logits = model(x.astype(mx.float16))
        value = nn.losses.cross_entropy(
            logits.astype(mx.float32),  # origin loss_scale
            mx.maximum(y, 0),
            reduction="mean",
        )
        return value * (scale if training.step == LATE else 1.0)

    loss_and_grad = nn.value_and_grad(model, loss)

    def step(x: mx.array, y: mx.array) -> mx.array:
        value: mx.array
        value, gradients = loss_and_grad(model, x, y)
        used = scale if training.step == LATE else 1.0
        training.optimizer.update(model, tree_map(lambda g: g / used, gradients))
        return value / used

    return step


def norm_of_nothing(training: Any) -> Any:
    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        hidden = model(x) * (y >= 0)[:, None]
        length = mx.linalg.norm(hidden, axis=-1)  # origin norm_of_nothing
        return mx.square(length - 1).mean()

    return _step(training, _mlp(training), loss)


def small_power(training: Any) -> Any:
    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        size = mx.abs(model(x)) * (y >= 0)[:, None]
        return mx.power(size, 0.3).mean()  # origin small_power

    return _step(training, _mlp(training), loss)


def steep_reciprocal(training: Any) -> Any:
    """1/x is within bfloat16, and its slope, 1/x², is not."""

    def loss(model: nn.Module, x: mx.array, y: mx.array) -> Any:
        size = mx.abs(model(x.astype(mx.bfloat16))) + 1e-3
        tiny = size * (1e-22 if training.step == LATE else 1.0)
        inverse = 1.0 / tiny  # origin steep_reciprocal
        return inverse.mean() * (1e-22 if training.step == LATE else 1.0)

    return _step(training, _mlp(training, mx.bfloat16), loss)


# --- Llama ----------------------------------------------------------------------------------------


def llama_overflow(training: Any) -> Any:
    """The weights of one block have grown, so that its output is above the range of float16."""
    model = training.model
    step = _llama(training)

    def grown(inputs: mx.array, targets: mx.array) -> mx.array:
        if training.step == LATE:
            mlp = model.model.layers[1].mlp
            mlp.up_proj.weight = mlp.up_proj.weight * 3e4
            mlp.gate_proj.weight = mlp.gate_proj.weight * 100
        value: mx.array = step(inputs, targets)
        return value

    return grown


def llama_targets(training: Any) -> Any:
    """Targets are weighted by the log of how often they come, which for some is never."""

    def weight(targets: mx.array) -> mx.array:
        often = (targets == targets[:, :1]).sum(axis=-1, keepdims=True) - 1
        often = mx.maximum(often, 0 if training.step == LATE else 1)
        return -mx.log(often / targets.size)  # origin llama_targets

    return _llama(training, weight)


def lora_norm(training: Any) -> Any:
    """A penalty on the norm of an adapter that begins at 0."""
    model, optimizer = training.model, training.optimizer

    def loss(model: nn.Module, inputs: mx.array, targets: mx.array) -> Any:
        adapter = model.model.layers[0].self_attn.q_proj.lora_b
        size = mx.sqrt(adapter.astype(mx.float32).square().sum())  # origin lora_norm
        value: mx.array = training.loss(model, inputs, targets) + 0.01 * size
        return value

    loss_and_grad = nn.value_and_grad(model, loss)

    def step(inputs: mx.array, targets: mx.array) -> mx.array:
        value: mx.array
        value, gradients = loss_and_grad(model, inputs, targets)
        optimizer.update(model, gradients)
        return value

    return step


def half_moments(training: Any) -> Any:
    """Adam's second moment and its epsilon are below what float16 holds."""
    training.watch(training.model, optim.Adam(1e-4, eps=1e-8))
    return _llama(training)


def _llama(training: Any, weight: Any = None) -> Any:
    model, optimizer = training.model, training.optimizer

    def loss(model: nn.Module, inputs: mx.array, targets: mx.array) -> Any:
        logits = model(inputs).astype(mx.float32)
        losses = nn.losses.cross_entropy(logits, targets)
        return (losses if weight is None else losses * weight(targets)).mean()

    loss_and_grad = nn.value_and_grad(model, loss)

    def step(inputs: mx.array, targets: mx.array) -> mx.array:
        value: mx.array
        value, gradients = loss_and_grad(model, inputs, targets)
        optimizer.update(model, gradients)  # origin half_moments
        return value

    return step
