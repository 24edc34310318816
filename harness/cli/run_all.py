"""`harness run-all`: the whole ladder."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli import options
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
        "--variants",
        type=Path,
        metavar="FILE.toml",
        help="run the variants of a command of your own that the file describes, not the ladder",
    )
    parser.add_argument(
        "--until-decided",
        action="store_true",
        help="start nothing more once nothing left could change the diagnosis",
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from harness.analysis.diagnosis import diagnose
    from harness.cli import running
    from harness.scenario import load
    from harness.session import plan, variants

    if arguments.until_decided and arguments.repeat > 1:
        raise UsageError("--until-decided leaves out what --repeat asks for: give one of them")
    if arguments.variants is not None:
        if arguments.until_decided:
            raise UsageError("--until-decided is for the ladder; variants are all run")
        runs = plan.commands(variants.load(arguments.variants), arguments.repeat)
        return running.carry_out(arguments, runs, None)
    ladder = {info.name: info for info in load.ladder()}
    # In the order that tells the hypotheses apart soonest.
    infos = [ladder[name] for name in diagnose.order(list(ladder))]
    return running.carry_out(arguments, *options.planned(arguments, infos))
