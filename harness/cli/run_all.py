"""`harness run-all`: the whole ladder."""

from __future__ import annotations

import argparse

from harness import diagnose, scenario
from harness.cli import options, running
from harness.errors import UsageError


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "run-all",
        "run the training step in every variation, and compare",
        "harness run-all --steps 10 --model mlx-community/SmolLM-135M-4bit",
    )
    options.add_training(parser)
    options.add_running(parser)
    parser.add_argument(
        "--until-decided",
        action="store_true",
        help="start nothing more once nothing left could change the diagnosis",
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.until_decided and arguments.repeat > 1:
        raise UsageError("--until-decided leaves out what --repeat asks for: give one of them")
    ladder = {info.name: info for info in scenario.ladder()}
    # In the order that tells the hypotheses apart soonest.
    return running.carry_out(arguments, [ladder[name] for name in diagnose.order(list(ladder))])
