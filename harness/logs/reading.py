"""The reading of a line of a log, and the names and numbers that the formats have in common."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from harness.logs.numbers import FIGURE_TEXT, MAX_COUNT, NAN, NUMBER, UNITS, count, number, size
from harness.text import late


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The content of one line about a training; None where it says nothing."""

    step: int | None = None
    """The step of the training; as the log counts, from 0 or from 1. From a `Recognizer` it is
    counted through all epochs."""
    epoch: float | None = None
    """The epoch, as the log counts; a fraction where it gives one."""
    phase: str | None = None
    """The phase under way, where the line says so: `validate`, `checkpoint`, `clear_cache`, or the
    log's own word."""
    loss: float | None = None
    """May be nan or infinite. The training's, where a line gives two."""
    learning_rate: float | None = None
    memory_bytes: int | None = None
    """The memory that the log says is held: active or resident."""
    peak_bytes: int | None = None
    """The highest that the memory has been, which can only rise."""
    tokens_per_s: float | None = None
    batch: int | None = None
    """The batch of the validation that is under way."""
    total: int | None = None
    """The total of what the line counts: steps (of an epoch, where they restart with each), batches
    of a validation, or epochs."""
    validation: bool = False
    """The loss is a validation's, or the bar is."""
    figures: dict[str, float] | None = None
    """All other figures, by their names in lower case. `loss` is there, as nan, where a line gives
    a loss and no number for it."""
    dates: int | None = None
    """The step of the lines that come next, where they name none."""
    clock: float | None = None
    """Seconds by the log's own clock, from whatever point."""
    trainable: int | None = None
    """The number of parameters that are trained; a line that gives it gives nothing else."""
    drawn: bool = False
    """The figures stand until they are set again, as those behind a bar do."""


Read: TypeAlias = Callable[[str], Reading | None]
"""Takes a line without its end and never raises, whatever the line."""
_Parser: TypeAlias = Callable[[object], float | str | None]

# A name is tried whole or not at all; before Python 3.11 a look behind its end has to do.
_WHOLE_NAME = "+" if sys.version_info >= (3, 11) else "(?![A-Za-z_/.-])"
_WHOLE_WORD = "+" if sys.version_info >= (3, 11) else ""
"""For speed alone: no part of a word is followed by what follows a name."""

PAIR = late.compile(
    # That it begins a word is looked at after its first letter: what cannot be one is skipped fast.
    r"([A-Za-z_](?<![A-Za-z0-9_/.-][A-Za-z_])[A-Za-z_/.-]{0,40}"
    rf"{_WHOLE_NAME}"
    rf"(?: [A-Za-z]{{1,20}}{_WHOLE_WORD}(?: (?:is|was)|)|[@\d]\d{{0,2}}(?=[=:])|))"
    rf"[=:\[(\t ]{{1,12}}({NUMBER})"
    # A look at the next letter spares two tries, and another one the spaces.
    r"(?:(?=[ /KMGT]) {0,8}(?=[/KMGT])(?:/ {0,8}(\d[\d.,]{0,20}(?<=\d))"
    r"|(?<!  )([KMGT]i?B|M|G)(?![A-Za-z/]))|)",
    re.ASCII,
)
"""name=1.2, name: 1.2, Some name 1.2, name [1/10], name: 1.2 GB -> name, number, total, unit."""

# --- names -----------------------------------------------------------------------------------

_STEP = """step global_step globalstep train_step training_step current_step step_num iter iteration
    it num_updates current_steps batch batch_idx train_iter
    global_iter"""  # no plural: that is how many
_EPOCH = "epoch current_epoch train_epoch"
_LOSS = """loss train_loss training_loss loss_train trainloss total_loss loss_total lm_loss ce_loss
    nll_loss mlm_loss loss_step train_loss_step train_loss_total tr_loss mean_loss losses
    step_loss avr_loss loss_train_total"""
_VALIDATION = """val_loss valid_loss validation_loss eval_loss test_loss dev_loss loss_val loss_eval
    valloss val_loss_step val_loss_epoch"""
_RATE = "lr learning_rate learningrate train_lr train_learning_rate"
_TOKENS = """tokens_per_second tokens_per_sec tokens_per_s tokens_sec tokens_s tok_s tok_sec toks_s
    tok_per_sec toks_sec toks_per_sec tps tgs wps
    train_tokens_per_second tokens_per_second_per_gpu tokens_per_second_per_device tokens_s_device
    tokens_s_gpu tok_per_s"""
_MEMORY = """mem memory gpu_mem gpu_memory memory_used rss mem_used active_memory memory_allocated
    memory_reserved memory_usage mlx_active active_mem memallocated memory_device_reserved
    memory_device_mem_reserved"""
_PEAK = """max_mem max_memory peak_mem peak_memory max_memory_allocated peak_memory_allocated
    mlx_peak max_gpu_mem peak_gpu_mem max_gpu_memory peak_gpu_memory peak_memory_usage
    maxmemallocated memory_max_active memory_max_allocated memory_max_mem_active
    memory_max_mem_allocated"""

_KINDS = {
    name: kind
    for kind, names in (
        ("step", _STEP),
        ("epoch", _EPOCH),
        ("loss", _LOSS),
        ("validation", _VALIDATION),
        ("rate", _RATE),
        ("tokens", _TOKENS),
        ("memory", _MEMORY),
        ("peak", _PEAK),
        ("phase", "phase stage split mode subset"),
    )
    for name in names.split()
}
_SCALES = {
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30, "bytes": 1
}  # fmt: skip
_SIGNS = str.maketrans("/.- ", "____")
VALIDATIONS = frozenset(
    {"val", "valid", "validation", "validate", "eval", "evaluation", "test", "dev"}
)
_TRAININGS = frozenset({"train", "training", "trainer", "reduced"})
_WHOLE = frozenset(
    {"loss", "total_loss", "mean_loss", "train_loss", "crossentropyloss", "cross_entropy_loss"}
)
_COUNTS = frozenset({"step", "global_step", "iter", "iteration", "epoch"})
FIGURE = "figure"
MOST = 32
"""Figures that are kept of a line."""
_NOT_KEPT = """took time eta dt elapsed elapsed_secs timestamp ts seconds secs sec ms date year
    day hour minute jan feb mar apr may jun jul aug sep oct nov dec ip
    num seed port pid rank world_size version line lineno size sizes
    length worker workers thread gpu gpus device node nodes array tensor dtype shape
    of in at to for and the on by with from as"""
"""Names of what says nothing about the training, and words of sentences."""
_NO_FIGURES = frozenset(_NOT_KEPT.split())
_NO_VALUE = frozenset(("none", "null", "na"))
_SOURCES = (".py", ".rs", ".cc", ".cpp", ".cu", ".mm", ".swift", ".go", ".jl", ".ts", ".js")
_PARTS = frozenset({"actor", "critic", "entropy", "function", "policy", "surrogate", "value"})
"""Words before `loss` that make it one of several, none of which is the loss of the training."""
_COPULAS = frozenset({"is", "was"})
"""Words between a name and its figure: `loss is 2.3`. With `of` it may be any loss."""
_NOT_NOW = frozenset({"best", "final", "min", "max", "lowest", "initial", "previous", "last"})


@lru_cache(4096)
def field(name: str) -> tuple[str, int]:
    """The field of a figure of this name, and of memory the bytes of its unit (0: it names none).

    Of a name of two words, `train loss` or `then loss`, the last one may be enough. `is` or `was`
    may follow. The kind is empty for a figure that no reading has.
    """
    kind, scale = _field(name)
    first, _, last = name.rpartition(" ")
    if last in _COPULAS:
        return field(first)
    if kind or not first or first.lower() in _NOT_NOW:
        return kind, scale
    if last.lower() == "loss" and first.lower() in _PARTS:
        return "", 0
    if first.lower() in ("validating", "evaluating") and last.lower() == "loss":
        return "validation", 0
    return _field(last)


def _field(name: str) -> tuple[str, int]:
    path = name[:60].lower().strip("_")
    if path.endswith(")"):
        path = path[:-1].replace(" (", "_").replace("(", "_")  # `memory/max_active (GiB)`
    name = path.translate(_SIGNS).strip("_")
    kind = _KINDS.get(name, "")
    if kind:
        return kind, 0
    base, _, unit = name.rpartition("_")
    scale = _SCALES.get(unit, 0)
    kind = _KINDS.get(base, "") if scale else ""
    if kind in ("memory", "peak"):
        return kind, scale
    return _below(path), 0


def _below(path: str) -> str:
    """The kind of a figure that is named after what it belongs to: `perf/tokens_per_sec`."""
    group, slash, last = path.rpartition("/")
    if not slash:
        group, _, last = path.partition("_")
    last = last.translate(_SIGNS)
    if slash and _KINDS.get(last) in ("rate", "tokens"):
        return _KINDS[last]
    if group in VALIDATIONS:
        return "validation" if last in _WHOLE else ""
    if slash and group == "losses" and last in ("loss", "total_loss"):
        return "loss"
    return _KINDS.get(last, "loss") if group in _TRAININGS and last in _WHOLE | _COUNTS else ""


def figure_name(name: str) -> str:
    """The name under which a figure without a field of its own is kept; empty: it is not kept."""
    if name.endswith(_SOURCES):
        return ""  # `train.py:12]`
    words = name[:60].lower().translate(_SIGNS).strip("_")
    last = words.rpartition("_")[2]
    before, _, rest = name.lower().rpartition(" ")
    if before in _NO_VALUE:  # `loss None gnorm 1.2`
        return figure_name(rest)
    if rest in _COPULAS and before:  # `accuracy is 0.9`
        return figure_name(before)
    if before in _NO_FIGURES or words.partition("_")[0] in _NOT_NOW:
        return ""
    if last in _NO_FIGURES and "/" not in rest:
        return ""
    return words


def from_pairs(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of a `Reading` that named figures give, the first of each kind.

    A figure is a number or its text; memory without a unit counts as bytes where it is a number
    of at least 1 MiB, and is left out otherwise. A loss of None is one that is no number.
    """
    given: dict[str, Any] = {}
    figures: dict[str, float] = {}
    for name, value in pairs:
        kind, fills, parse = meaning(name)
        if kind == FIGURE:
            if len(figures) < MOST and fills not in figures and (own := parse(value)) is not None:
                figures[fills] = own  # type: ignore[assignment]
        elif not kind or fills in given:
            continue
        elif (result := parse(value)) is not None:
            given[fills] = result
        elif value is None and kind == "loss":
            figures["loss"] = NAN
    if figures:
        given["figures"] = figures
    return settle(given)


@lru_cache(4096)
def meaning(name: str, unit: str = "") -> tuple[str, str, _Parser]:
    """The kind of a figure of this name, the field that it fills, and how its value is read.

    For text, where each name comes again and again. A name without a field of its own is a
    `FIGURE`, and fills what it is kept under; the kind is empty where it is not kept.
    """
    kind, scale = field(name)
    if not kind:
        own = figure_name(name)
        return (FIGURE if own else ""), own, _figure
    if unit:
        scale = scale or UNITS[unit]
    fills, parse = _PARSERS[kind]
    return kind, fills, _sized(scale) if scale else parse


def _epoch(value: object) -> float | None:
    result = number(value)
    return result if result is not None and 0 <= result < MAX_COUNT else None


def _figure(value: object) -> float | None:
    if isinstance(value, str) and not FIGURE_TEXT.fullmatch(value):
        return None  # a date, a version
    return number(value)


def _tokens(value: object) -> float | None:
    if (
        isinstance(value, str)
        and value[-4:-3] == ","
        and (digits := value.replace(",", "")).isdecimal()
    ):
        return float(digits)  # nearly all that have a comma
    return number(value, False)


def _phase(value: object) -> str | None:
    return value[:40] if isinstance(value, str) else None


def _sized(scale: int) -> _Parser:
    def parse(value: object) -> int | None:
        try:
            held = float(value) * scale if isinstance(value, str) else -1.0
        except ValueError:
            held = -1.0
        if held < 0:
            return size(value, scale)
        return int(held) if 0 <= held < MAX_COUNT else None

    return parse


def _memory(value: object) -> int | None:
    result = size(value, 1)
    return result if result is not None and result >= 2**20 else None


_PARSERS: dict[str, tuple[str, _Parser]] = {
    "step": ("step", count),
    "epoch": ("epoch", _epoch),
    "loss": ("loss", number),
    "validation": ("validation", number),
    "rate": ("learning_rate", number),
    "tokens": ("tokens_per_s", _tokens),
    "memory": ("memory_bytes", _memory),
    "peak": ("peak_bytes", _memory),
    "phase": ("phase", _phase),
}
"""The field that a kind of figure fills, but for a validation's loss (see `settle`)."""


def settle(given: dict[str, Any]) -> dict[str, Any]:
    """A validation's loss counts where there is no other; `split: val` marks the only one."""
    validation = given.pop("validation", None)
    if validation is not None and "loss" not in given:
        given["loss"] = validation
        given["validation"] = True
        given.get("figures", {}).pop("loss", None)  # null, for the line is about another
    elif validation is not None:
        given.setdefault("figures", {})["val_loss"] = validation
    phase = given.get("phase")
    if phase is not None and phase.lower() in VALIDATIONS:
        del given["phase"]
        given["validation"] = True
    elif phase is not None and phase.lower() in ("train", "training"):
        del given["phase"]
    return given
