"""What each scenario of the ladder will hold, asked before anything is trained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import msgspec

from harness import plan, scenario
from harness.errors import HarnessError, UsageError
from harness.memory import law
from harness.memory.law import Fit, Projection, gigabytes
from harness.memory.trace import Shapes
from harness.model import Settings

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
    memory: int
    swap: int
    rows: tuple[Row, ...]
    verdict: str


def forecast(settings: Settings, memory: int, swap: int) -> Forecast:
    """Project every scenario of the ladder. Raises UsageError when the model cannot be had."""
    plan.check(settings)
    infos = scenario.ladder()
    wanted = {info.name: scenario.apply(settings, info) for info in infos}
    distinct = list(dict.fromkeys([settings, *wanted.values()]))
    shapes = dict(zip(distinct, ask(distinct), strict=True))
    base = shapes[settings]
    if isinstance(base, str):
        raise UsageError(base)
    rows = tuple(_row(name, shapes[own], memory, swap) for name, own in wanted.items())
    return Forecast(
        model=base,
        memory=memory,
        swap=swap,
        rows=rows,
        verdict=_verdict(settings, base, rows, memory, swap),
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
        raise HarnessError(f"tracing the training took over {TIMEOUT} s") from None
    if answer.returncode:
        lines = answer.stderr.decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else f"exit code {answer.returncode}"
        raise HarnessError(f"the training cannot be traced: {last}")
    return msgspec.json.decode(answer.stdout, type=list[Shapes | str])


def _row(name: str, shapes: Shapes | str, memory: int, swap: int) -> Row:
    pattern = law.PATTERNS.get(name)
    if isinstance(shapes, str):
        return Row(scenario=name, reason=shapes)
    if pattern is None:
        return Row(scenario=name, reason="not projected: the law does not cover it")
    projection = law.project(shapes, pattern)
    return Row(scenario=name, projection=projection, fit=law.fit(projection.peak, memory, swap))


def _verdict(settings: Settings, base: Shapes, rows: Sequence[Row], memory: int, swap: int) -> str:
    projected = {row.scenario: row.projection for row in rows if row.projection}
    own = projected[scenario.BASELINE]
    train = settings.train or ("full" if base.trainable == base.parameters else "lora")
    lora = projected.get("lora_step")
    verdict = law.fit(own.peak, memory, swap)
    parts = [
        f"{'LoRA with' if train == 'lora' else train} {_NAMES[settings.optimizer]} on this model "
        f"peaks at about {own.peak_over_p:.1f} P = {gigabytes(own.peak)}",
        f"this machine has {gigabytes(memory)}"
        + (f" and {gigabytes(swap)} of swap" if verdict is Fit.SWAPS else ""),
    ]
    if verdict is Fit.FITS:
        parts.append("it fits")
    elif lora is not None and train != "lora":
        parts.append(f"LoRA needs {gigabytes(lora.peak)}")
    return "; ".join(parts)
