"""`harness run`: some scenarios, by the name of a shipped one or by file."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli import continuing, help, options
from harness.scenario import load


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "run",
        "Run the scenarios that you name: shipped scenarios, scenario files of your own, or all "
        "files of a folder.",
        usage="NAME|FILE.py|FOLDER ...",
        examples=(
            "harness run baseline_update my_scenario.py --steps 20",
            "harness run sgd_step --continue reports/20260101-120000-ab12",
        ),
        exits=help.RUN_EXITS,
    )
    _add_options(parser)
    parser.set_defaults(command=run)


def _add_options(parser: argparse.ArgumentParser) -> None:
    options.add_scenarios(
        parser, "+", metavar="NAME|FILE.py|FOLDER", help="scenarios to run (see: harness list)"
    )
    parser.add_argument(
        "--continue", dest="earlier", type=Path, metavar="RUN",
        help="add the results to the run in the folder RUN and use its settings; a scenario that "
        "RUN has is repeated (default: make a new run)",
    )  # fmt: skip
    options.add_training(parser)
    options.add_running(parser)


def run(arguments: argparse.Namespace) -> int:
    from harness.cli import running

    if arguments.earlier is None:
        infos = load.find(arguments.scenario)
        return running.carry_out(arguments, *options.planned(arguments, infos))
    from harness.session import resume

    with resume.opened(arguments.earlier) as earlier:
        continuing.check(arguments, earlier, _add_options)
        runs = resume.runs_to_add(earlier, arguments.scenario, arguments.repeat)
        return running.carry_out(arguments, runs, earlier.plan.settings, earlier)
