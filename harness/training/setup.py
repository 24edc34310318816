"""The argument of a scenario's `make_step`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten

from harness.beats.file import Recorder, number
from harness.model import CheckBeat, GradientBeat, Settings
from harness.training import collectives, data, models
from harness.training.probes import CompileProbe, GraphSampler, alive

OPTIMIZERS = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": optim.SGD,
    "lion": optim.Lion,
    "adafactor": optim.Adafactor,
}


class Training:
    """The parts of one training run, built when they are first asked for.

    A scenario that brings its own model asks for none of them and calls `watch` instead.
    """

    def __init__(
        self, settings: Settings, recorder: Recorder, probe: CompileProbe, rank: int = 0
    ) -> None:
        self.settings = settings
        self.rank = rank
        self._recorder = recorder
        self._probe = probe
        self._sampler = GraphSampler(settings.steps, self.pending)
        self.over = False
        """The steps of the run are over: what is called now is no longer recorded."""

    # -- what the harness brings

    @cached_property
    def _built(self) -> tuple[nn.Module, Callable[[str], list[int]]]:
        return models.build(self.settings)

    @cached_property
    def model(self) -> nn.Module:
        """The model of `--model`, in training mode, its parameters evaluated."""
        return self._built[0]

    @cached_property
    def optimizer(self) -> optim.Optimizer:
        """The optimizer of `--optimizer`; its state is made by its first update, as usual."""
        optimizer = OPTIMIZERS[self.settings.optimizer](learning_rate=self.settings.learning_rate)
        return self._of_all_ranks(optimizer)

    @property
    def state(self) -> list[Any]:
        """The arrays that a compiled step reads and writes: the model's state and the
        optimizer's."""
        return [self.model.state, self.optimizer.state]

    def batches(self) -> Iterator[tuple[mx.array, mx.array]]:
        """Endless (inputs, targets), both of shape (batch_size, seq_len); each rank has its own."""
        s = self.settings
        encode = data.byte_tokens if self.brought else self._built[1]
        return data.batches(encode, s.batch_size, s.seq_len, s.seed + self.rank)

    @staticmethod
    def loss(model: nn.Module, inputs: mx.array, targets: mx.array) -> mx.array:
        """Mean cross entropy of the next token, in nats; a float32 scalar."""
        logits = model(inputs).astype(mx.float32)
        loss: mx.array = nn.losses.cross_entropy(logits, targets, reduction="mean")
        return loss

    def value_and_grad(self) -> Callable[..., tuple[mx.array, Any]]:
        """A new `nn.value_and_grad` of `loss`, to be called with (model, inputs, targets)."""

        def loss(model: nn.Module, inputs: mx.array, targets: mx.array) -> mx.array:
            value = self.loss(model, inputs, targets)
            self.phase("backward")
            return value

        function: Callable[..., tuple[mx.array, Any]] = nn.value_and_grad(self.model, loss)
        return function

    # -- what a scenario tells the harness

    @property
    def step(self) -> int:
        """The step under way, from 0."""
        return self._recorder.step

    @property
    def last_step(self) -> bool:
        return self.step == self.settings.steps - 1

    def phase(self, name: str) -> None:
        """Begin the phase `name` of the step (`update`, `clear_cache`, `validate`, ...).

        `phase("eval")` says that the step's graph stands. Inside a function that MLX is tracing
        it does nothing: tracing is the phase `compile`.
        """
        if self._probe.tracing or self.over:
            return
        if name == "eval":
            self.built(None)
        else:
            self._recorder.phase(name)

    def watch(self, model: nn.Module, optimizer: optim.Optimizer | None = None) -> None:
        """Use these in place of the built-in ones: their parameters and memory are followed."""
        self.__dict__["model"] = model
        if optimizer is not None:
            self.__dict__["optimizer"] = self._of_all_ranks(optimizer)

    def _of_all_ranks(self, optimizer: optim.Optimizer) -> optim.Optimizer:
        if self.settings.ranks > 1:
            collectives.average(optimizer)
        return optimizer

    def gradients(self, gradients: Any) -> None:
        """Record the norm of `gradients`. Evaluates them."""
        if self.over:
            return
        squares = [mx.sum(mx.square(g.astype(mx.float32))) for _, g in tree_flatten(gradients)]
        norm = float(mx.sqrt(sum(squares, mx.array(0.0))).item())  # type: ignore[arg-type]
        self._recorder.write(
            GradientBeat(t=self._recorder.now(), step=self.step, norm=number(norm))
        )

    def check(self, name: str, value: float, expected: float, tolerance: float = 1e-4) -> None:
        """Record whether two numbers agree to a relative (below 1: absolute) `tolerance`."""
        if self.over:
            return
        ok = abs(value - expected) <= tolerance * max(1.0, abs(expected))
        self._recorder.write(
            CheckBeat(
                t=self._recorder.now(),
                step=self.step,
                name=name,
                value=number(value),
                expected=number(expected),
                ok=ok,
            )
        )

    # -- what the harness looks at

    def begin(self) -> None:
        """A step begins. What earlier ones left is looked at, if the sampler wants this step."""
        if self._sampler.wants(self.step):
            self._recorder.phase("graph")
            self._sampler.begin(self.step)
            self._recorder.phase("data")

    def built(self, loss: mx.array | None) -> None:
        """The step's graph stands, pending behind `loss`, the parameters and the optimizer state.

        Once a step; later calls do nothing, since a scenario may say it before the loop does.
        """
        if self._recorder.current == "eval":
            return
        if not self._sampler.on:
            self._recorder.built()
            return
        self._recorder.phase("graph")
        nodes, depth = self._sampler.built(loss)
        self._recorder.built(nodes, depth)

    def returned(self) -> tuple[int | None, int | None, int | None]:
        """The step's evaluation returned: what it left pending, what it ran of earlier steps, and
        the arrays that the program holds.

        None in a step that is not sampled. Arrays are counted at powers of two and at the end.
        """
        step, left, carried, arrays = self.step, None, None, None
        if self._sampler.on:
            self._recorder.phase("graph")
            left, carried = self._sampler.returned(step)
        if step & (step - 1) == 0 or self.last_step:
            self._recorder.phase("graph")
            arrays = alive()
        return left, carried, arrays

    def pending(self) -> list[mx.array]:
        """The arrays that outlive a step: the trainable parameters and the optimizer state."""
        return [*self.tensors()[0].values(), *self.optimizer_state().values()]

    @property
    def known_model(self) -> nn.Module | None:
        """The model, if the scenario has built or brought one."""
        return self.__dict__.get("model")

    @property
    def known_optimizer(self) -> optim.Optimizer | None:
        """The optimizer, if the scenario has built or brought one."""
        return self.__dict__.get("optimizer")

    @property
    def brought(self) -> bool:
        """True if the model is the scenario's own."""
        return "model" in self.__dict__ and "_built" not in self.__dict__

    def tensors(self) -> tuple[dict[str, mx.array], dict[str, mx.array]]:
        """Trainable and frozen parameters by name; empty without a model."""
        if self.known_model is None:
            return {}, {}
        trainable = dict(tree_flatten(self.model.trainable_parameters()))
        every = dict(tree_flatten(self.model.parameters()))
        return trainable, {name: every[name] for name in every if name not in trainable}

    def optimizer_state(self) -> dict[str, mx.array]:
        optimizer = self.known_optimizer
        if optimizer is None:
            return {}
        return {
            f"optimizer.{name}": value
            for name, value in tree_flatten(optimizer.state)
            if isinstance(value, mx.array)
        }
