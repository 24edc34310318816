"""The tables of `harness compare`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rich.markup import escape
from rich.table import Table

from harness.analysis.compare import REPEATS, Compared, Comparison, Figure, Mark, enough
from harness.cli import consoles
from harness.model import Spread
from harness.report.text import NOTHING
from harness.text.units import duration, number, size

MARKS = {Mark.SIGNIFICANT: "[bold red]significant[/]", Mark.DIFFERS: "[yellow]differs[/]"}


def show(comparison: Comparison) -> None:
    """Print the differences between two runs."""
    console = consoles.console(sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = 200  # rich takes 80 for a pipe, which cuts the marks off
    if comparison.setup:
        table = _table("different setup", "A", "B")
        for entry in comparison.setup:
            a, b = escape(entry.a or NOTHING), escape(entry.b or NOTHING)
            table.add_row(escape(entry.name), a, b)
        console.print(table)
    rows = [row for compared in comparison.scenarios for row in _rows(compared)]
    table = _table("scenario", "figure", "A", "B", "B / A", "")
    previous = None
    for scenario, *cells in rows:
        table.add_row("" if scenario == previous else scenario, *cells)
        previous = scenario
    console.print(table if rows else "no differences")
    missing = [
        compared.scenario
        for compared in comparison.scenarios
        if compared.outcomes.mark is Mark.MISSING
    ]
    if missing:
        console.print(f"in one run only: {', '.join(missing)}")
    tested = (
        f"{comparison.tests} differences were tested. "
        "Chance explains at most 5 % of those that are marked significant."
        if comparison.tests
        else f"No difference could be tested. A test needs {REPEATS} runs of a scenario on each "
        "side."
    )
    least = enough(comparison)
    console.print(f"{tested} To be sure of one difference, use --repeat {least} on each side.")


def _table(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in titles:
        table.add_column(title, no_wrap=title in ("scenario", "figure"))
    return table


def _rows(compared: Compared) -> Iterator[tuple[str, ...]]:
    for counts in (compared.outcomes, *compared.counts):
        if counts.mark in MARKS:
            sides = (_counts(counts.a), _counts(counts.b))
            yield compared.scenario, counts.name, *sides, "", _mark(counts.mark, counts.p)
    for figure in compared.figures:
        if figure.mark in MARKS:
            ratio = NOTHING if figure.ratio is None else number(figure.ratio, 3)
            sides = (_spread(figure, figure.a), _spread(figure, figure.b))
            yield compared.scenario, figure.name, *sides, ratio, _mark(figure.mark, figure.p)


def _mark(mark: Mark, p: float | None) -> str:
    return MARKS[mark] + ("" if p is None else f" (p = {number(p, 2)})")


def _counts(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    return ", ".join(f"{count}/{total} {name}" for name, count in counts.items())


def _spread(figure: Figure, spread: Spread | None) -> str:
    if spread is None:
        return NOTHING
    form = duration if figure.name.endswith("_s") else size if figure.name == "rss_peak" else number
    if spread.min == spread.max:
        return form(spread.median)
    return f"{form(spread.median)} ({form(spread.min)} to {form(spread.max)})"
