"""Beats from inside a foreign training: what a command's environment needs for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the hook."""

    wrapped: str | None = None
    """The library and version that it wrapped, such as `mlx-lm 0.32.2`."""
    disabled: str | None = None
    """Why it switched itself off, if it did."""


def environment(folder: Path, environ: Mapping[str, str], hook: bool) -> dict[str, str]:
    """`environ` with what a command needs to write its beats to `folder`."""
    return {**environ, "HARNESS_BEATS": str(folder)}


def told(folder: Path) -> Told | None:
    """What the hook of the command that ran with `folder` left there."""
    return None
