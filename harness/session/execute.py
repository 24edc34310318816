"""The execution of a plan: makes the folder of the run, runs it, and writes the reports there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError, NotWrittenError, UsageError
from harness.model import RunResult, Settings
from harness.observe import processes
from harness.session import resume
from harness.session.folder import explain, locked, new_folder
from harness.session.plan import Judge, Options, PlannedRun
from harness.session.under_way import Session
from harness.supervise import debug, nested, scheduler

if TYPE_CHECKING:
    from harness.supervise.terminal import Terminal


def execute(
    plan: Sequence[PlannedRun],
    settings: Settings | None,
    options: Options,
    observer: scheduler.Observer,
    command: Sequence[str],
    terminal: Terminal | None = None,
    earlier: resume.EarlierRun | None = None,
    judge: Judge | None = None,
) -> tuple[RunResult, Path]:
    """Run all of `plan`; returns the result and the folder that it was written to.

    With a `terminal`, the plan is one outside command that runs in it as if it was started there.
    With `earlier`, whose lock the caller holds, the results are added to that run. Runs that
    `judge` does not want are left out.

    Raises UsageError when the folder cannot be made, when processes cannot be observed, or when a
    worker refuses the settings. Raises HarnessError when the disk is full, or NotWrittenError,
    which has the result, when everything has been run.
    """
    processes.check()
    folder = earlier.folder if earlier else new_folder(options.out)
    session = Session(plan, settings, options, observer, command, folder, terminal, earlier, judge)
    try:
        # A terminal that is lent to a command has no place for the log.
        log = folder / debug.FILE if terminal is not None else None
        with nullcontext() if earlier else locked(folder), debug.writing(options.debug, log):
            run = session.run()
            nested.tell(run.results)
            if session.unwritten is not None:
                message = explain(session.unwritten, folder)
                raise NotWrittenError(message, run, session.published(), folder)
            return run, folder
    except UsageError:
        session.withdraw()
        raise
    except OSError as error:
        raise HarnessError(explain(error, folder)) from error
