"""The tables of `harness compare`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.analysis import regressions
from harness.analysis.compare import REPEATS, Compared, Comparison, Figure, Mark, enough
from harness.analysis.regressions import Change, words
from harness.cli import consoles
from harness.model import Spread
from harness.report.text import NOTHING
from harness.text.units import duration, number, percent, size

MARKS = {Mark.SIGNIFICANT: "[bold red]significant[/]", Mark.DIFFERS: "[yellow]differs[/]"}


def show(comparison: Comparison) -> None:
    """Print the differences between two runs."""
    console = consoles.console(sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = consoles.WIDE_FILE
    consoles.say(console, Text(regressions.headline(comparison), style="bold"), "  ")
    if comparison.setup:
        table = _table("different setup", "A", "B")
        for entry in comparison.setup:
            a, b = escape(entry.a or NOTHING), escape(entry.b or NOTHING)
            table.add_row(escape(entry.name), a, b)
        console.print(table)
    shared = regressions.common(comparison)
    for compared in comparison.scenarios:
        rows = list(_rows(compared))
        if rows and compared.scenario in shared:
            console.print(Text(compared.scenario, style="bold"))
            table = _table("", "A", "B", "B / A", "p", "mark")
            for row in rows:
                table.add_row(*row)
            console.print(Padding(table, (0, 0, 0, 2), expand=False))
    missing = [one.scenario for one in comparison.scenarios if one.scenario not in shared]
    if missing:
        consoles.say(console, Text(f"in one run only: {', '.join(missing)}"), "  ")
    if not shared:
        return
    tested = (
        f"{comparison.tests} differences were tested. "
        "Chance explains at most 5 % of those that are marked significant."
        if comparison.tests
        else f"No difference could be tested. A test needs {REPEATS} runs of a scenario on each "
        "side."
    )
    least = enough(comparison)
    advice = f"{tested} To be sure of one difference, use --repeat {least} on each side."
    consoles.say(console, Text(advice), "")


def show_regressions(found: Sequence[Change], least: float) -> None:
    """Print the changes for the worse that make the exit code 1."""
    console = consoles.console(sys.stderr, highlight=False)
    for change in found:
        consoles.say(console, Text(f"regression: {change.sentence}", style="red"), "  ")
    if not found:
        consoles.say(console, Text(f"no regression of more than {percent(least)}"), "  ")


def _table(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in titles:
        # Only the values of the two sides are folded: neither a name nor a mark is cut.
        table.add_column(title, no_wrap=title not in ("A", "B"))
    return table


def _rows(compared: Compared) -> Iterator[tuple[str, ...]]:
    for counts in (compared.outcomes, *compared.counts):
        if counts.mark in MARKS:
            sides = (_counts(counts.a), _counts(counts.b))
            yield words(counts.name), *sides, "", _p(counts.p), MARKS[counts.mark]
    for figure in compared.figures:
        if figure.mark in MARKS:
            ratio = NOTHING if figure.ratio is None else number(figure.ratio, 3)
            sides = (_spread(figure, figure.a), _spread(figure, figure.b))
            yield words(figure.name), *sides, ratio, _p(figure.p), MARKS[figure.mark]


def _p(p: float | None) -> str:
    return "" if p is None else number(p, 2)


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
