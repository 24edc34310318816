"""The file that is left: its form, its comment, and what it needs."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from harness import __version__
from harness.reduce.symptom import Symptom
from harness.reduce.target import Target

PLAIN = ("--config", "format.skip-magic-trailing-comma = true")
"""The options for a layout in which a statement stands on one line where it fits."""


def needs(text: str) -> tuple[str, ...]:
    """The packages besides MLX and Python's own that a program imports. Pure."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return tuple(sorted(found - sys.stdlib_module_names - {"mlx"}))


def formatted(text: str) -> str:
    """`text` as ruff would write it where ruff is there; else with single empty lines at most."""
    plain = re.sub(r"\n{3,}", "\n\n\n", text.strip("\n")) + "\n"
    beside = Path(sys.executable).parent / "ruff"
    ruff = str(beside) if beside.exists() else shutil.which("ruff")
    if ruff is None:
        return plain
    words = [ruff, "format", "--isolated", "--line-length", "100", *PLAIN, "-"]
    try:
        done = subprocess.run(words, input=plain, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return plain
    return done.stdout if done.returncode == 0 and done.stdout else plain


def head(
    target: Target, wanted: Symptom, said: str, checked: tuple[int, int] | None,
    versions: Mapping[str, str | None],
) -> str:  # fmt: skip
    """The comment at the head of the file: `said` is what it shows in its own runs. Pure."""
    where = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    shown = (
        f"Shown in {checked[0]} of {checked[1]} runs of this file alone, with {where}."
        if checked is not None
        else f"Not checked by running it alone. Reduced with {where}."
    )
    lines = [
        f"Shows: {said}",
        shown,
        f"Reduced from {target.name} ({target.lines} lines) by mlx-hang-harness {__version__}, "
        f"keeping the {wanted.keep.value} ({wanted.mark}).",
    ]
    wrapped = [part for line in lines for part in textwrap.wrap(line, 96)]
    return "".join(f"# {line}\n" for line in wrapped) + "\n"
