"""`harness run`: some scenarios, shipped ones by name or one's own by file."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import options
from harness.errors import UsageError
from harness.model import Settings
from harness.scenario import load

if TYPE_CHECKING:
    from harness.session.resume import Earlier

_UNSAID = object()
NAMES = {"collective_beats": "no-collective-beats"}
"""Of options that are called otherwise than what they set."""


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "run",
        "run single scenarios, or one's own",
        "harness run baseline_update my_scenario.py --steps 20",
    )
    _add_options(parser)
    parser.set_defaults(command=run)


def _add_options(parser: argparse.ArgumentParser) -> None:
    options.add_scenarios(
        parser, "+", metavar="NAME|FILE.py|FOLDER", help="what to run; see: harness list"
    )
    parser.add_argument(
        "--continue", dest="earlier", type=Path, metavar="RUN",
        help="add it to the run in this folder, with the settings of that; a scenario that it has "
        "is repeated",
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
        runs = resume.added(earlier, arguments.scenario, arguments.repeat)
        return running.carry_out(arguments, runs, earlier.kept.settings, earlier)


def _check(arguments: argparse.Namespace, earlier: Earlier) -> None:
    """Raise UsageError for an option that wants something else than the run that is added to."""
    from harness.session import resume

    asked, how = options.settings(arguments), options.running(arguments)
    same = resume.options(earlier, how)
    for name in said(arguments.words):
        if name in Settings.__struct_fields__:
            given, there = getattr(asked, name), getattr(earlier.kept.settings, name)
        elif name == "out":
            given, there = how.out.resolve(), earlier.folder.resolve().parent
        elif name in (*resume.OPTIONS, "full"):
            given, there = getattr(how, name), getattr(same, name)
        else:
            continue
        if given != there:
            option = NAMES.get(name, name.replace("_", "-"))
            raise UsageError(
                f"--{option} is not as in {earlier.folder}, and what is added to a run has its "
                "settings: leave it out"
            )


def said(words: Sequence[str]) -> Iterable[str]:
    """The options that `words` of the command line give, also where that is the default."""
    parser = argparse.ArgumentParser()
    _add_options(parser)
    names = vars(parser.parse_args(["a scenario"]))
    parser.set_defaults(**dict.fromkeys(names, _UNSAID))
    found, _ = parser.parse_known_args(list(words))
    return [name for name, value in vars(found).items() if value is not _UNSAID]
