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
from typing import TYPE_CHECKING

from .inside.flips import FLIPPED as FLIPPED
from .inside.writer import HOOK, REPLAY, VARIABLE

if TYPE_CHECKING:
    from harness.model import Replay

FOLDER = Path(__file__).parent / "hook"
"""The folder that goes in front of PYTHONPATH."""


CORE = "HARNESS_CORE"
"""Set where a command may leave a core that it could not without us."""
SERVICES = {"WANDB_MODE": "disabled", "SWANLAB_MODE": "disabled"}
"""Variables that keep services from hearing of a replay. Set from its start: a program may tell a
service before it imports MLX."""


@dataclass(frozen=True)
class HookReport:
    """The report of the hook."""

    wrapped: str | None = None
    """The library and version that it wrapped, such as `mlx-lm 0.32.2`."""
    disabled: str | None = None
    """The reason why it switched itself off, if it did."""


def environment(
    folder: Path, environ: Mapping[str, str], hook: bool, replay: Replay | None = None
) -> dict[str, str]:
    """`environ` with what a command needs to write its beats to `folder`.

    Without `hook` it can only do so itself, with `harness.beats`. With `replay`, its training is
    replayed and probed.
    """
    variables = {**environ, VARIABLE: str(folder.absolute())}
    if replay is not None:
        import msgspec  # one's own loop imports this package without it

        variables[REPLAY] = msgspec.json.encode(replay).decode()
        variables |= SERVICES
    if hook:
        inherited = environ.get("PYTHONPATH")
        variables["PYTHONPATH"] = f"{FOLDER}{os.pathsep}{inherited}" if inherited else str(FOLDER)
        # A crash names its line of Python, in what it prints.
        variables.setdefault("PYTHONFAULTHANDLER", "1")
    return variables


def hook_report(folder: Path) -> HookReport | None:
    """The report that the hook of a command left in `folder`; of several ranks, that of the first;
    None when it left nothing: no mlx-lm training was started, or no hook asked for."""
    files = [folder / HOOK, *sorted(folder.glob(f"rank-*/{HOOK}"))]
    try:
        note = json.loads(next(file for file in files if file.exists()).read_bytes())
    except (OSError, ValueError, StopIteration):
        return None
    if not isinstance(note, dict):
        return None
    known = {name: note.get(name) for name in ("wrapped", "disabled")}
    return HookReport(**{name: value for name, value in known.items() if isinstance(value, str)})


def flips_made(home: Path) -> int:
    """The number of things that a flip has changed in the run whose folder is `home`."""
    try:
        return (home / FLIPPED).read_bytes().count(b"\n")
    except OSError:
        return 0
