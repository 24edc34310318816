"""Trace a training step without evaluating anything. `python -m harness.training.shapes`.

Each line of stdin is a request as JSON. What it would train goes to stdout as a line of JSON.
MLX's arrays are lazy: a model that is built, or loaded lazily, and never evaluated allocates next
to nothing, and `mx.export_function` shows every operation of a step with its shapes. The supervisor
starts this as a process of its own, since it never imports mlx.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import msgspec
from mlx.utils import tree_flatten, tree_map, tree_unflatten

from harness.errors import UsageError
from harness.memory import law
from harness.memory.merge import merge
from harness.memory.splice import Cuts, splice
from harness.memory.trace import Op, Shapes, Trace
from harness.memory.uncollected import uncollected
from harness.memory.unmerge import unmerge
from harness.model import Settings
from harness.training import device, models
from harness.training.experts import CUT, Calls, Cut, by_weights
from harness.training.setup import OPTIMIZERS, Training

_KEPT: deque[Any] = deque(maxlen=8)
"""Traced graphs. To free one takes a third of the time of its trace, and this process ends soon."""
TRACES = (0, 29, 3)
"""The first version whose `mx.export_function` takes a callback."""


class Request(msgspec.Struct, frozen=True, array_like=True):
    """A training to trace."""

    settings: Settings
    grad_checkpoint: bool = False
    """The blocks compute their activations again in the backward pass, as mlx-lm has it."""
    peak_on: str | None = None
    """The backend for which the peak of the baseline alone is answered, in bytes."""


def main(argv: Sequence[str]) -> int:
    """Answer each request on stdin with what it would train, on stdout."""
    answers = sys.stdout.buffer
    known: dict[object, Shapes] = {}
    with contextlib.redirect_stdout(sys.stderr), uncollected():  # mlx-lm and the hub talk
        for line in sys.stdin.buffer:
            request = msgspec.json.decode(line, type=Request)
            answers.write(msgspec.json.encode(_answer(request, known)) + b"\n")
            answers.flush()
    return 0


def _answer(request: Request, known: dict[object, Shapes]) -> Shapes | int | str:
    """A string says why the model cannot be had or trained as asked."""
    try:
        if request.peak_on is None:
            return measure(request.settings, request.grad_checkpoint, known)
        shapes = measure(request.settings, request.grad_checkpoint)
    except UsageError as error:
        return str(error)
    return law.project(msgspec.structs.replace(shapes, backend=request.peak_on)).peak


def measure(
    settings: Settings,
    grad_checkpoint: bool = False,
    known: dict[object, Shapes] | None = None,
) -> Shapes:
    """The shapes of the training. Raises UsageError as `models.build` does.

    Settings can differ and train the same step, such as in the dtype that the model has anyway. A
    step that is in `known` is not traced again, and each new one is added to it.
    """
    _choose_device(settings)
    version = device.version(mx)
    if tuple(map(int, version.split(".")[:3])) < TRACES:
        raise UsageError(f"MLX {version} cannot show a step's operations: install 0.29.3 or later")
    mx.reset_peak_memory()
    model = models.prepare(settings, lazy=True)[0]
    parameters, parameter_bytes, trainable, trainable_bytes, dtype = models.describe(model)
    optimizer = OPTIMIZERS[settings.optimizer](learning_rate=settings.learning_rate)
    optimizer.init(model.trainable_parameters())
    key = (_layout(model), settings.model, settings.optimizer, settings.batch_size,
           settings.seq_len, settings.device, grad_checkpoint)  # fmt: skip
    known = {} if known is None else known
    if key in known:
        return known[key]
    try:
        merged, traced = _trace(model, optimizer, settings, grad_checkpoint)
    except OverflowError as error:
        raise UsageError(
            f"{settings.batch_size} sequences of {settings.seq_len} tokens are more than MLX can "
            f"hold in one array: lower --batch-size or --seq-len ({error})"
        ) from error
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        if not first.startswith("[export_function]"):
            raise UsageError(
                f"the model cannot build a step of this training: {type(error).__name__}: {first}"
            ) from error
        raise UsageError(
            f"MLX {version} cannot show the operations of this training ({first}): measure the "
            "peak of a few steps instead, with harness run"
        ) from error
    args = getattr(model, "args", None)
    known[key] = Shapes(
        parameters=parameters,
        parameter_bytes=parameter_bytes,
        trainable=trainable,
        trainable_bytes=trainable_bytes,
        dtype=dtype,
        blocks=len(model.layers) if hasattr(model, "layers") else None,
        width=getattr(args, "hidden_size", None),
        vocabulary=getattr(args, "vocab_size", None),
        backend=_backend(),
        memory=device.memory(mx),
        positions=getattr(args, "max_position_embeddings", None),
        merged=merged,
        trace=traced,
        allocated=mx.get_peak_memory(),
    )
    return known[key]


def _choose_device(settings: Settings) -> None:
    if settings.device is None:
        return
    try:
        mx.set_default_device(mx.Device(getattr(mx.DeviceType, settings.device), 0))
    except Exception as error:
        raise UsageError(
            f"MLX has no {settings.device} here: choose another --device ({error})"
        ) from error


def _layout(model: nn.Module) -> tuple[object, ...]:
    """The name, shape and dtype of each parameter, those that are trained first."""
    trained = [name for name, _ in tree_flatten(model.trainable_parameters())]
    every = [(name, v.shape, str(v.dtype)) for name, v in tree_flatten(model.parameters())]
    return (tuple(trained), tuple(every))


@contextlib.contextmanager
def _checkpointed(model: nn.Module) -> Iterator[None]:
    """mlx-lm's gradient checkpoints, which change a class for all of its models."""
    from mlx_lm.tuner.trainer import grad_checkpoint

    kind: Any = type(model.layers[0])
    plain = kind.__call__
    grad_checkpoint(model.layers[0])
    try:
        yield
    finally:
        kind.__call__ = plain


def _backend() -> str:
    if mx.default_device().type == mx.DeviceType.cpu:
        return "cpu"
    return "metal" if mx.metal.is_available() else "cuda"


def _trace(
    model: nn.Module, optimizer: Any, settings: Settings, grad_checkpoint: bool
) -> tuple[Trace, Trace]:
    """One step with equal operations merged, and as it is really evaluated."""
    trainable = tree_flatten(model.trainable_parameters())
    names = {name for name, _ in trainable}
    frozen = [(k, v) for k, v in tree_flatten(model.parameters()) if k not in names]
    state = [v for _, v in tree_flatten(optimizer.state)]
    batch = [mx.zeros((settings.batch_size, settings.seq_len), mx.int32)] * 2
    parameters = trainable + frozen
    calls = Calls()

    def loss(model: nn.Module, *inputs: mx.array) -> mx.array:
        with calls.noted():
            return Training.loss(model, *inputs)

    def begin(rest: Iterator[mx.array]) -> None:
        model.update(tree_unflatten([(name, next(rest)) for name, _ in parameters]))
        optimizer.state = tree_map(lambda _: next(rest), optimizer.state)
        optimizer._initialized = True

    def end(loss: mx.array, flat: Sequence[mx.array]) -> list[mx.array]:
        gradients = tree_unflatten([(n, g) for (n, _), g in zip(trainable, flat, strict=True)])
        optimizer.update(model, gradients)
        updated = [v for _, v in tree_flatten(model.trainable_parameters())]
        return [loss, *flat, *updated, *[v for _, v in tree_flatten(optimizer.state)]]

    def step(*arrays: mx.array) -> list[mx.array]:
        rest = iter(arrays)
        begin(rest)
        value, gradients = nn.value_and_grad(model, loss)(model, *rest)
        return end(value, [v for _, v in tree_flatten(gradients)])

    def cut_step(*arrays: mx.array) -> list[mx.array]:
        """The same with each gradient by the weights of sorted experts cut out."""
        rest = iter(arrays)
        begin(rest)
        inputs = [next(rest) for _ in batch]
        added = [next(rest) for _ in calls.products]
        cut = Cut()

        def forward(*primals: mx.array) -> list[mx.array]:
            own = zip(trainable, primals[: len(trainable)], strict=True)
            model.update(tree_unflatten([(name, value) for (name, _), value in own]))
            with cut.taken(primals[len(trainable) :]):
                value = Training.loss(model, *inputs)
            return [value, *cut.weights]

        trained = [v for _, v in tree_flatten(model.trainable_parameters())]
        given = [by_weights(each, b) for each, b in zip(rest, calls.weights, strict=True)]
        outputs, found = mx.vjp(forward, [*trained, *added], [mx.array(1.0), *given])
        ended = end(outputs[0], found[: len(trainable)])
        return [*ended, *cut.operands(found[len(trainable) :])]

    arrays = [*[v for _, v in parameters], *state, *batch]
    # A checkpoint cannot be exported. Its graph repeats operations of the plain step.
    with _checkpointed(model) if grad_checkpoint else contextlib.nullcontext():
        outputs = step(*arrays)
    dot = io.StringIO()
    joined = mx.depends(outputs, outputs[:1])[0]
    mx.export_to_dot(dot, joined)
    _KEPT.append(joined)
    events: list[dict[str, Any]] = []
    if calls.products:
        mx.export_function(events.append, cut_step, *arrays, *calls.added(), *calls.gradients())
    else:
        mx.export_function(events.append, step, *arrays)
    merged = _read(events, len(trainable), len(frozen), len(state), len(calls.products))
    traced = unmerge(merged, dot.getvalue())
    return (merge(traced) if grad_checkpoint else merged), traced


def _read(
    events: list[dict[str, Any]], trainable: int, frozen: int, state: int, cuts: int
) -> Trace:
    known: dict[str, int] = {}
    arrays: list[tuple[tuple[int, ...], int]] = []

    def index(name: str, shape: tuple[int, ...], dtype: mx.Dtype) -> int:
        if name not in known:
            known[name] = len(arrays)
            arrays.append((tuple(shape), dtype.size))
        return known[name]

    def indices(kind: str) -> list[int]:
        return [index(*item) for event in events if event["type"] == kind for item in event[kind]]

    inputs: Iterator[int] = iter(indices("inputs"))
    outputs: Iterator[int] = iter(indices("outputs"))

    def take(source: Iterator[int], count: int) -> tuple[int, ...]:
        return tuple(next(source) for _ in range(count))

    ops = [
        Op(
            event["name"],
            tuple(index(*item) for item in event["inputs"]),
            tuple(index(*item) for item in event["outputs"]),
            tuple(_as_lists(argument) for argument in event["arguments"]),
        )
        for event in events
        if event["type"] == "primitive"
    ]
    trace = Trace(
        trainable=take(inputs, trainable),
        frozen=take(inputs, frozen),
        state=take(inputs, state),
        batch=take(inputs, 2),
        loss=next(outputs),
        gradients=take(outputs, trainable),
        updated=take(outputs, trainable),
        next_state=take(outputs, state),
        ops=tuple(ops),
        arrays=tuple(arrays),
    )
    if not cuts:
        return trace
    added, results = take(inputs, cuts), take(inputs, cuts)
    operands = tuple(take(outputs, 3) for _ in range(cuts))
    return splice(trace, Cuts(name=CUT, operands=operands, results=results, added=added))


def _as_lists(argument: Any) -> Any:
    return list(argument) if isinstance(argument, (list, tuple)) else None


if __name__ == "__main__":
    sys.exit(main(sys.argv))
