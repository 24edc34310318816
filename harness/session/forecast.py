"""What each scenario of the ladder will hold, asked before anything is trained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

import msgspec

from harness.errors import HarnessError, UsageError
from harness.memory import law
from harness.memory.law import Fit, Projection
from harness.memory.trace import Shapes
from harness.model import Settings
from harness.observe import memory_limits
from harness.observe.memory_limits import Usable
from harness.scenario import load
from harness.session import plan
from harness.text.units import duration, number, size

TIMEOUT = 600
"""Seconds for building and tracing; a model of a hub may have to be downloaded."""
_NAMES = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "lion": "Lion", "adafactor": "Adafactor"}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario of the ladder."""

    scenario: str
    projection: Projection | None = None
    fit: Fit | None = None
    reason: str | None = None
    """Why nothing is projected."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """The ladder on one machine."""

    model: Shapes
    usable: Usable
    rows: tuple[Row, ...]
    verdict: str


def forecast(
    settings: Settings, usable: Callable[[str, int | None], Usable] = memory_limits.usable
) -> Forecast:
    """Project every scenario of the ladder. Raises UsageError when the model cannot be had.

    `usable` tells what there is, for a device and what MLX told of its memory.
    """
    plan.check(settings)
    infos = load.ladder()
    wanted = {info.name: load.apply(settings, info) for info in infos}
    distinct = list(dict.fromkeys([settings, *wanted.values()]))
    shapes = dict(zip(distinct, ask(distinct), strict=True))
    base = shapes[settings]
    if isinstance(base, str):
        raise UsageError(base)
    has = usable("cpu" if base.backend == "cpu" else "gpu", base.memory)
    rows = tuple(_row(name, shapes[own], has) for name, own in wanted.items())
    return Forecast(
        model=base,
        usable=has,
        rows=rows,
        verdict=_verdict(settings, base, rows, has),
    )


def ask(settings: Sequence[Settings]) -> list[Shapes | str]:
    """What each of `settings` would train, or why it cannot; from a process that imports mlx.

    Raises HarnessError when that process fails or takes longer than TIMEOUT.
    """
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "harness.training.shapes"],
            input=msgspec.json.encode(settings),
            capture_output=True,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise HarnessError(f"tracing the training took over {duration(TIMEOUT)}") from None
    if answer.returncode:
        lines = answer.stderr.decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else f"exit code {answer.returncode}"
        raise HarnessError(f"the training cannot be traced: {last}")
    return msgspec.json.decode(answer.stdout, type=list[Shapes | str])


def _row(name: str, shapes: Shapes | str, has: Usable) -> Row:
    pattern = law.PATTERNS.get(name)
    if isinstance(shapes, str):
        return Row(scenario=name, reason=shapes)
    if pattern is None:
        return Row(scenario=name, reason="not projected: the law does not cover it")
    projection = law.project(shapes, pattern)
    return Row(scenario=name, projection=projection, fit=_fit(projection, has))


def _fit(projection: Projection, has: Usable) -> Fit:
    return law.fit(projection.peak, has.memory, has.swap)


def _verdict(settings: Settings, base: Shapes, rows: Sequence[Row], has: Usable) -> str:
    projected = {row.scenario: row.projection for row in rows if row.projection}
    own = projected[load.BASELINE]
    train = settings.train or ("full" if base.trainable == base.parameters else "lora")
    fit = _fit(own, has)
    parts = [
        f"{'LoRA with' if train == 'lora' else train} {_NAMES[settings.optimizer]} on this model "
        f"peaks at about {number(own.peak_over_p, 3)} P = {size(own.peak)}",
        f"{has.bound.sentence} {size(has.memory)}",
        _told(own, has),
    ]
    if fit is not Fit.FITS:
        lora = projected.get("lora_step")
        if lora is not None and train != "lora":
            also = " as well" if _fit(lora, has) is fit is Fit.TOO_LARGE else ""
            parts.append(f"LoRA needs {size(lora.peak)}: {_told(lora, has)}{also}")
        if lora is None or train == "lora" or _fit(lora, has) is not Fit.FITS:
            parts.append(_smaller(settings, base, has))
    return "; ".join(parts)


def _told(held: Projection, has: Usable) -> str:
    fit = _fit(held, has)
    if fit is Fit.SWAPS:
        return f"it fits only with {size(held.peak - has.memory)} of swap"
    return "it fits" if fit is Fit.FITS else "too large"


def _smaller(settings: Settings, base: Shapes, has: Usable) -> str:
    """The most that fits of what trains less than LoRA, or in half the bytes."""
    for dtype in dict.fromkeys((settings.dtype, "bfloat16")):
        weights = base.parameter_bytes if dtype == settings.dtype else 2 * base.parameters
        if weights > has.memory:
            continue  # not worth tracing
        found = None
        for train in _less(base):
            asked = msgspec.structs.replace(settings, train=train, dtype=dtype)
            (shapes,) = ask([asked])
            if isinstance(shapes, str):
                break
            held = law.project(shapes)
            if _fit(held, has) is not Fit.FITS:
                break
            found = f"`--train {train}{'' if dtype == settings.dtype else f' --dtype {dtype}'}`"
            found += f" needs {size(held.peak)}: it fits"
        if found is not None:
            return found
    return "nothing smaller that was tried fits"


def _less(base: Shapes) -> Iterator[str]:
    """From what holds least on."""
    count = 1
    while count < (base.blocks or 0):
        yield f"last:{count}"
        count *= 2
