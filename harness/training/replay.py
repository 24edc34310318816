"""The loop of a scenario in a replay: its steps without their sampling, and a probe in the last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from harness.beats.file import Recorder
from harness.inject.inside.locate import Locator
from harness.inject.inside.operations import Switch
from harness.model import Replay
from harness.training.loop import Step
from harness.training.setup import Training


def run(
    training: Training,
    step: Step,
    batches: Iterator[Any],
    recorder: Recorder,
    replay: Replay,
    switch: Switch,
    folder: str,
) -> None:
    """Run the steps until the answer is in `folder`. The process ends with it: what a scenario
    does when it is over was done by the run that is replayed."""
    locator = Locator(mx, switch, folder, replay.probe, replay.last, replay.gradients)
    for index in range(training.settings.steps):
        recorder.begin(index)
        locator.begin(index, _named(training))
        batch = next(batches)
        locator.batch(batch)
        recorder.phase("forward")
        loss = step(*batch) if isinstance(batch, tuple) else step(batch)
        recorder.phase("eval")
        state = training.tensors()[0] | training.optimizer_state()
        if locator.end(loss, state):
            break
        recorder.end()
    else:
        locator.ran_out()
    recorder.phase("exit")
    os._exit(0)


def _named(training: Training) -> dict[str, mx.array]:
    """The arrays that outlive a step, by names for people."""
    if training.known_model is None:
        return {}
    parameters = dict(tree_flatten(training.known_model.parameters()))
    named = {f"parameter {name}": value for name, value in parameters.items()}
    state = training.optimizer_state()
    return named | {
        f"optimizer state {name.removeprefix('optimizer.')}": value for name, value in state.items()
    }
