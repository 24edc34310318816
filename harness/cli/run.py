"""`harness run`: some scenarios, shipped ones by name or one's own by file."""

from __future__ import annotations

import argparse

from harness import scenario
from harness.cli import options


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "run",
        "run single scenarios, or one's own",
        "harness run baseline_update my_scenario.py --steps 20",
    )
    options.add_scenarios(
        parser, "+", metavar="NAME|FILE.py|FOLDER", help="what to run; see: harness list"
    )
    options.add_training(parser)
    options.add_running(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from harness.cli import running

    return running.carry_out(
        arguments, *options.planned(arguments, scenario.find(arguments.scenario))
    )
