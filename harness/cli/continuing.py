"""`--continue`: the options of a run that is continued are those that it was made with."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from harness.cli import options
from harness.errors import UsageError
from harness.model import Settings

if TYPE_CHECKING:
    from harness.session.resume import EarlierRun

_NOT_GIVEN = object()
NAMES = {"collective_beats": "no-collective-beats"}
"""The options whose name differs from the attribute that they set."""
AddOptions = Callable[[argparse.ArgumentParser], None]


def check(arguments: argparse.Namespace, earlier: EarlierRun, add_options: AddOptions) -> None:
    """Raise UsageError for an option that differs from the run that is continued.

    `add_options` adds the options of the command.
    """
    from harness.session import resume

    requested, how = options.settings(arguments), options.running(arguments)
    same = resume.options(earlier, how)
    for name in given_options(arguments.words, add_options):
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


def given_options(words: Sequence[str], add_options: AddOptions) -> Iterable[str]:
    """The names of the options in `words`, also of those that are set to their default."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_options(parser)
    parser.set_defaults(**{action.dest: _NOT_GIVEN for action in parser._actions})
    parsed, _ = parser.parse_known_args(list(words))
    return [name for name, value in vars(parsed).items() if value is not _NOT_GIVEN]
