"""The tables of `harness selftest`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from harness.analysis import controls
from harness.cli import consoles

MARKS = {True: "[green]✓[/]", False: "[bold red]✗[/]", None: "[dim]-[/]"}


def show(rows: Sequence[controls.ControlResult], matrix: controls.Matrix) -> None:
    """Print the verdict of each control, and the confusion matrix if there is room for it."""
    console = consoles.console(sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = 200  # rich takes 80 for a pipe, which cuts words off
    table = _table(rows)
    if _fits(table, console):
        console.print(table)
    else:
        _list(rows, console)
    if matrix and _fits(confusion := _confusion(matrix, console), console):
        console.print(confusion)
    ended = [row for row in rows if row.ok is not None]
    right = sum(1 for row in ended if row.ok)
    console.print(f"{right} of {len(ended)} got the expected verdict", end="")
    skipped = len(rows) - len(ended)
    console.print(f"; {skipped} skipped" if skipped else "")


def _table(rows: Sequence[controls.ControlResult]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("", "control", "expected", "got"):
        table.add_column(column, no_wrap=True)
    if any(row.wrong for row in rows):
        table.add_column("difference", min_width=20)
    for row in rows:
        differences = [escape("; ".join(row.wrong))] if len(table.columns) > 4 else []
        table.add_row(MARKS[row.ok], _name(row), row.expected, row.got, *differences)
    return table


def _fits(table: Table, console: Console) -> bool:
    unlimited = console.options.update(width=1_000)
    return console.measure(table, options=unlimited).minimum <= console.width


def _list(rows: Sequence[controls.ControlResult], console: Console) -> None:
    """Print the rows as lines, for a terminal that is too narrow for the table."""
    for row in rows:
        console.print(f"{MARKS[row.ok]} {_name(row)}: {row.got}")
        for line in (f"expected {row.expected}", *row.wrong) if not row.ok else ():
            console.print(Padding(escape(line), (0, 0, 0, 2), expand=False))


def _name(row: controls.ControlResult) -> str:
    return row.control + (f" #{row.repeat}" if row.repeat else "")


def _confusion(matrix: controls.Matrix, console: Console) -> Table:
    """The confusion matrix: a line for each expected verdict, a column for each actual one.

    On a narrow terminal the columns have the numbers of the lines instead of names.
    """
    actual = sorted({got for line in matrix.values() for got in line})
    lines = sorted({*matrix, *actual})
    wide = max(map(len, lines)) + 2 + sum(len(got) + 2 for got in actual) <= console.width
    table = Table(box=None, padding=(0, 2 if wide else 1, 0, 0), pad_edge=False,
                  title="expected ↓  got →", title_justify="left")  # fmt: skip
    table.add_column("", no_wrap=True)
    for got in actual:
        table.add_column(got if wide else str(lines.index(got) + 1), justify="right", no_wrap=True)
    for number, name in enumerate(lines, 1):
        line = matrix.get(name, {})
        if line or not wide:
            cells = (_cell(line.get(got, 0), got == name) for got in actual)
            table.add_row(name if wide else f"{number} {name}", *cells)
    return table


def _cell(count: int, right: bool) -> str:
    if not count:
        return "[dim].[/]"
    return f"[green]{count}[/]" if right else f"[bold red]{count}[/]"
