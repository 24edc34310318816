"""Report the steps of your own training loop to `harness watch`.

    from harness import beats

    for epoch in range(epochs):
        steps = beats.track(loader)
        for batch in steps:
            loss = step(batch)
            mx.eval(loss, model.parameters(), optimizer.state)
            steps.loss = loss.item()
        with beats.phase("validate"):
            evaluate(model)

or, where there is no such loop, `with beats.step() as step: ...; step.loss = loss.item()`.

`beats.watch(model, optimizer)`, once both are made, has the parameters followed: if nothing is
learned, the report says why. Steps may still be read from what the program prints.

Without a harness that listens (HARNESS_BEATS names the folder where it does) all of this does
nothing, in less than a microsecond. Nothing here raises into the training, prints, or evaluates an
array: a loss that is still an array is left out.

Call it from one thread, the training loop's. In a forked or a second process it does nothing; each
rank of a launcher reports its own steps.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from numbers import Real
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from harness.inject.inside.writer import Writer

__all__ = ["Phase", "Step", "Track", "TrainingCallback", "phase", "step", "track", "watch"]

T = TypeVar("T")
_folder = os.environ.get("HARNESS_BEATS") or None
_followed_folder = _folder
"""The same, also where another process reports the steps."""
_writer: Writer | None = None


def step() -> Step:
    """A step, as a context manager."""
    return Step(_listener())


def track(batches: Iterable[T]) -> Track[T]:
    """`batches`, one a step: the wait for it is the step's phase `data`."""
    return Track(_listener(), batches)


def phase(name: str) -> Phase:
    """Begin the phase `name`. As a context manager: until its block ends, when the one before goes
    on."""
    return Phase(_listener(), name)


def watch(model: Any, optimizer: Any = None) -> None:
    """Have the parameters of `model` (an `nn.Module`) and its optimizer followed.

    Call it where both are made, before `nn.value_and_grad` and `mx.compile`. It reads the
    parameters then, after three updates, and when the program ends.
    """
    if not _followed_folder:
        return
    from ..inject.inside.writer import home

    try:
        from ..inject.inside.watched import follow
    except Exception:  # there is no MLX, or one that has not all of it
        return
    follow(home(_followed_folder), model, optimizer)


class Step:
    """One step of the training. Left by an exception, it is one that did not return."""

    __slots__ = ("_loss", "_writer")

    def __init__(self, writer: Writer | None) -> None:
        self._writer = writer
        self._loss: float | None = None

    def _set_loss(self, loss: Any) -> None:
        if self._writer is not None:
            self._loss = _number(loss)

    loss = property(None, _set_loss, doc="The step's loss, a number; to be set before it ends.")

    def __enter__(self) -> Step:
        writer = self._writer
        if writer is not None:
            writer.at("step", writer.step + 1)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if self._writer is not None and kind is None:
            self._writer.end(self._loss)


class Track(Generic[T]):
    """Batches, one a step. A step that is left by `break` or an exception did not return."""

    __slots__ = ("_batches", "_loss", "_writer")

    def __init__(self, writer: Writer | None, batches: Iterable[T]) -> None:
        self._writer = writer
        self._batches = batches
        self._loss: float | None = None

    def _set_loss(self, loss: Any) -> None:
        if self._writer is not None:
            self._loss = _number(loss)

    loss = property(None, _set_loss, doc="The loss of the step under way, a number.")

    def __len__(self) -> int:
        """Raises TypeError where `batches` have no length."""
        return len(self._batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[T]:
        return iter(self._batches) if self._writer is None else self._steps(self._writer)

    def _steps(self, writer: Writer) -> Iterator[T]:
        batches = iter(self._batches)
        while True:
            before = writer.step
            writer.at("data", before + 1)
            try:
                batch = next(batches)
            except StopIteration:
                writer.at("between", before)
                return
            self._loss = None
            writer.at("step")
            yield batch
            writer.end(self._loss, then=None)


class Phase:
    """A phase that has begun."""

    __slots__ = ("_before", "_writer")

    def __init__(self, writer: Writer | None, name: str) -> None:
        self._writer = writer
        if writer is not None:
            self._before = writer.phase
            writer.at(name)

    def __enter__(self) -> Phase:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if self._writer is not None and kind is None:
            self._writer.at(self._before)


class TrainingCallback:
    """The callback for mlx-lm's `train(..., training_callback=beats.TrainingCallback())`.

    It hears of a step only when one is reported; `harness watch` by itself hears of each one.
    """

    def __init__(self) -> None:
        self._before: int | None = None

    def on_train_loss_report(self, train_info: dict[str, Any]) -> None:
        writer, iteration = _listener(), _get(train_info, "iteration")
        if writer is None or not isinstance(iteration, int):
            return
        # As with a log: how long the first report took to come is no step's time.
        covers = 0 if self._before is None else max(1, iteration - self._before)
        self._before = iteration
        writer.at("after_report", iteration - 1)
        loss = _number(_get(train_info, "train_loss"))
        writer.end(loss, covers=covers, then="after_report")

    def on_val_loss_report(self, val_info: dict[str, Any]) -> None:
        writer = _listener()
        if writer is not None:
            writer.move(_number(_get(val_info, "val_time")) or 0.0, "validate")
            writer.at("after_report")


def _listener() -> Writer | None:
    """Whom to tell; None when nobody listens, or somebody else tells already."""
    global _folder, _writer
    if _folder is None or _writer is not None:
        return _writer
    # By a relative name: this package may be loaded under another one, beside another `harness`.
    from ..inject.inside.writer import home, open_writer

    _writer = open_writer(home(_folder), "harness.beats")
    if _writer is None:
        _folder = None
    return _writer


def _number(value: Any) -> float | None:
    """A number of Python or numpy; None for an array, whose value may take an evaluation."""
    if not isinstance(value, Real):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _get(info: Any, name: str) -> Any:
    return info.get(name) if isinstance(info, dict) else None
