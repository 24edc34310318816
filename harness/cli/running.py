"""What `run` and `run-all` have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from harness.cli import github, options
from harness.execute import execute
from harness.model import Settings
from harness.plan import Run
from harness.report import runjson
from harness.report.github import commands as annotate
from harness.screen import screen


def carry_out(arguments: argparse.Namespace, runs: Sequence[Run], settings: Settings | None) -> int:
    """Run and report what is planned; returns the exit code."""
    how = options.running(arguments)
    with screen(len(runs), quiet=arguments.quiet, verbose=arguments.verbose) as observer:
        result, folder = execute(runs, settings, how, observer, ["harness", *sys.argv[1:]])
        observer.summary(result, folder)
    github.show(arguments, folder, lambda run, root: annotate(run, arguments.fail_on, root))
    if arguments.json:
        print(runjson.text(folder), end="")
    return options.exit_code(result, arguments)
