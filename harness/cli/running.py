"""The part that `run` and `run-all` have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import msgspec

from harness.analysis import failing
from harness.cli import options
from harness.cli.console import screen
from harness.cli.outcome import Executed
from harness.model import RunResult, Settings
from harness.report.github import commands as annotate
from harness.session import resume
from harness.session.execute import execute
from harness.session.plan import Judge, PlannedRun
from harness.session.resume import EarlierRun


def carry_out(
    arguments: argparse.Namespace,
    runs: Sequence[PlannedRun],
    settings: Settings | None,
    earlier: EarlierRun | None = None,
    judge: Judge | None = None,
    least: int | None = None,
) -> int:
    """Run the plan, add the results to `earlier`, and write the reports; returns the exit code.

    With a `judge`, `least` runs are sure to be needed.
    """
    how = options.running(arguments)
    if earlier is not None:
        how = resume.options(earlier, how)
    with screen(least or len(runs), quiet=arguments.quiet, verbose=arguments.verbose) as observer:
        command = ["harness", *sys.argv[1:]]
        done = Executed(
            lambda: execute(runs, settings, how, observer, command, earlier=earlier, judge=judge),
            observer,
        )
    chosen = arguments.fail_on or failing.DEFAULT
    done.annotate(arguments, lambda run, root: annotate(run, chosen, root))
    if arguments.json:
        print(done.document, end="")
    return options.exit_code(_own(done.result, runs), arguments)


def _own(result: RunResult, runs: Sequence[PlannedRun]) -> RunResult:
    """The part of `result` that this command ran: the exit code is about no other."""
    if not result.continued:
        return result
    mine = {(run.info.name, run.repeat) for run in runs}
    return msgspec.structs.replace(
        result,
        results=tuple(run for run in result.results if (run.scenario, run.repeat) in mine),
        interrupted=result.continued[-1].interrupted,
    )
