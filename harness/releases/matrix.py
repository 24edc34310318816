"""A matrix while it is under way: each cell is a run. Its table marks what changes."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import msgspec

from harness.analysis import repeats
from harness.model import Outcome
from harness.releases import probe
from harness.releases.folder import save_state
from harness.releases.plan import Plan
from harness.releases.probe import Ran
from harness.releases.symptoms import Symptoms

NAME = "matrix.json"
TIMES = 1.5
"""A figure is marked when it is this many times that of the cell before, or less than its part."""
FIGURES = {"step": "step_median_s", "first": "step_first_s", "peak": "peak_over_p"}
"""The figures of the table: title, and name in `harness.analysis.repeats.FIGURES`."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of the table."""

    cell: str
    packages: dict[str, str]
    python: str
    outcomes: dict[str, int]
    """The number of runs by outcome."""
    finding: str
    """The cause of the hang, the reason, or the codes of findings, of the first run that has one.
    """
    figures: dict[str, float] = {}
    """The median of each figure over the runs that have it."""
    changed: tuple[str, ...] = ()
    """What is not as in the cell before along an axis: `outcome`, `finding`, or figures."""
    run: str | None = None


class MatrixResult(msgspec.Struct, frozen=True, kw_only=True):
    """matrix.json."""

    schema: int = 1
    harness_version: str
    rows: tuple[Row, ...] = ()
    runs: tuple[Ran, ...] = ()
    interrupted: bool = False


def carry_out(
    plan: Plan,
    folder: Path,
    ran: Sequence[Ran],
    command: Sequence[str],
    jobs: int,
    told: Callable[[Ran], None],
) -> MatrixResult:
    """Run the cells that have no run yet, `jobs` at the same time. The state in `folder` is saved
    after each."""
    runs = {one.cell: one for one in ran}
    interrupted = False
    try:
        for one in _each(plan, folder, runs, command, jobs):
            if one.interrupted:
                interrupted = True
                break
            runs[one.cell] = one
            save_state(folder, list(runs.values()))
            told(one)
    except KeyboardInterrupt:
        interrupted = True
    order = [runs[cell.name] for cell in plan.cells if cell.name in runs]
    return MatrixResult(
        harness_version=plan.harness_version,
        rows=rows(plan, order),
        runs=tuple(order),
        interrupted=interrupted,
    )


def _each(
    plan: Plan, folder: Path, known: dict[str, Ran], command: Sequence[str], jobs: int
) -> Iterator[Ran]:
    """The run of each cell that is not `known`, as it ends."""
    cells = [cell for cell in plan.cells if cell.name not in known]
    if jobs == 1:
        for cell in cells:
            yield probe.run(plan, cell, folder, command)
        return
    # A supervisor handles signals, for which it needs the main thread of a process.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(cells) or 1), mp_context=context) as pool:
        open_runs: set[Future[Ran]] = {
            pool.submit(probe.run, plan, cell, folder, command) for cell in cells
        }
        try:
            while open_runs:
                ended, open_runs = wait(open_runs, return_when=FIRST_COMPLETED)
                for future in ended:
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def rows(plan: Plan, runs: Sequence[Ran]) -> tuple[Row, ...]:
    """The table. Each row says what is not as in the one before it along an axis. Pure."""
    cells = {cell.name: cell for cell in plan.cells}
    made: list[Row] = []
    for one in runs:
        cell = cells[one.cell]
        row = Row(
            cell=one.cell,
            packages=cell.packages,
            python=cell.python,
            outcomes=dict(Counter(run.outcome.value for run in one.symptoms)),
            finding=_finding(one.symptoms),
            figures=dict(_figures(one.symptoms)),
            run=one.run,
        )
        made.append(msgspec.structs.replace(row, changed=_changed(_before(made, row), row)))
    return tuple(made)


def _before(made: Sequence[Row], row: Row) -> Row | None:
    """The row before `row` along one axis: that of the packages, else that of Python.

    A skipped cell says nothing: the one before it is what the next is compared with.
    """
    ran = [one for one in reversed(made) if "skipped" not in one.outcomes]
    along = [
        one
        for one in ran
        if one.python == row.python
        and sum(one.packages[name] != row.packages[name] for name in row.packages) == 1
    ]
    across = [one for one in ran if one.packages == row.packages]
    return next(iter([*along, *across]), None)


def _finding(runs: Sequence[Symptoms]) -> str:
    for run in runs:
        if run.outcome is not Outcome.COMPLETED:
            return run.summary.removeprefix(f"{run.outcome.value}: ").removeprefix(
                f"{run.outcome.value} "
            )
    return ", ".join(dict.fromkeys(code for run in runs for code in run.notable))


def _figures(runs: Sequence[Symptoms]) -> Iterator[tuple[str, float]]:
    for name in FIGURES.values():
        spread = repeats.spread([run.figures[name] for run in runs if name in run.figures])
        if spread is not None:
            yield name, spread.median


def _changed(before: Row | None, row: Row) -> tuple[str, ...]:
    if before is None or "skipped" in row.outcomes:
        return ()
    changed = []
    if set(before.outcomes) != set(row.outcomes):
        changed.append("outcome")
    if before.finding != row.finding:
        changed.append("finding")
    for name, value in row.figures.items():
        old = before.figures.get(name)
        if old and value and max(value / old, old / value) > TIMES:
            changed.append(name)
    return tuple(changed)
