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
from rich.table import Table

from harness import plan, scenario, selftest
from harness.cli import github, options
from harness.errors import Exit, UsageError
from harness.model import ScenarioInfo, Settings
from harness.plan import Options

BUDGET_S = 180.0
"""For one control: several times what the longest takes on two cores."""


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
    from harness.execute import execute
    from harness.report import runjson
    from harness.report.github import missed
    from harness.screen import screen

    runs = plan.make(_controls(arguments.scenario), Settings(), arguments.repeat)
    how = Options(out=arguments.out, jobs=arguments.jobs, budget=BUDGET_S)
    with screen(len(runs), quiet=arguments.quiet) as observer:
        result, folder = execute(runs, Settings(), how, observer, ["harness", *sys.argv[1:]])
        observer.summary(result, folder)
    rows = selftest.rows(result)
    matrix = selftest.matrix(rows)
    if arguments.json:
        document = {
            "controls": msgspec.to_builtins(rows),
            "matrix": matrix,
            "run": json.loads(runjson.text(folder)),
        }
        print(json.dumps(document, indent=2))
    else:
        _print(rows, matrix)
    github.show(arguments, folder, lambda run, root: missed(run, selftest.rows(run), root))
    if result.interrupted:
        return Exit.INTERRUPTED
    return Exit.OK if selftest.passed(rows) else Exit.VERDICT


def _controls(words: Sequence[str]) -> Sequence[ScenarioInfo]:
    infos = scenario.find(words) if words else scenario.controls()
    for info in infos:
        if info.verdict is None:
            raise UsageError(f"{info.name} is no control: it declares no VERDICT")
    return infos


def _print(rows: Sequence[selftest.Row], matrix: selftest.Matrix) -> None:
    console = Console(highlight=False)
    console.print(_table(rows))
    if matrix:
        console.print(_crossed(matrix))
    judged = [row for row in rows if row.ok is not None]
    right = sum(1 for row in judged if row.ok)
    console.print(f"{right} of {len(judged)} got the expected verdict", end="")
    skipped = len(rows) - len(judged)
    console.print(f"; {skipped} skipped" if skipped else "")


def _table(rows: Sequence[selftest.Row]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("", "control", "expected", "got", "what is wrong"):
        table.add_column(column, no_wrap=column == "control")
    marks = {True: "[green]✓[/]", False: "[bold red]✗[/]", None: "[dim]-[/]"}
    for row in rows:
        name = row.control + (f" #{row.repeat}" if row.repeat else "")
        told = escape("; ".join(row.wrong))
        table.add_row(marks[row.ok], name, row.expected, row.got, told)
    return table


def _crossed(matrix: selftest.Matrix) -> Table:
    """The confusion matrix: a line for each expected class, a column for each that came."""
    came = sorted({got for line in matrix.values() for got in line})
    table = Table(box=None, padding=(0, 2, 0, 0), title="expected ↓  got →", title_justify="left")
    table.add_column("", no_wrap=True)
    for got in came:
        table.add_column(got, justify="right")
    for expected in sorted(matrix):
        line = matrix[expected]
        cells = (_cell(line.get(got, 0), got == expected) for got in came)
        table.add_row(expected, *cells)
    return table


def _cell(count: int, right: bool) -> str:
    if not count:
        return "[dim].[/]"
    return f"[green]{count}[/]" if right else f"[bold red]{count}[/]"
