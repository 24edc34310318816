"""The part of `harness doctor` that records what macOS answers about a known process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.markup import escape
from rich.table import Table

from harness.cli import consoles
from harness.record import folder
from harness.record.guesses import Verdict
from harness.text.units import plural

_WORDS = {True: "holds", False: "FAILS", None: "not told"}


def make(path: Path) -> tuple[Verdict, ...]:
    """Record into a new folder at `path`. Raises UsageError where that is not possible."""
    folder.check(path)
    return folder.make(path, lambda line: print(line, file=sys.stderr))


def document(path: Path, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The record, for --json."""
    return {"folder": str(path), "guesses": msgspec.to_builtins(verdicts)}


def show(path: Path, verdicts: Sequence[Verdict]) -> None:
    """Print what the folder says of each guess, and what to do with it."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for one in verdicts:
        table.add_row(_WORDS[one.holds], escape(one.what), escape(one.shown))
    console = consoles.console(sys.stdout)
    console.print(f"\n[bold]{plural(len(verdicts), 'guess', 'guesses')} about macOS[/bold]")
    console.print(table)
    console.print(
        f"recorded: {path}. Names of people, machines and other programs are left out. Read it, "
        "then attach it to an issue."
    )
