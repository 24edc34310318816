"""`harness selftest`: scenarios whose verdict is known prove the harness on this very machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from harness.analysis import controls
from harness.cli import github, options
from harness.errors import Exit, UsageError
from harness.model import ScenarioInfo, Settings
from harness.scenario import load
from harness.session import plan
from harness.session.plan import Options

BUDGET_S = 180.0
"""For one control: several times what the longest takes on two cores."""
MARKS = {True: "[green]✓[/]", False: "[bold red]✗[/]", None: "[dim]-[/]"}


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "selftest",
        "run scenarios whose verdict is known, and compare",
        "harness selftest fork_deadlock long_validation --repeat 10",
    )
    add = parser.add_argument
    options.add_scenarios(
        parser, "*", metavar="NAME|FILE.py", help="all the controls if none is named"
    )
    add("--repeat", type=options.positive, default=1, metavar="N", help="run each N times")
    add("--jobs", type=options.positive, default=1, metavar="N", help="runs at once (%(default)s)")
    add("--out", type=Path, default=Options().out, metavar="DIR",
        help="where the run's folder is made (%(default)s)")  # fmt: skip
    github.add(parser)
    add("-q", "--quiet", action="store_true", help="only the verdicts while it runs")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from harness.cli.console import screen
    from harness.report import runjson
    from harness.report.github import missed
    from harness.session.execute import execute

    runs = plan.make(_controls(arguments.scenario), Settings(), arguments.repeat)
    how = Options(out=arguments.out, jobs=arguments.jobs, budget=BUDGET_S)
    with screen(len(runs), quiet=arguments.quiet) as observer:
        result, folder = execute(runs, Settings(), how, observer, ["harness", *sys.argv[1:]])
        observer.summary(result, folder)
    rows = controls.rows(result)
    matrix = controls.matrix(rows)
    if arguments.json:
        document = {
            "controls": msgspec.to_builtins(rows),
            "matrix": matrix,
            "run": json.loads(runjson.text(folder)),
        }
        print(json.dumps(document, indent=2))
    else:
        _print(rows, matrix)
    github.show(arguments, folder, lambda run, root: missed(run, controls.rows(run), root))
    if result.interrupted:
        return Exit.INTERRUPTED
    return Exit.OK if controls.passed(rows) else Exit.VERDICT


def _controls(words: Sequence[str]) -> Sequence[ScenarioInfo]:
    infos = load.find(words) if words else load.controls()
    for info in infos:
        if info.verdict is None:
            raise UsageError(f"{info.name} is no control: it declares no VERDICT")
    return infos


def _print(rows: Sequence[controls.ControlResult], matrix: controls.Matrix) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # a pipe has none, and 80 would cut words off
    table = _table(rows)
    if _fits(table, console):
        console.print(table)
    else:
        _list(rows, console)
    if matrix and _fits(crossed := _crossed(matrix, console), console):
        console.print(crossed)
    judged = [row for row in rows if row.ok is not None]
    right = sum(1 for row in judged if row.ok)
    console.print(f"{right} of {len(judged)} got the expected verdict", end="")
    skipped = len(rows) - len(judged)
    console.print(f"; {skipped} skipped" if skipped else "")


def _table(rows: Sequence[controls.ControlResult]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("", "control", "expected", "got"):
        table.add_column(column, no_wrap=True)
    if any(row.wrong for row in rows):
        table.add_column("what is wrong", min_width=20)
    for row in rows:
        told = [escape("; ".join(row.wrong))] if len(table.columns) > 4 else []
        table.add_row(MARKS[row.ok], _name(row), row.expected, row.got, *told)
    return table


def _fits(table: Table, console: Console) -> bool:
    unlimited = console.options.update(width=1_000)
    return console.measure(table, options=unlimited).minimum <= console.width


def _list(rows: Sequence[controls.ControlResult], console: Console) -> None:
    """The table's rows where it has no room."""
    for row in rows:
        console.print(f"{MARKS[row.ok]} {_name(row)}: {row.got}")
        for told in (f"expected {row.expected}", *row.wrong) if not row.ok else ():
            console.print(Padding(escape(told), (0, 0, 0, 2), expand=False))


def _name(row: controls.ControlResult) -> str:
    return row.control + (f" #{row.repeat}" if row.repeat else "")


def _crossed(matrix: controls.Matrix, console: Console) -> Table:
    """The confusion matrix: a line for each expected class, a column for each that came.

    Where their names have no room, the columns are numbered as the lines are.
    """
    came = sorted({got for line in matrix.values() for got in line})
    lines = sorted({*matrix, *came})
    wide = max(map(len, lines)) + 2 + sum(len(got) + 2 for got in came) <= console.width
    table = Table(box=None, padding=(0, 2 if wide else 1, 0, 0), pad_edge=False,
                  title="expected ↓  got →", title_justify="left")  # fmt: skip
    table.add_column("", no_wrap=True)
    for got in came:
        table.add_column(got if wide else str(lines.index(got) + 1), justify="right", no_wrap=True)
    for number, name in enumerate(lines, 1):
        line = matrix.get(name, {})
        if line or not wide:
            cells = (_cell(line.get(got, 0), got == name) for got in came)
            table.add_row(name if wide else f"{number} {name}", *cells)
    return table


def _cell(count: int, right: bool) -> str:
    if not count:
        return "[dim].[/]"
    return f"[green]{count}[/]" if right else f"[bold red]{count}[/]"
