"""The operation at which numbers stopped being finite, and the replay that finds it."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.model.enums import TextEnum


class Locate(TextEnum):
    """The runs that are replayed to find where their numbers stop being finite."""

    DIVERGED = "diverged"
    """Those that diverged with NaN or infinity."""
    ANY = "any"
    """Those too that got over it."""
    NEVER = "never"


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """The replay of a run that a worker, or a command under the hook, is to make."""

    probe: int
    """The step from which on operations are recorded."""
    last: int
    """The step by which the numbers were bad."""
    gradients: bool = False
    """True if gradients that are not finite are the end, with a loss and parameters that are."""
    since: float | None = None
    """The wall-clock time from which on a checkpoint is this run's; None: use no checkpoint."""


class Located(TextEnum):
    """The result of a replay."""

    LOCATED = "located"
    NOT_AGAIN = "not_again"
    """The numbers stayed finite."""
    UNSEEN = "unseen"
    """They did not, and the operation is none that the probe sees."""
    FAILED = "failed"
    """The replay did not come so far."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The place where NaN or infinity was born, as a replay has shown it."""

    status: Located
    summary: str
    """One line: `log of 0 at train.py:41 in loss_fn (forward)`."""
    step: int | None = None
    place: str | None = None
    """`forward`, `backward`, `gradients` (what the program does with them), `update` or `data`."""
    operation: str | None = None
    """The name of the function or operator of MLX."""
    site: str | None = None
    """The source line outside of MLX: `train.py:41 in loss_fn`."""
    frames: tuple[str, ...] = ()
    """The source lines above the operation, the innermost first."""
    module: str | None = None
    """The path of the module: `model.layers.7.mlp`."""
    about: str | None = None
    """The nearest parameter, gradient or array of the batch that it computes with."""
    inputs: tuple[dict[str, Any], ...] = ()
    """Shape, type and range of each input; `at` is the range where the result is not finite."""
    cotangents: tuple[dict[str, Any], ...] = ()
    """The same of what came back to it, in a backward pass."""
    output: dict[str, Any] = {}
    """Shape and type of the result, and how many of its elements are NaN or infinite."""
    rows: tuple[int, ...] = ()
    """The first rows of the batch that it is about, as far as the shape shows it."""
    columns: tuple[int, ...] = ()
    """The first places in the first of these rows."""
    tokens: tuple[int, ...] = ()
    """The tokens there."""
    batch: tuple[dict[str, Any], ...] = ()
    """Shape, type and range of the arrays of the batch."""
    checkpoint: int | None = None
    """The step whose checkpoint of the trainer the replay began from; its optimizer began anew."""
    probed_step_s: float | None = None
    usual_step_s: float | None = None
    """The median step of the replay without a probe; None when there was none."""
    replay_s: float | None = None
    """The time of the whole replay."""
