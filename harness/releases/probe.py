"""The run of one cell: its environment, then the target in it, under the supervisor as always."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.beats import record
from harness.errors import HarnessError, UsageError
from harness.model import Outcome, RunResult
from harness.model.settings import Interpreter
from harness.releases import environments, symptoms, versions
from harness.releases.environments import Environments
from harness.releases.installer import GivenUpError, NotInstalledError, find
from harness.releases.plan import BisectRequest, Cell, Plan
from harness.releases.symptoms import Symptoms
from harness.report import summary
from harness.session import plan as runs
from harness.session.execute import execute
from harness.session.plan import Options
from harness.supervise.scheduler import Silent


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one cell."""

    cell: str
    number: int | None = None
    """The number of the run in the plan; None for all runs of the cell."""
    host: str | None = None
    """The host that ran it, where it is not known to be this one."""
    symptoms: tuple[Symptoms, ...]
    """Those of each run; of one skipped run where there is no environment."""
    run: str | None = None
    """The folder of the run, relative to that of the whole; None where nothing was run."""
    prepared_s: float = 0.0
    """Seconds that the environment took."""
    ran_s: float = 0.0
    interrupted: bool = False


def prepare(plan: Plan, cell: Cell, environments: Environments) -> Interpreter:
    """The environment of `cell`. Raises NotInstalledError."""
    worker = plan.settings is not None
    if cell.own:
        return environments.own(cell.python, worker)
    return environments.made(cell.python, cell.requirements, plan.file, worker)


def run(
    plan: Plan, cell: Cell, folder: Path, command: Sequence[str], number: int | None = None
) -> Ran:
    """Run the target in `cell`, in a new folder below `folder`: all its runs, or the one `number`.

    Raises HarnessError when the harness fails. A cell that cannot be installed, or whose run is
    refused by its worker, is skipped. One for whose environment there was no time is interrupted:
    another time it may be had.
    """
    began = time.monotonic()
    try:
        interpreter = prepare(plan, cell, Environments(find()))
    except NotInstalledError as error:
        left_out = skipped(cell, str(error), number, time.monotonic() - began)
        return msgspec.structs.replace(left_out, interrupted=isinstance(error, GivenUpError))
    prepared = time.monotonic() - began
    options = Options(
        out=folder / cell.name,
        budget=plan.budget,
        patience=plan.patience,
        cold=plan.cold,
        full=plan.full,
        interpreter=interpreter,
    )
    repeat = plan.repeat if number is None else 1
    if plan.settings is None:
        planned = runs.commands([plan.target], repeat)
    else:
        planned = runs.make([plan.target], plan.settings, repeat, here=False)
    try:
        result, made = execute(planned, plan.settings, options, Silent(), command)
    except UsageError as error:
        return skipped(cell, str(error), number, prepared)
    wrong = _other_release(cell, result, made)
    if wrong:
        return skipped(cell, wrong, number, prepared)
    return Ran(
        cell=cell.name,
        number=number,
        symptoms=tuple(symptoms.of(one, summary.verdict(one)) for one in result.results),
        run=os.path.relpath(made, folder),
        prepared_s=prepared,
        ran_s=time.monotonic() - began - prepared,
        interrupted=result.interrupted,
    )


def listed(plan: Plan, cell: Cell, request: BisectRequest, pre: bool) -> tuple[str, ...]:
    """The releases between the two ends, as the index has them for the Python of `cell`, from the
    oldest on.

    Raises HarnessError when `cell` has no environment or the index does not answer.
    """
    installer = find()
    try:
        interpreter = prepare(plan, cell, Environments(installer))
    except GivenUpError:
        raise
    except NotInstalledError as error:
        raise HarnessError(
            f"the environment of {cell.name} cannot be made: {error}; --good and --bad must be "
            "releases that the index has for this Python"
        ) from None
    ends = (request.good, request.bad)
    known = installer.releases(request.package, Path(interpreter.python), *ends, pre)
    return versions.between(known, *ends, pre)


def pages(plan: Plan, cell: Cell, package: str) -> tuple[tuple[str, str], ...]:
    """The addresses in the metadata of a package, with their labels."""
    try:
        interpreter = prepare(plan, cell, Environments(find()))
    except NotInstalledError:
        return ()
    return environments.pages(interpreter, package)


def skipped(cell: Cell, reason: str, number: int | None = None, prepared: float = 0.0) -> Ran:
    """The outcome of a cell that was not run, for `reason`, after `prepared` seconds."""
    seen = Symptoms(outcome=Outcome.SKIPPED, summary=f"skipped: {reason}")
    return Ran(cell=cell.name, number=number, symptoms=(seen,), prepared_s=prepared)


def _other_release(cell: Cell, result: RunResult, folder: Path) -> str:
    """The difference, where another MLX was imported than that of the cell."""
    wanted = cell.packages.get("mlx")
    if result.settings is None:
        # What a command imported is known where it was seen.
        imported = [result.environment.versions.get("mlx")]
    else:
        beats = [record.load(folder / r.scenario / str(r.repeat)).mlx for r in result.results]
        imported = [beat.version for beat in beats if beat is not None]
    other = [version for version in imported if version and version != wanted]
    if wanted is None or not other:
        return ""
    return f"mlx {other[0]} was imported, and not {wanted}: take it off PATH and PYTHONPATH"
