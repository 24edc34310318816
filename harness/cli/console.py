"""What a person sees while it runs. All of it goes to stderr; stdout belongs to `--json`.

On a terminal: a line for each run that ended, and below them a table of those under way, redrawn
in place. Elsewhere (a file, CI): the lines alone.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from rich.console import Console, Group
from rich.control import Control
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.analysis import repeats
from harness.detect.watchdog import State
from harness.model import Outcome, RunResult, ScenarioResult, Severity, Verdict
from harness.report.sections.diagnosis import none_supported
from harness.report.sections.verdicts import left_out
from harness.supervise.job import Job
from harness.text.units import duration, number, size

STYLES = {
    Outcome.COMPLETED: ("✓", "green"),
    Outcome.HUNG: ("✗", "bold red"),
    Outcome.DIVERGED: ("✗", "red"),
    Outcome.CRASHED: ("✗", "red"),
    Outcome.UNFINISHED: ("…", "yellow"),
    Outcome.SKIPPED: ("-", "dim"),
}
DOUBTS = {State.SUSPECT: "suspected, ", State.STOPPED: ""}
"""Of these a line tells as soon as they come; no other is there until the run has ended."""
REDRAW_S = 0.5
INDENT = " " * 6
WIDE = 76
"""Columns that a line with its figures takes; below, they stand on a line of their own."""
COLUMNS = {
    "scenario": 8, "phase": 8, "step": 5, "loss": 5, "per step": 8, "memory": 8, "time": 10,
    "state": 7,
}  # fmt: skip
"""Of the table, and the widths that keep them where they are while their figures change."""
FIRST_LEFT_OUT = ("per step", "memory", "loss", "phase", "time")
"""Columns of the table that a narrow terminal has no room for, in this order."""


class Screen:
    """Prints lines; the terminal's version adds the live table."""

    def __init__(self, console: Console, total: int, quiet: bool, verbose: bool) -> None:
        self.console = console
        self._total = total
        self._done = 0
        self._quiet = quiet
        self._verbose = verbose
        self._headed = quiet
        self._told: set[tuple[Job, State, str]] = set()

    def started(self, job: Job) -> None:
        pass

    def looked(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            notes = job.notes[:]
            del job.notes[:]
            judged = job.judgement
            doubt = (job, judged.state, judged.about)
            if judged.state in DOUBTS and doubt not in self._told:
                self._told.add(doubt)
                notes.insert(0, DOUBTS[judged.state] + judged.reason)
            if not self._quiet:
                for note in notes:
                    self.say(Text(f"  {job.info.name}: {note}", style="yellow"))

    def say(self, told: Text) -> None:
        """Print lines: whole ones into a file, on a terminal between words and set in."""
        shown = self._wrapped(told) if self.console.is_terminal else told
        self.console.print(shown, soft_wrap=True)

    def _wrapped(self, told: Text) -> Text:
        width = self.console.width
        lines: list[Text] = []
        for line in told.split("\n"):
            line.expand_tabs(8)
            if line.cell_len <= width:
                lines.append(line)
                continue
            set_in = line.plain.startswith(INDENT)
            text = line[len(INDENT) :] if set_in else line
            for piece in text.wrap(self.console, max(1, width - len(INDENT))):
                piece.rstrip()
                lines.append(Text.assemble(INDENT, piece) if set_in else piece)
                set_in = True
        return Text("\n").join(lines)

    def finished(self, job: Job, result: ScenarioResult) -> None:
        self._told = {doubt for doubt in self._told if doubt[0] is not job}
        self._done += 1
        if not self._headed and result.metrics.memory.peak_over_p is not None:
            self._headed = True
            self._head()
        self.say(self._line(result))
        if self._verbose:
            for finding in result.findings:
                mark = " (expected)" if finding.expected else ""
                self.say(Text(f"{INDENT}{finding.code}{mark}: {finding.summary}"))

    def _head(self) -> None:
        """What the figures of the lines are, above the first that has all of them."""
        before = 2 * len(str(self._total)) + 17
        told = "P: size of the trainable parameters"
        head = f"{told:<{before + 29}} {'step':>8} {'loss':>11} {'peak':>7}"
        if self.console.is_terminal and self.console.width >= max(WIDE, len(head)):
            self.say(Text(head, style="dim"))

    def _line(self, result: ScenarioResult) -> Text:
        """The verdict and the main figures; they fit 80 columns, what is told below need not."""
        symbol, style = STYLES[result.outcome]
        times, loss, memory = result.metrics.step_s, result.metrics.loss, result.metrics.memory
        line = Text()
        line.append(f"[{self._done:>{len(str(self._total))}}/{self._total}] ", style="dim")
        line.append(f"{symbol} {result.outcome.value:<10} ", style=style)
        name = result.scenario + (f" #{result.repeat}" if result.repeat else "")
        cells = (
            f"{duration(times.median) if times else '':>8}",
            f"{f'{number(loss.first)}→{number(loss.last)}' if loss else '':>11}",
            f"{number(memory.peak_over_p, 3):>5} P" if memory.peak_over_p is not None else "",
        )
        if self.console.width >= WIDE:
            line.append(f"{name:<29} {' '.join(cells)}".rstrip())
        else:
            line.append(name)
            figures = " ".join(filter(None, map(str.strip, cells)))
            line.append(f"\n{INDENT}{figures}" if figures else "")
        if result.steps_completed < (result.steps_requested or 0):
            line.append(f"\n{INDENT}{result.steps_completed} of {result.steps_requested} steps")
        told = result.cause.summary if result.cause else result.reason
        if told and not self._quiet:
            line.append(f"\n{INDENT}{told}", style=style)
        if self._quiet or self._verbose:  # of these the one tells none, the other all
            return line
        for finding in result.findings:
            if not finding.expected and finding.severity is not Severity.INFO:
                more = f": {finding.summary}" * (finding.summary != told)
                line.append(f"\n{INDENT}{finding.code}{more}", style="yellow")
        return line

    def summary(self, run: RunResult, folder: Path) -> None:
        counts = {
            outcome: sum(result.outcome is outcome for result in run.results) for outcome in Outcome
        }
        told = ", ".join(f"{n} {outcome.value}" for outcome, n in counts.items() if n)
        if run.interrupted:
            told += "; interrupted"
        self.say(Text(told or "nothing was run"))
        for line in left_out(run):
            self.say(Text(line, style="dim"))
        for one in run.repeats:
            for hang in one.hangs:
                self.say(Text(f"{one.scenario}: {repeats.describe_hang(hang)}"))
        supported = any(one.verdict is Verdict.SUPPORTED for one in run.diagnosis.hypotheses)
        if run.diagnosis.hypotheses and (supported or run.settings is not None):
            self._diagnosis(run)
        self.console.print(f"report: {folder / 'report.md'}", soft_wrap=True, highlight=False)

    def _diagnosis(self, run: RunResult) -> None:
        found = run.diagnosis
        supported = [one for one in found.hypotheses if one.verdict is Verdict.SUPPORTED]
        if not supported:
            self.say(Text(none_supported(run.results)))
        if found.unexplained:
            self.say(Text(f"none of the eight explains it: {found.unexplained}"))
        for one in supported:
            why = f": {one.because[0]}" if one.because else ""
            self.say(Text.assemble("supported: ", (one.title, "bold"), why))
        if found.next_experiment:
            told = Text.assemble("next: ", (found.next_experiment, "cyan"))
            self.console.print(told, soft_wrap=True)
        if found.no_experiment:
            self.say(Text(f"no run is suggested: {found.no_experiment}", style="dim"))


class LiveScreen(Screen):
    """A Screen with a table of what is under way below the lines."""

    def __init__(self, console: Console, total: int, quiet: bool, verbose: bool) -> None:
        super().__init__(console, total, quiet, verbose)
        self._next = 0.0
        self._width = 0
        self._said: deque[Text] = deque(maxlen=50)
        self.live = Live(console=console, auto_refresh=False, transient=True)

    def looked(self, jobs: Sequence[Job]) -> None:
        self._redraw()
        super().looked(jobs)
        now = time.monotonic()
        if now >= self._next:
            self._next = now + REDRAW_S
            self.live.update(Group(self._table(jobs), self._bar()), refresh=True)

    def finished(self, job: Job, result: ScenarioResult) -> None:
        self._redraw()
        super().finished(job, result)

    def say(self, told: Text) -> None:
        self._said.append(told)
        super().say(told)

    def _redraw(self) -> None:
        """After the window became narrower: what was wrapped cannot be taken away line by line."""
        before, self._width = self._width, self.console.width
        if self._width < before:
            self.console.control(Control.clear(), Control.home())
            for told in self._said:
                super().say(told)

    def _table(self, jobs: Sequence[Job]) -> Table:
        rows = [dict(zip(COLUMNS, self._row(job), strict=True)) for job in jobs]
        unlimited = self.console.options.update(width=1_000)
        shown = list(COLUMNS)
        for title in FIRST_LEFT_OUT:
            table = _columns(shown, rows)
            if self.console.measure(table, options=unlimited).maximum <= self.console.width:
                return table
            shown.remove(title)
        return _columns(shown, rows)

    def _row(self, job: Job) -> tuple[str, ...]:
        position, last = job.position, job.last
        step = position.step if position else -1
        loss = last.loss if last is not None else None
        of = f"/{job.spec.settings.steps}" if job.spec.settings else ""
        return (
            job.info.name,
            position.phase if position else "start",
            f"{max(step, 0)}{of}",
            "" if loss is None else number(float(loss)),
            "" if last is None else duration(sum(last.phases.values())),
            size(job.rss_peak),
            duration(time.monotonic() - job.started),
            job.judgement.state.value,
        )

    def _bar(self) -> Table:
        row = Table.grid(padding=(0, 1))
        row.add_row(
            ProgressBar(
                total=self._total, completed=self._done, width=min(30, self.console.width // 2)
            ),
            f"{self._done}/{self._total}",
        )
        return row


def _columns(titles: Sequence[str], rows: Sequence[dict[str, str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in titles:
        left = title in ("scenario", "phase", "state")
        table.add_column(
            title, justify="left" if left else "right", no_wrap=True, min_width=COLUMNS[title]
        )
    for row in rows:
        table.add_row(*(row[title] for title in titles))
    return table


class _Stderr:
    """sys.stderr, but a terminal that went away or a full disk behind it does not end the run."""

    def __init__(self, fit: Callable[[str], str]) -> None:
        # Kept: rich puts a proxy of its own in the place of sys.stderr.
        self._stream = sys.stderr
        self._fit = fit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._forgiving():
            self._stream.write(self._fit(text))
        return len(text)

    def flush(self) -> None:
        with self._forgiving():
            self._stream.flush()

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            # What is still in the buffer has to go somewhere, or the interpreter's end fails.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


@contextmanager
def screen(
    total: int,
    quiet: bool = False,
    verbose: bool = False,
    fit: Callable[[str], str] | None = None,
) -> Iterator[Screen]:
    """The screen that fits stderr.

    Where a command writes to our terminal, `fit` makes our lines stand between its own, and no
    table is drawn over them.
    """
    stderr = _Stderr(fit or str)
    console = Console(file=cast(IO[str], stderr), highlight=False)
    redrawn = console.is_terminal and not os.environ.get("CI")
    if not redrawn or quiet or fit is not None:
        yield Screen(console, total, quiet, verbose)
        return
    shown = LiveScreen(console, total, quiet, verbose)
    with shown.live:
        yield shown
