"""`harness run-all`: the whole ladder."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli import continuing, help, ladders, options, selection
from harness.errors import UsageError
from harness.model import ScenarioInfo


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "run-all",
        "Run the training step in every variation, each in a process of its own, and compare the "
        "variations to find the cause of a problem.",
        usage="[-- COMMAND [ARGUMENT ...]]",
        examples=(
            "harness run-all --steps 10 --model mlx-community/SmolLM-135M-4bit",
            "harness run-all --repeat 5 --jobs 2",
            "harness run-all -k 'compiled or lora' --skip tiny_model",
            "harness run-all --own my_scenario.py",
            "harness run-all --variants builtin:environment -- python train.py",
        ),
        exits=help.RUN_EXITS,
    )
    _add_options(parser)
    parser.set_defaults(command=run)


def _add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("arguments")
    group.add_argument(
        "argv", nargs="*", metavar="COMMAND", help=f"the command of {ladders.NAME}, after --"
    )
    group = parser.add_argument_group("scenarios")
    group.add_argument(
        "--variants", type=Path, metavar=f"FILE.toml|{ladders.NAME}",
        help="run the variants of your own command that FILE.toml describes; or with "
        f"{ladders.NAME} the command after -- with one setting of its environment changed at a "
        "time, each until it is sure, at most --repeat N times (default: run the shipped "
        "scenarios)",
    )  # fmt: skip
    group.add_argument(
        "--own", type=Path, metavar="FILE",
        help="run the training step of your scenario FILE in every variation that can be made of "
        "it (default: the step of the harness)",
    )  # fmt: skip
    group.add_argument(
        "--until-decided", action="store_true",
        help="stop when no remaining scenario can change the diagnosis",
    )  # fmt: skip
    group.add_argument(
        "-k", dest="chosen", type=selection.expression, metavar="EXPR",
        help="run the scenarios whose names match EXPR, such as 'compiled and not lora' "
        "(default: run all of them)",
    )  # fmt: skip
    group.add_argument(
        "--skip", type=selection.names, default=(), metavar="NAMES",
        help="do not run these scenarios, separated by commas (default: run all of them)",
    )  # fmt: skip
    group.add_argument(
        "--continue", dest="earlier", type=Path, metavar="RUN",
        help="add the scenarios that the run in the folder RUN does not have, and use its settings "
        "(default: make a new run)",
    )  # fmt: skip
    options.add_training(parser)
    options.add_running(parser)


def run(arguments: argparse.Namespace) -> int:
    from harness.cli import running
    from harness.session import plan, variants

    if arguments.until_decided and arguments.repeat > 1:
        raise UsageError("--until-decided cannot be used with --repeat; omit one of them")
    if arguments.variants is not None:
        if arguments.earlier is not None:
            raise UsageError("--continue cannot be used with --variants; omit one of them")
        for name in ("until_decided", "own"):
            if getattr(arguments, name):
                option = name.replace("_", "-")
                raise UsageError(f"--{option} cannot be used with --variants; omit it")
        if str(arguments.variants) == ladders.NAME:
            given = continuing.given_options(arguments.words, _add_options)
            return ladders.run(arguments, "repeat" in given)
        _no_command(arguments)
        infos = selection.choose(
            variants.load(arguments.variants), arguments.chosen, arguments.skip
        )
        runs = plan.commands(infos, arguments.repeat)
        return running.carry_out(arguments, runs, None)
    _no_command(arguments)
    if arguments.own is not None and arguments.hostfile is not None:
        raise UsageError("--own cannot be used with --hostfile; omit one of them")
    if arguments.earlier is None:
        infos = _chosen(arguments, arguments.own)
        return running.carry_out(arguments, *options.planned(arguments, infos))
    from harness.session import resume

    if arguments.own is not None:
        raise UsageError("--own cannot be used with --continue; omit it")
    with resume.opened(arguments.earlier) as earlier:
        continuing.check(arguments, earlier, _add_options)
        infos = _chosen(arguments, resume.varied(earlier))
        missing = resume.missing(earlier, [info.name for info in infos])
        runs = resume.runs_to_add(earlier, missing, arguments.repeat)
        return running.carry_out(arguments, runs, earlier.plan.settings, earlier)


def _no_command(arguments: argparse.Namespace) -> None:
    if arguments.argv:
        raise UsageError(
            f"unexpected argument {arguments.argv[0]}; a command needs --variants {ladders.NAME}"
        )


def _chosen(arguments: argparse.Namespace, own: Path | None) -> list[ScenarioInfo]:
    """The scenarios to run, in the order that separates the hypotheses soonest."""
    from harness.analysis.diagnosis import diagnose
    from harness.scenario import load

    infos = load.ladder() if own is None else load.variations(own)
    named = {info.name: info for info in infos}
    ordered = [named[name] for name in diagnose.order(list(named))]
    return selection.choose(ordered, arguments.chosen, arguments.skip)
