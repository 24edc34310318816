"""The command line by which the harness was started, for the commands that it suggests."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

SCRIPTS = ("harness", "mlx-harness")
"""The console scripts."""
MODULES = ("harness", "mlx_harness")
"""The modules that `python -m` starts."""


def words() -> tuple[str, ...]:
    """The first words of a command: those that this process was started by.

    A script or a notebook that uses the API has none: it gets the form that needs no PATH.
    """
    started = Path(sys.argv[0]) if sys.argv and sys.argv[0] else Path()
    if started.name in SCRIPTS:
        return (started.name,)
    module = started.parent.name if started.name == "__main__.py" else ""
    python = Path(sys.executable or "python").name
    return (python, "-m", module if module in MODULES else MODULES[0])


def command(*arguments: str) -> str:
    """`arguments` as a command line of the harness."""
    return shlex.join((*words(), *arguments))
