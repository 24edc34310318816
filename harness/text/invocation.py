"""The command line by which the harness was started, for the commands that it suggests."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

SCRIPTS = ("harness", "mlx-harness")
"""The console scripts."""
DISTRIBUTION = "mlx-hang-harness"
"""The name of the package for those who install it."""
MODULES = ("harness", "mlx_harness")
"""The modules that `python -m` starts."""


def words() -> tuple[str, ...]:
    """The first words of a command: those that this process was started by.

    A script or a notebook that uses the API has none: it gets the form that needs no PATH.
    """
    started = Path(sys.argv[0]) if sys.argv and sys.argv[0] else Path()
    if (by_uv := _started_by_uv()) is not None:
        return by_uv
    if started.name in SCRIPTS:
        # The environment of `pipx run` is on no PATH; those of `pipx install` lie in venvs/.
        if "pipx" in started.parts and "venvs" not in started.parts:
            return ("pipx", "run", "--spec", DISTRIBUTION, started.name)
        return (started.name,)
    module = started.parent.name if started.name == "__main__.py" else ""
    python = Path(sys.executable or "python").name
    return (python, "-m", module if module in MODULES else MODULES[0])


def _started_by_uv() -> tuple[str, ...] | None:
    """The words by which `uv run` or `uvx` was told to start this process; None without one.

    Only uv knows from where it took the package: its own command line says so.
    """
    if "UV" not in os.environ:
        return None
    import psutil  # slow to import, and nobody else here needs it

    try:
        parent = psutil.Process().parent()
        typed = parent.cmdline() if parent is not None else []
    except psutil.Error:
        return None
    return by_uv(typed, sys.argv[1:])


def by_uv(typed: Sequence[str], arguments: Sequence[str]) -> tuple[str, ...] | None:
    """The part of uv's command line `typed` before `arguments`, which are this process's own. Pure.

    >>> by_uv(["/bin/uv", "tool", "uvx", "--from", ".", "harness", "list"], ["list"])
    ('uvx', '--from', '.', 'harness')
    """
    end = len(typed) - len(arguments)
    if not typed or Path(typed[0]).name not in ("uv", "uvx") or list(typed[end:]) != [*arguments]:
        return None
    if end < 2 or typed[end - 1] not in (*SCRIPTS, *MODULES):
        return None
    # uvx is a program that starts `uv tool uvx`.
    uvx = tuple(typed[1:3]) == ("tool", "uvx")
    return ("uvx", *typed[3:end]) if uvx else (Path(typed[0]).name, *typed[1:end])


def command(*arguments: str) -> str:
    """`arguments` as a command line of the harness."""
    return shlex.join((*words(), *arguments))
