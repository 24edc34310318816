"""`harness run-all`: the whole ladder."""

from __future__ import annotations

import argparse

from harness import scenario
from harness.cli import options, running


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "run-all",
        "run the training step in every variation, and compare",
        "harness run-all --steps 10 --model mlx-community/SmolLM-135M-4bit",
    )
    options.add_training(parser)
    options.add_running(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    return running.carry_out(arguments, scenario.ladder())
