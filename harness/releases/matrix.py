"""A matrix while it is under way: each cell is a run. Its table marks what changes."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import msgspec

from harness.model import Outcome
from harness.releases import probe
from harness.releases.crew import Crew, NoHostError
from harness.releases.folder import save_state
from harness.releases.plan import Plan, cell_of, label
from harness.releases.probe import Ran
from harness.releases.symptoms import Symptoms
from harness.stats import median

NAME = "matrix.json"
FACTOR, FACTOR_OF_FEW, MANY = 1.2, 1.5, 4
"""A figure is marked when it is this many times that of the cell before, or less than its part: the
first with this many runs of each cell, else the second."""
LEAST_S = 1e-3
"""Seconds by which a time must differ: nobody waits for less, and a timer is no better."""
TIMES = ("step_median_s", "step_first_s")
FIGURES = {"step": "step_median_s", "first": "step_first_s", "peak": "peak_over_p"}
"""The figures of the table: title, and name in `harness.analysis.repeats.FIGURES`."""

Values = dict[str, list[float]]


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
    """The changes from the cell before along an axis: `outcome`, `finding`, or figures."""
    run: str | None = None
    """The folder of its run; where its runs were carried out one by one, that of the first."""


class MatrixResult(msgspec.Struct, frozen=True, kw_only=True):
    """matrix.json."""

    schema: int = 1
    harness_version: str
    rows: tuple[Row, ...] = ()
    runs: tuple[Ran, ...] = ()
    missing: tuple[str, ...] = ()
    """The runs without a result."""
    twice: tuple[str, ...] = ()
    """The runs with several results, of which one counts."""
    interrupted: bool = False


def carry_out(
    plan: Plan,
    folder: Path,
    ran: Sequence[Ran],
    command: Sequence[str],
    jobs: int,
    told: Callable[[Ran], None],
    crew: Crew | None = None,
) -> MatrixResult:
    """Carry out the runs that have no result yet, `jobs` at the same time, or each on the next host
    of a `crew` that is free. The state in `folder` is saved after each.

    Runs for which no host is left are skipped, and not saved: they can be done later.
    """
    runs = list(ran)
    interrupted, lost = False, ""
    try:
        for one in _each(plan, folder, runs, command, jobs, crew):
            if one.interrupted:
                interrupted = True
                break
            runs.append(one)
            save_state(folder, runs)
            told(one)
    except KeyboardInterrupt:
        interrupted = True
    except NoHostError as error:
        lost = str(error)
    if lost:
        for number in remaining(plan, runs):
            runs.append(probe.skipped(cell_of(plan, number), lost, number))
            told(runs[-1])
    return joined(plan, runs, interrupted=interrupted)


def joined(plan: Plan, runs: Sequence[Ran], **more: Any) -> MatrixResult:
    """The result of `runs`. Pure."""
    order = {cell.name: at for at, cell in enumerate(plan.cells)}
    ordered = sorted(runs, key=lambda one: (order[one.cell], one.number or 0))
    return MatrixResult(
        harness_version=plan.harness_version,
        rows=rows(plan, ordered),
        runs=tuple(ordered),
        missing=tuple(label(plan, number) for number in remaining(plan, runs)),
        **more,
    )


def remaining(plan: Plan, runs: Sequence[Ran]) -> list[int]:
    """The numbers of the runs that have no result. Pure."""
    whole = {one.cell for one in runs if one.number is None}
    numbers = {one.number for one in runs}
    return [n for n in plan.runs if n not in numbers and cell_of(plan, n).name not in whole]


def _each(
    plan: Plan, folder: Path, runs: Sequence[Ran], command: Sequence[str], jobs: int,
    crew: Crew | None,
) -> Iterator[Ran]:  # fmt: skip
    """The runs that have no result yet, as they end."""
    numbers = remaining(plan, runs)
    if crew is not None:
        yield from crew.run(numbers)
        return
    left = Counter(cell_of(plan, number).name for number in numbers)
    # Here all runs of a cell are one, if none has been done elsewhere.
    whole = [cell for cell in plan.cells if left[cell.name] == plan.repeat]
    names = {cell.name for cell in whole}
    single = [n for n in numbers if cell_of(plan, n).name not in names]
    work = [(cell, None) for cell in whole] + [(cell_of(plan, n), n) for n in single]
    if jobs == 1:
        for cell, number in work:
            yield probe.run(plan, cell, folder, command, number)
        return
    # A supervisor handles signals, for which it needs the main thread of a process.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(work) or 1), mp_context=context) as pool:
        open_runs: set[Future[Ran]] = {
            pool.submit(probe.run, plan, cell, folder, command, number) for cell, number in work
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
    made: list[Row] = []
    values: dict[str, Values] = {}
    for cell in plan.cells:
        its = [one for one in runs if one.cell == cell.name]
        seen = [symptoms for one in its for symptoms in one.symptoms]
        if not seen:
            continue
        row = Row(
            cell=cell.name,
            packages=cell.packages,
            python=cell.python,
            outcomes=dict(Counter(run.outcome.value for run in seen)),
            finding=_finding(seen),
            figures={name: median(some) for name, some in _values(seen).items()},
            run=next((one.run for one in its if one.run is not None), None),
        )
        values[cell.name] = _values(seen)
        before = _before(made, row)
        changed = () if before is None else _changed(before, row, values[before.cell],
                                                     values[cell.name])  # fmt: skip
        made.append(msgspec.structs.replace(row, changed=changed))
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


def _values(runs: Sequence[Symptoms]) -> Values:
    """The values of each figure, one for each run that has it."""
    found = {
        name: [run.figures[name] for run in runs if name in run.figures]
        for name in FIGURES.values()
    }
    return {name: some for name, some in found.items() if some}


def _changed(before: Row, row: Row, old: Values, new: Values) -> tuple[str, ...]:
    """The changes from the row before; `old` and `new` have the values of their runs."""
    if "skipped" in row.outcomes:
        return ()
    changed = []
    if set(before.outcomes) != set(row.outcomes):
        changed.append("outcome")
    if before.finding != row.finding:
        changed.append("finding")
    changed += [name for name, some in new.items() if name in old and differ(name, old[name], some)]
    return tuple(changed)


def differ(name: str, old: Sequence[float], new: Sequence[float]) -> bool:
    """True if a figure differs by more than its own repeats do, and by enough to matter. Pure.

    The values of the two rows must not overlap. With so many runs of each, chance keeps four and
    four apart in 1 of 35 cases, and a fifth more is enough. With fewer runs, half more is asked.
    """
    if max(old) >= min(new) and max(new) >= min(old):
        return False
    low, high = sorted((median(old), median(new)))
    if low <= 0 or (name in TIMES and high - low < LEAST_S):
        return False
    return high / low > (FACTOR if min(len(old), len(new)) >= MANY else FACTOR_OF_FEW)
