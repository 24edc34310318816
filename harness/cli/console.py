"""The progress of a run, on stderr; stdout is for `--json`.

A terminal shows a line for each run that ended. Below them is a table of the runs that are under
way, which is redrawn in place. A file or CI gets the lines alone.
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

from harness.analysis import headline, repeats
from harness.cli import consoles, ladders
from harness.cli.consoles import INDENT
from harness.detect.watchdog import State
from harness.model import Outcome, RunResult, ScenarioInfo, ScenarioResult, Severity, Support
from harness.report import summary
from harness.report.input import groups, subject
from harness.report.screen import HANGING, below, of_run
from harness.report.sections.diagnosis import NO_PROBLEM, none_supported
from harness.report.sections.verdicts import but, left_out
from harness.supervise.job import Job
from harness.text import invocation
from harness.text.known_issues import describe
from harness.text.units import duration, number, size

STYLES = {
    Outcome.COMPLETED: ("✓", "green"),
    Outcome.HUNG: ("✗", "bold red"),
    Outcome.DIVERGED: ("✗", "red"),
    Outcome.CRASHED: ("✗", "red"),
    Outcome.UNFINISHED: ("…", "yellow"),
    Outcome.SKIPPED: ("-", "dim"),
}
WARNING = "⚠"
"""Follows the tick of a run that completed with an unexpected error or warning."""
ALERTS = {State.SUSPECT: "possible hang: ", State.STOPPED: ""}
"""The states that get a line at once, and how the line starts. The others wait for the end."""
REDRAW_S = 0.5
WIDE = 76
"""The columns of a line with its figures. In fewer columns the figures get their own line."""
COLUMNS = {
    "scenario": 8, "phase": 8, "step": 5, "loss": 5, "per step": 8, "memory": 8, "time": 10,
    "state": 7,
}  # fmt: skip
"""The columns of the table, with widths that keep them in place while their figures change."""
FIRST_LEFT_OUT = ("per step", "memory", "loss", "phase", "time")
"""The columns that a narrow terminal omits, in this order."""


class Screen:
    """The lines of a run."""

    def __init__(self, console: Console, total: int, quiet: bool, verbose: bool) -> None:
        self.console = console
        self._total = total
        self._done = 0
        self._quiet = quiet
        self._verbose = verbose
        self._headed = quiet
        self.expected: Callable[[ScenarioResult], tuple[bool | None, str]] | None = None
        """Compares a result with the verdict that its scenario must get, for the selftest: True if
        it got that, None if it could not run here, and the difference."""
        self._alerted: set[tuple[Job, State, str]] = set()

    def started(self, job: Job) -> None:
        pass

    def looked(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            notes = job.notes[:]
            del job.notes[:]
            judgment = job.judgment
            alert = (job, judgment.state, judgment.about)
            if judgment.state in ALERTS and alert not in self._alerted:
                self._alerted.add(alert)
                notes.insert(0, ALERTS[judgment.state] + judgment.reason)
            if not self._quiet:
                for note in notes:
                    self.say(Text(f"  {job.info.name}: {note}", style="yellow"))

    def say(self, text: Text, indent: str = INDENT) -> None:
        """Print `text`. A terminal gets it folded between words, a file as it is."""
        consoles.say(self.console, text, indent)

    def finished(self, job: Job, result: ScenarioResult) -> None:
        self._alerted = {alert for alert in self._alerted if alert[0] is not job}
        self._done += 1
        self._total = max(self._total, self._done)
        if not self._headed and result.metrics.memory.peak_over_p is not None:
            self._headed = True
            self._head()
        self.say(self._line(result))
        self._explain(result, job.info)
        if not self._quiet and not self._verbose:
            self._warn(result)
        if self._verbose:
            for finding in result.findings:
                mark = " (expected)" if finding.expected else ""
                self.say(Text(f"{INDENT}{finding.code}{mark}: {finding.summary}"))

    def _head(self) -> None:
        """Print the titles of the figures, above the first line that has all of them."""
        before = 2 * len(str(self._total)) + 17
        legend = "P: size of the trainable parameters"
        head = f"{legend:<{before + 29}} {'step':>8} {'loss':>11} {'peak':>7}"
        if self.console.is_terminal and self.console.width >= max(WIDE, len(head)):
            self.say(Text(head, style="dim"))

    def _line(self, result: ScenarioResult) -> Text:
        """The verdict and the main figures in 80 columns, and below them the explanation."""
        symbol, style = _mark(result)
        met, difference = self.expected(result) if self.expected is not None else (None, "")
        if met is not None:
            symbol, style = ("✓", "green") if met else ("✗", "bold red")
        times, loss, memory = result.metrics.step_s, result.metrics.loss, result.metrics.memory
        line = Text()
        line.append(f"[{self._done:>{len(str(self._total))}}/{self._total}] ", style="dim")
        line.append(f"{symbol} {result.outcome.value:<{11 - len(symbol)}} ", style=style)
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
        explanation = result.cause.summary if result.cause else result.reason
        if met and explanation and not self._quiet:
            line.append(f"\n{INDENT}as expected: {explanation}", style="dim")
        if (replay := summary.replay(result)) and not self._quiet:
            line.append(f"\n{INDENT}replay: {replay}", style="dim" if met else style)
        if met is False:
            line.append(f"\n{INDENT}not as expected: {difference}", style=style)
        for match in result.known_issues:
            line.append(f"\n{INDENT}{describe(match)}\n{INDENT}{match.url}", style="cyan")
        return line

    def _explain(self, result: ScenarioResult, info: ScenarioInfo) -> None:
        """Print the headline of a run that is not well: of one among others its place alone."""
        met, _ = self.expected(result) if self.expected is not None else (None, "")
        if met or self._quiet:
            return
        made = headline.of(result, info)
        if result.outcome is not Outcome.COMPLETED:
            what = made.what.removeprefix(f"{result.outcome.value}: ")
            self.say(Text(INDENT + what, style=STYLES[result.outcome][1]))
        for row in below(made):
            if self._total == 1 or row.startswith("where"):
                self.say(Text(INDENT + row), INDENT + HANGING)

    def _warn(self, result: ScenarioResult) -> None:
        """Print the findings that were not expected, for whoever is not shown all of them."""
        told = (result.cause.summary if result.cause else result.reason) or ""
        for finding in result.findings:
            if finding.code == "not_followed":
                self.say(Text(f"{INDENT}{finding.summary}", style="dim"))
            elif not finding.expected and finding.severity is not Severity.INFO:
                more = f": {finding.summary}" * (finding.summary != told)
                self.say(Text(f"{INDENT}{finding.code}{more}", style="yellow"))

    def summary(self, run: RunResult, folder: Path | str) -> None:
        """Print the verdicts, and where the report is in `folder`, or why there is none."""
        counts = {
            outcome: sum(result.outcome is outcome for result in run.results) for outcome in Outcome
        }
        outcomes = ", ".join(f"{n} {outcome.value}" for outcome, n in counts.items() if n)
        if self.expected is None:  # of controls the table says it
            outcomes += but(run.results, warnings=True)
        if run.interrupted:
            outcomes += "; interrupted"
        self.say(Text(outcomes or "nothing was run"))
        for line in left_out(run):
            self.say(Text(line, style="dim"))
        if run.ladder is not None:
            ladders.show(self.console, run.ladder)
        self._first_of_all(run)
        for repeated in run.repeats:
            for hang in repeated.hangs:
                self.say(Text(f"{repeated.scenario}: {repeats.describe_hang(hang)}"))
        supported = any(h.verdict is Support.SUPPORTED for h in run.diagnosis.hypotheses)
        if run.diagnosis.hypotheses and (supported or run.settings is not None):
            self._diagnosis(run, written=not isinstance(folder, str))
        for result in run.results:
            self._kept(result)
        if isinstance(folder, str):
            self.say(Text(f"no report: {folder}", style="bold red"))
        else:
            self.console.print(f"report: {folder / 'report.md'}", soft_wrap=True, highlight=False)

    def _first_of_all(self, run: RunResult) -> None:
        """Print the headline of the worst of several runs, unless what it did was expected."""
        group = subject(groups(run))
        if self._quiet or self._total == 1 or self.expected is not None or group is None:
            return
        made = of_run(run, group.worst)
        if rows := [*below(made)]:
            self.say(Text(f"look first at {group.label(group.worst)}: {made.what}", style="bold"))
            for row in rows:
                self.say(Text(f"  {row}"), "  " + HANGING)

    def _kept(self, result: ScenarioResult) -> None:
        """Print the way to the process of a hung run that was kept."""
        pid = result.cause.evidence.get("kept_pid") if result.cause else None
        if isinstance(pid, int):
            self.say(Text(f"{result.scenario}: process {pid} is kept"))
            consoles.suggest(self.console, "  look at it:", invocation.command("attach", str(pid)))
            consoles.suggest(self.console, "  end it:", f"kill {pid}")

    def _diagnosis(self, run: RunResult, written: bool) -> None:
        diagnosis = run.diagnosis
        supported = [h for h in diagnosis.hypotheses if h.verdict is Support.SUPPORTED]
        sentence = "" if supported else none_supported(run.results)
        alone = self._total == 1  # its headline has said it all
        if sentence and (sentence == NO_PROBLEM or not alone):
            self.say(Text(sentence))
        if diagnosis.unexplained:
            self.say(Text(f"no known cause explains this: {diagnosis.unexplained}"))
        for hypothesis in supported:
            # Of one run it has just been said.
            why = f": {hypothesis.because[0]}" if hypothesis.because and not alone else ""
            self.say(Text.assemble("supported: ", (hypothesis.title, "bold"), why))
        if diagnosis.next_experiment and written and sentence != NO_PROBLEM:
            consoles.suggest(self.console, "to narrow this down, run:", diagnosis.next_experiment)
        if diagnosis.no_experiment and not alone:
            self.say(Text(f"no run is suggested: {diagnosis.no_experiment}", style="dim"))


class LiveScreen(Screen):
    """The lines of a run, and below them a table of the runs that are under way."""

    def __init__(self, console: Console, total: int, quiet: bool, verbose: bool) -> None:
        super().__init__(console, total, quiet, verbose)
        self._next = 0.0
        self._width = 0
        self._printed: deque[tuple[Text, str]] = deque(maxlen=50)
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

    def say(self, text: Text, indent: str = INDENT) -> None:
        self._printed.append((text, indent))
        super().say(text, indent)

    def _redraw(self) -> None:
        """Print all again after the window became narrower, since its wrapped lines moved."""
        before, self._width = self._width, self.console.width
        if self._width < before:
            self.console.control(Control.clear(), Control.home())
            for text, indent in self._printed:
                super().say(text, indent)

    def _table(self, jobs: Sequence[Job]) -> Table:
        rows = [dict(zip(COLUMNS, self._row(job), strict=True)) for job in jobs]
        unlimited = self.console.options.update(width=1_000)
        titles = list(COLUMNS)
        for title in FIRST_LEFT_OUT:
            table = _columns(titles, rows)
            if self.console.measure(table, options=unlimited).maximum <= self.console.width:
                return table
            titles.remove(title)
        return _columns(titles, rows)

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
            job.judgment.state.value,
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


def _mark(result: ScenarioResult) -> tuple[str, str]:
    """The sign of a result and its style; a plain tick stands for one that nobody has to read."""
    symbol, style = STYLES[result.outcome]
    if result.outcome is not Outcome.COMPLETED:
        return symbol, style
    severities = {finding.severity for finding in result.findings if not finding.expected}
    if Severity.ERROR in severities:
        return symbol + WARNING, "red"
    return (symbol + WARNING, "yellow") if Severity.WARNING in severities else (symbol, style)


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
        # The stream itself: rich replaces sys.stderr by a proxy.
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
            # The buffer must go somewhere, or the end of the interpreter fails.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


@contextmanager
def screen(
    total: int,
    quiet: bool = False,
    verbose: bool = False,
    fit: Callable[[str], str] | None = None,
) -> Iterator[Screen]:
    """The screen for stderr.

    Where a watched command writes to the same terminal, `fit` puts each line between lines of the
    command, and no table is drawn.
    """
    stderr = _Stderr(fit or str)
    console = consoles.console(cast(IO[str], stderr), highlight=False)
    redrawn = console.is_terminal and not os.environ.get("CI")
    if not redrawn or quiet or fit is not None:
        yield Screen(console, total, quiet, verbose)
        return
    table = LiveScreen(console, total, quiet, verbose)
    with table.live:
        yield table
