"""The loop every scenario runs in: draw a batch, make the step's graph, read its loss."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx

from harness.beats.file import Recorder
from harness.inject.inside.digest import Digest, digest, is_finite
from harness.inject.inside.inputs import Inputs
from harness.inject.inside.taps import Taps
from harness.model import EndBeat, ModelBeat, Tensors
from harness.training import mistakes
from harness.training.following import Following
from harness.training.models import describe
from harness.training.probes import CompileProbe
from harness.training.setup import Training

Step = Callable[..., mx.array | None]
_EXAMPLES = 8


def run(
    training: Training,
    step: Step,
    batches: Iterator[Any],
    recorder: Recorder,
    probe: CompileProbe,
    taps: Taps | None = None,
    maker: Any = None,
) -> None:
    """All steps of one scenario, with the parameters' digests before and after.

    `taps` count what the optimizer is given. `maker` is the scenario's own function that made its
    batches, for who reads of a mistake in it.
    """
    following = Following(training, taps)
    recorder.phase("digest")
    before = _digests(training)
    following.begin(before)
    if training.known_model is not None:
        _describe(training, recorder)
    mx.clear_cache()
    origin = batches if inspect.isgenerator(batches) else maker
    try:
        _steps(training, step, following.seen(batches), recorder, probe, origin)
    except Exception:
        following.write_after_error(recorder)
        raise
    recorder.begin(training.settings.steps, "drain")
    began = time.monotonic()
    readable = _drain(training, following)
    drained = time.monotonic() - began
    recorder.phase("digest")
    trainable, frozen = _changes(training, before) if readable else (None, None)
    end = EndBeat(
        t=time.monotonic(),
        steps=training.settings.steps,
        drain_s=drained,
        trainable=trainable,
        frozen=frozen,
        not_finite=_not_finite(training) if readable else (),
        compile_works=probe.works(),
        fault=recorder.fault,
        lost=recorder.lost,
        unwatched=mistakes.unwatched() if training.known_model is None else None,
    )
    following.write(recorder, step)
    recorder.write(end)


def _drain(training: Training, following: Following) -> bool:
    """Evaluate what is pending. False if a compiled step has lost the parameters."""
    try:
        mx.eval(training.pending())
    except (RuntimeError, ValueError):
        if following.state_is_lost:
            return False
        raise
    return True


def _steps(
    training: Training,
    step: Step,
    batches: Iterator[Any],
    recorder: Recorder,
    probe: CompileProbe,
    maker: Any,
) -> None:
    described = training.known_model is not None
    seen = Inputs()
    for index in range(training.settings.steps):
        mx.reset_peak_memory()
        recorder.begin(index)
        training.begin()
        batch = mistakes.next_batch(batches, maker, index, training.settings.steps)
        shapes, inputs = seen.look(batch)
        recorder.phase("forward")
        arguments = batch if isinstance(batch, tuple) else (batch,)
        if index == 0:
            mistakes.check_batch(step, arguments)
        loss = step(*arguments)
        mistakes.check_loss(step, loss)
        training.built(loss)
        value = None if loss is None else float(loss.item())  # type: ignore[arg-type]
        left, carried, arrays = training.returned()
        recorder.end(
            loss=value,
            active=mx.get_active_memory(),
            cache=mx.get_cache_memory(),
            peak=mx.get_peak_memory(),
            traces=probe.traces,
            calls=probe.calls,
            left=left,
            carried=carried,
            shapes=shapes,
            inputs=inputs or None,
            arrays=arrays,
        )
        if not described and training.known_model is not None:
            # It was not built before the first step asked for it.
            _describe(training, recorder)
            described = True


def _describe(training: Training, recorder: Recorder) -> None:
    parameters, parameter_bytes, trainable, trainable_bytes, dtype = describe(training.model)
    recorder.write(
        ModelBeat(
            t=time.monotonic(),
            parameters=parameters,
            parameter_bytes=parameter_bytes,
            trainable=trainable,
            trainable_bytes=trainable_bytes,
            dtype=dtype,
            description=type(training.model).__module__.rpartition(".")[2],
            active=mx.get_active_memory(),
            own=training.brought,
        )
    )


def _digests(training: Training) -> dict[str, Digest]:
    trainable, frozen = training.tensors()
    mx.eval(list(trainable.values()), list(frozen.values()))
    return {name: digest(value) for name, value in (trainable | frozen).items()}


def _changes(
    training: Training, before: dict[str, Digest]
) -> tuple[Tensors | None, Tensors | None]:
    if not before:
        return None, None
    trainable, frozen = training.tensors()
    moved = {n for n, value in trainable.items() if digest(value) != before.get(n)}
    drifted = {n for n, value in frozen.items() if digest(value) != before.get(n)}
    still = [name for name in trainable if name not in moved]
    return (
        Tensors(total=len(trainable), changed=len(moved), examples=tuple(still[:_EXAMPLES])),
        Tensors(
            total=len(frozen), changed=len(drifted), examples=tuple(sorted(drifted)[:_EXAMPLES])
        ),
    )


def _not_finite(training: Training) -> tuple[str, ...]:
    arrays = training.tensors()[0] | training.optimizer_state()
    return tuple(name for name, value in arrays.items() if not is_finite(value))[:_EXAMPLES]
