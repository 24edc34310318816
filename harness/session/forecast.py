"""The memory that each scenario of the ladder will hold, projected before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from harness.errors import UsageError
from harness.memory import capacity, law
from harness.memory.capacity import Capacity
from harness.memory.law import Fit, Pattern, Projection
from harness.memory.trace import Shapes
from harness.memory.uncollected import uncollected
from harness.model import Bound, Settings
from harness.observe import installation, memory_limits
from harness.observe.memory_limits import Usable
from harness.scenario import load
from harness.session import plan
from harness.session.tracing import Tracer
from harness.text.units import count, number, size

UNIT = 32
"""Tokens by which the longest sequence is found: mlx-lm fills its batches up to a multiple."""
_NAMES = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "lion": "Lion", "adafactor": "Adafactor"}


class ForecastRow(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario of the ladder."""

    scenario: str
    projection: Projection | None = None
    fit: Fit | None = None
    reason: str | None = None
    """The reason why there is no projection."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """The ladder on one machine."""

    model: Shapes
    usable: Usable
    rows: tuple[ForecastRow, ...]
    grad_checkpoint: bool
    batch: Capacity
    """The capacity of the baseline, with sequences as long as asked."""
    length: Capacity
    """The capacity of the baseline, with as many sequences as asked."""
    verdict: str


def forecast(
    settings: Settings,
    usable: Callable[[str, int | None], Usable] = memory_limits.usable,
    given: int | None = None,
    grad_checkpoint: bool = False,
) -> Forecast:
    """Project every scenario of the ladder. Raises UsageError when the model cannot be loaded.

    `usable` returns the usable memory of a device, given the memory that MLX reports for it.
    `given` is that of another machine, in bytes. With the device `gpu` its host runs ahead of the
    device as on Metal; the operations are those of this machine. With `grad_checkpoint` the blocks
    compute their activations again, as with the option of that name of mlx-lm.
    """
    plan.check(settings)
    installation.need_mlx()
    elsewhere = given is not None and settings.device == "gpu"
    if elsewhere:
        settings = msgspec.structs.replace(settings, device=None)
    infos = load.ladder()
    own = {info.name: load.apply(settings, info) for info in infos}
    distinct = list(dict.fromkeys([settings, *own.values()]))
    # Two processes trace while this one follows the steps: each takes seconds for a large model.
    # The tracers end first: an error here then ends the searches as well, which wait for answers.
    with uncollected(), ThreadPoolExecutor(2) as pool, Tracer() as first, Tracer() as second:
        asked = {settings: first.ask(settings, grad_checkpoint)}
        asked |= {wanted: second.ask(wanted, grad_checkpoint) for wanted in distinct[1:]}

        def traced(wanted: Settings) -> Shapes | str:
            if wanted not in asked:
                asked[wanted] = first.ask(wanted, grad_checkpoint)
            found = asked[wanted].result()
            return _on_metal(found) if elsewhere and not isinstance(found, str) else found

        base = traced(settings)
        if isinstance(base, str):
            raise UsageError(base)
        if given is not None:
            memory = Usable(memory=given, swap=0, bound=Bound.GIVEN)
        else:
            memory = usable("cpu" if base.backend == "cpu" else "gpu", base.memory)
        held = law.project(base, law.PATTERNS[load.BASELINE])

        def largest(tracer: Tracer, name: str, unit: int, most: int | None) -> Capacity:
            def peak(number: int) -> int | None:
                wanted = msgspec.structs.replace(settings, **{name: number})
                found = tracer.peak(wanted, grad_checkpoint, base.backend).result()
                return None if isinstance(found, str) else found

            known = {getattr(settings, name): held.peak}
            return capacity.largest(peak, known, _fixed(base, held), memory.memory, unit, most)

        length = pool.submit(largest, first, "seq_len", _unit(base), base.positions)
        batch = pool.submit(largest, second, "batch_size", 1, None)
        known = {(settings, law.PATTERNS[load.BASELINE]): held}
        shapes: dict[Settings, Shapes | str] = {settings: base}
        made = {}
        # Those of the base first: the others may be traced yet.
        for name in sorted(own, key=lambda name: distinct.index(own[name])):
            wanted = own[name]
            if wanted not in shapes:
                shapes[wanted] = traced(wanted)
            made[name] = _row(name, _first_alike(wanted, shapes), shapes[wanted], memory, known)
        rows = tuple(made[name] for name in own)
        found = batch.result(), length.result()
        verdict = _verdict(settings, base, rows, memory, traced)
    return Forecast(
        model=base,
        usable=memory,
        rows=rows,
        grad_checkpoint=grad_checkpoint,
        batch=found[0],
        length=found[1],
        verdict=verdict,
    )


def trace(settings: Sequence[Settings], grad_checkpoint: bool = False) -> list[Shapes | str]:
    """Trace the training of each of `settings`, in a process that imports mlx.

    The answer for settings that cannot be trained is the reason.

    Raises HarnessError when that process fails or takes longer than `tracing.TIMEOUT` for one.
    """
    with Tracer() as tracer:
        return [tracer.ask(each, grad_checkpoint).result() for each in settings]


def _fixed(base: Shapes, held: Projection) -> int:
    """About what a step holds whatever its batch is: parameters and the optimizer's state."""
    return base.parameter_bytes + dict(held.parts).get("optimizer", 0)


def _unit(base: Shapes) -> int:
    return 1 if base.positions is not None and base.positions < UNIT else UNIT


def _first_alike(settings: Settings, shapes: Mapping[Settings, Shapes | str]) -> Settings:
    """The first of the settings that train the very same step.

    Most scenarios hold the same, and to follow the steps of a large model takes seconds.
    """
    step = _step(shapes[settings])
    return next(one for one, traced in shapes.items() if _step(traced) == step)


def _step(traced: Shapes | str) -> tuple[object, ...]:
    """The settings that the projections depend on."""
    return (traced,) if isinstance(traced, str) else (traced.backend, traced.trace, traced.merged)


def _on_metal(shapes: Shapes) -> Shapes:
    """The same training on a GPU of Apple's; a GPU that is here stays what it is."""
    on_gpu = shapes.backend != "cpu"
    return shapes if on_gpu else msgspec.structs.replace(shapes, backend="metal")


def _row(
    name: str,
    settings: Settings,
    shapes: Shapes | str,
    usable: Usable,
    known: dict[tuple[Settings, Pattern], Projection],
) -> ForecastRow:
    pattern = law.PATTERNS.get(name)
    if isinstance(shapes, str):
        return ForecastRow(scenario=name, reason=shapes)
    if pattern is None:
        return ForecastRow(scenario=name, reason="not projected: the memory law does not cover it")
    if (settings, pattern) not in known:
        known[settings, pattern] = law.project(shapes, pattern)
    projection = known[settings, pattern]
    return ForecastRow(scenario=name, projection=projection, fit=_fit(projection, usable))


def _fit(projection: Projection, usable: Usable) -> Fit:
    return law.fit(projection.peak, usable.memory, usable.swap)


def _verdict(
    settings: Settings,
    base: Shapes,
    rows: Sequence[ForecastRow],
    usable: Usable,
    ask: Callable[[Settings], Shapes | str],
) -> str:
    projected = {row.scenario: row.projection for row in rows if row.projection}
    own = projected[load.BASELINE]
    train = settings.train or ("full" if base.trainable == base.parameters else "lora")
    fit = _fit(own, usable)
    parts = [
        f"{'LoRA with' if train == 'lora' else train} {_NAMES[settings.optimizer]} on this model "
        f"peaks at about {number(own.peak_over_p, 3)} P = {size(own.peak)}",
        f"{usable.bound.sentence} {size(usable.memory)}",
        _fit_phrase(own, usable),
    ]
    if fit is not Fit.FITS:
        lora = projected.get("lora_step")
        if lora is not None and train != "lora":
            also = " as well" if _fit(lora, usable) is fit is Fit.TOO_LARGE else ""
            parts.append(f"LoRA needs {size(lora.peak)}: {_fit_phrase(lora, usable)}{also}")
        if lora is None or train == "lora" or _fit(lora, usable) is not Fit.FITS:
            parts.append(_smaller(settings, base, usable, ask))
    if base.positions is not None and settings.seq_len > base.positions:
        parts.append(
            f"sequences of {count(settings.seq_len)} tokens are longer than the "
            f"{count(base.positions)} that the model is made for"
        )
    return "; ".join(parts)


def _fit_phrase(projection: Projection, usable: Usable) -> str:
    fit = _fit(projection, usable)
    if fit is Fit.SWAPS:
        return f"it fits only with {size(projection.peak - usable.memory)} of swap"
    return "it fits" if fit is Fit.FITS else "too large"


def _smaller(
    settings: Settings, base: Shapes, usable: Usable, ask: Callable[[Settings], Shapes | str]
) -> str:
    """The largest training that fits and that is smaller than LoRA or has half the bytes."""
    for dtype in dict.fromkeys((settings.dtype, "bfloat16")):
        weights = base.parameter_bytes if dtype == settings.dtype else 2 * base.parameters
        if weights > usable.memory:
            continue  # not worth tracing
        advice = None
        for train in _less(base):
            smaller = msgspec.structs.replace(settings, train=train, dtype=dtype)
            shapes = ask(smaller)
            if isinstance(shapes, str):
                break
            shapes = msgspec.structs.replace(shapes, backend=base.backend)
            projection = law.project(shapes)
            if _fit(projection, usable) is not Fit.FITS:
                break
            advice = f"`--train {train}{'' if dtype == settings.dtype else f' --dtype {dtype}'}`"
            advice += f" needs {size(projection.peak)}: it fits"
        if advice is not None:
            return advice
    return "no smaller training that was tried fits"


def _less(base: Shapes) -> Iterator[str]:
    """The values of --train that train fewer blocks, the smallest first."""
    count = 1
    while count < (base.blocks or 0):
        yield f"last:{count}"
        count *= 2
