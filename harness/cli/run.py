"""`harness run`: some scenarios, by the name of a shipped one or by file."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import help, options
from harness.errors import UsageError
from harness.model import Settings
from harness.scenario import load

if TYPE_CHECKING:
    from harness.session.resume import EarlierRun

_NOT_GIVEN = object()
NAMES = {"collective_beats": "no-collective-beats"}
"""The options whose name differs from the attribute that they set."""


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
        _check(arguments, earlier)
        runs = resume.runs_to_add(earlier, arguments.scenario, arguments.repeat)
        return running.carry_out(arguments, runs, earlier.plan.settings, earlier)


def _check(arguments: argparse.Namespace, earlier: EarlierRun) -> None:
    """Raise UsageError for an option that differs from the run that is continued."""
    from harness.session import resume

    requested, how = options.settings(arguments), options.running(arguments)
    same = resume.options(earlier, how)
    for name in given_options(arguments.words):
        if name in Settings.__struct_fields__:
            given, there = getattr(requested, name), getattr(earlier.plan.settings, name)
        elif name == "out":
            given, there = how.out.resolve(), earlier.folder.resolve().parent
        elif name in (*resume.OPTIONS, "full"):
            given, there = getattr(how, name), getattr(same, name)
        else:
            continue
        if given != there:
            option = NAMES.get(name, name.replace("_", "-"))
            raise UsageError(f"--{option} cannot differ from the run that is continued; omit it")


def given_options(words: Sequence[str]) -> Iterable[str]:
    """The names of the options in `words`, also of those that are set to their default."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    _add_options(parser)
    names = vars(parser.parse_args(["a scenario"]))
    parser.set_defaults(**dict.fromkeys(names, _NOT_GIVEN))
    parsed, _ = parser.parse_known_args(list(words))
    return [name for name, value in vars(parsed).items() if value is not _NOT_GIVEN]
