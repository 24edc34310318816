"""`harness run-all`: the whole ladder."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli import help, options
from harness.errors import UsageError


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "run-all",
        "Run the training step in every variation, each in a process of its own, and compare the "
        "variations to find the cause of a problem.",
        usage="",
        examples=(
            "harness run-all --steps 10 --model mlx-community/SmolLM-135M-4bit",
            "harness run-all --repeat 5 --jobs 2",
        ),
        exits=help.RUN_EXITS,
    )
    group = parser.add_argument_group("scenarios")
    group.add_argument(
        "--variants", type=Path, metavar="FILE.toml",
        help="run the variants of your own command that FILE.toml describes (default: run the "
        "shipped scenarios)",
    )  # fmt: skip
    group.add_argument(
        "--until-decided", action="store_true",
        help="stop when no remaining scenario can change the diagnosis",
    )  # fmt: skip
    options.add_training(parser)
    options.add_running(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from harness.analysis.diagnosis import diagnose
    from harness.cli import running
    from harness.scenario import load
    from harness.session import plan, variants

    if arguments.until_decided and arguments.repeat > 1:
        raise UsageError("--until-decided cannot be used with --repeat; omit one of them")
    if arguments.variants is not None:
        if arguments.until_decided:
            raise UsageError("--until-decided cannot be used with --variants; omit it")
        runs = plan.commands(variants.load(arguments.variants), arguments.repeat)
        return running.carry_out(arguments, runs, None)
    ladder = {info.name: info for info in load.ladder()}
    # The order that separates the hypotheses soonest.
    infos = [ladder[name] for name in diagnose.order(list(ladder))]
    return running.carry_out(arguments, *options.planned(arguments, infos))
