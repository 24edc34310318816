"""What people read of six typical runs, whole: report.md, and the live table while it runs."""

from __future__ import annotations

import io
import time

import pytest
import rich.console
import snapshots
import typical_runs

from harness.cli.console import LiveScreen
from harness.report import markdown

WIDTHS = (100, 48)


@pytest.mark.parametrize("name", typical_runs.TYPICAL)
def test_the_run_is_what_its_name_says(name: str) -> None:
    outcomes = {result.outcome for result in typical_runs.TYPICAL[name]().run.results}
    assert outcomes == {typical_runs.OUTCOMES[name]}


@pytest.mark.parametrize("name", typical_runs.TYPICAL)
def test_the_report_of_a_typical_run(name: str) -> None:
    snapshots.check(f"{name}-report.md", markdown.render(typical_runs.TYPICAL[name]().report()))


@pytest.mark.parametrize("name", typical_runs.TYPICAL)
def test_the_live_table_and_the_lines_of_a_typical_run(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table as it is drawn while the run is under way, then the lines of its results."""
    typical = typical_runs.TYPICAL[name]()
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)  # the table shows how long it has run
    shown = []
    for width in WIDTHS:
        console = rich.console.Console(
            file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False
        )
        screen = LiveScreen(console, len(typical.run.results), False, False)
        console.print(screen._table([running.job(1000.0) for running in typical.under_way]))
        console.print(screen._bar())
        for result in typical.run.results:
            screen.finished(typical.under_way[0].job(1000.0), result)
        text = console.file.getvalue()
        shown += [f"--- {width} columns", *(line.rstrip() for line in text.splitlines())]
    snapshots.check(f"{name}-screen.txt", "\n".join(shown) + "\n")
