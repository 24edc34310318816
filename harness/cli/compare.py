"""`harness compare`: two runs, outcome by outcome and figure by figure."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.analysis.compare import REPEATS, Compared, Comparison, Figure, Mark, compare, enough
from harness.cli import options
from harness.errors import Exit
from harness.model import Spread
from harness.report import runjson
from harness.report.text import NOTHING
from harness.text.units import duration, number, size

MARKS = {Mark.SIGNIFICANT: "[bold red]significant[/]", Mark.DIFFERS: "[yellow]differs[/]"}


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "compare",
        "compare two runs: two versions, two machines, two settings",
        "harness compare reports/20260101-120000-ab12 reports/20260101-130000-cd34",
    )
    parser.add_argument("a", type=Path, metavar="RUN_A", help="a run's folder")
    parser.add_argument("b", type=Path, metavar="RUN_B", help="another one's")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    found = compare(runjson.read(arguments.a), runjson.read(arguments.b))
    if arguments.json:
        print(json.dumps(runjson.storable(msgspec.to_builtins(found)), indent=2, allow_nan=False))
    else:
        _print(found)
    return Exit.OK


def _print(found: Comparison) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # a pipe has none, and 80 would cut the marks off
    if found.setup:
        table = _table("not the same", "A", "B")
        for one in found.setup:
            table.add_row(escape(one.name), escape(one.a or NOTHING), escape(one.b or NOTHING))
        console.print(table)
    rows = [row for compared in found.scenarios for row in _rows(compared)]
    table = _table("scenario", "what", "A", "B", "B / A", "")
    before = None
    for scenario, *cells in rows:
        table.add_row("" if scenario == before else scenario, *cells)
        before = scenario
    console.print(table if rows else "nothing differs")
    missing = [one.scenario for one in found.scenarios if one.outcomes.mark is Mark.MISSING]
    if missing:
        console.print(f"not in both: {', '.join(missing)}")
    least = enough(found)
    tested = (
        f"{found.tests} differences were tested; of those marked significant at most 5 % are "
        "expected to be chance"
        if found.tests
        else f"nothing could be tested: that takes {REPEATS} runs of a scenario on both sides"
    )
    console.print(
        f"{tested}. To be sure of a single difference here: --repeat {least} on each side"
    )


def _table(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in titles:
        table.add_column(title, no_wrap=title in ("scenario", "what"))
    return table


def _rows(compared: Compared) -> Iterator[tuple[str, ...]]:
    for one in (compared.outcomes, *compared.counts):
        if one.mark in MARKS:
            told = (_counts(one.a), _counts(one.b))
            yield compared.scenario, one.name, *told, "", _mark(one.mark, one.p)
    for figure in compared.figures:
        if figure.mark in MARKS:
            ratio = NOTHING if figure.ratio is None else number(figure.ratio, 3)
            told = (_shown(figure, figure.a), _shown(figure, figure.b))
            yield compared.scenario, figure.name, *told, ratio, _mark(figure.mark, figure.p)


def _mark(mark: Mark, p: float | None) -> str:
    return MARKS[mark] + ("" if p is None else f" (p = {number(p, 2)})")


def _counts(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    return ", ".join(f"{count}/{total} {name}" for name, count in counts.items())


def _shown(figure: Figure, spread: Spread | None) -> str:
    if spread is None:
        return NOTHING
    form = duration if figure.name.endswith("_s") else size if figure.name == "rss_peak" else number
    if spread.min == spread.max:
        return form(spread.median)
    return f"{form(spread.median)} ({form(spread.min)} to {form(spread.max)})"
