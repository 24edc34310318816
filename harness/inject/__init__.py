"""Beats from inside a foreign training: the supervisor's side.

What runs in the command's own Python lies below: `hook/` holds the one module that its interpreter
finds, `inside/` what that loads once mlx-lm's trainer or MLX's launcher is imported. Both need the
standard library alone, from Python 3.9 on: the command's environment need not be ours.
docs/guide/beats.md describes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .inside.writer import HOOK, VARIABLE

FOLDER = Path(__file__).parent / "hook"
"""What goes in front of PYTHONPATH."""


@dataclass(frozen=True)
class Told:
    """What became of the hook."""

    wrapped: str | None = None
    """The library and version that it wrapped, such as `mlx-lm 0.32.2`."""
    disabled: str | None = None
    """Why it switched itself off, if it did."""


def environment(folder: Path, environ: Mapping[str, str], hook: bool) -> dict[str, str]:
    """`environ` with what a command needs to write its beats to `folder`.

    Without `hook` it can only do so itself, with `harness.beats`.
    """
    variables = {**environ, VARIABLE: str(folder.absolute())}
    if hook:
        found = environ.get("PYTHONPATH")
        variables["PYTHONPATH"] = f"{FOLDER}{os.pathsep}{found}" if found else str(FOLDER)
    return variables


def told(folder: Path) -> Told | None:
    """What the hook of the command that ran with `folder` left there, of several ranks that of the
    first one; None when it left nothing: no mlx-lm training was started, or no hook asked for."""
    files = [folder / HOOK, *sorted(folder.glob(f"rank-*/{HOOK}"))]
    try:
        found = json.loads(next(file for file in files if file.exists()).read_bytes())
    except (OSError, ValueError, StopIteration):
        return None
    if not isinstance(found, dict):
        return None
    known = {name: found.get(name) for name in ("wrapped", "disabled")}
    return Told(**{name: value for name, value in known.items() if isinstance(value, str)})
