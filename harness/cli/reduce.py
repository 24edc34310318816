"""`harness reduce`: from a failing program to one small file that still fails the same way."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from harness.cli import cells, consoles, continuing, help, options
from harness.errors import Exit, UsageError
from harness.text.units import duration, plural

if TYPE_CHECKING:
    from harness.reduce import Progress, Reduced

KEEP = ("outcome", "cause", "fingerprint", "finding")
PATIENCE_S = 2.0
WITHIN = "10m"


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "reduce",
        "Make one small file that still fails as a scenario or a script does. Settings, statements "
        "and arguments are left out as long as the same failure comes.",
        usage="FILE.py|-- COMMAND [ARGUMENT ...]",
        examples=(
            "harness reduce train.py",
            "harness reduce -- python train.py --steps 100",
            "harness reduce my_scenario.py --keep cause --within 3m",
        ),
        exits={
            Exit.OK: "the file that is left fails the same way, each time it runs alone",
            Exit.VERDICT: "it does not, or this was not checked",
            Exit.USAGE: f"{help.WRONG}, or it does not fail",
            Exit.INTERNAL: help.FAILED,
            Exit.INTERRUPTED: "interrupted; the best file so far is saved",
        },
    )
    group = parser.add_argument_group("arguments")
    group.add_argument("target", nargs="*", metavar="FILE.py|COMMAND",
        help="a scenario or a script; or a command that runs one, after --")  # fmt: skip
    group = parser.add_argument_group("reduction")
    add = group.add_argument
    add("--keep", choices=KEEP,
        help="what must stay the same: the outcome; also the cause of a hang or the kind of a "
        "crash; also who waits in which function (fingerprint); or a finding "
        "(default: fingerprint, or finding where the program completes)")  # fmt: skip
    add("--within", type=options.span, default=WITHIN, metavar="TIME",
        help="end after TIME, such as 3m, with the best so far (default: %(default)s)")  # fmt: skip
    add("--jobs", type=options.positive, metavar="N",
        help="runs at the same time (default: two for each processor)")  # fmt: skip
    add("--patience", type=options.positive_seconds, default=PATIENCE_S, metavar="SECONDS",
        help="how long a possible hang may last before it is called a hang without a proof "
        "(default: %(default)g)")  # fmt: skip
    options.add_training(parser)
    group = parser.add_argument_group("results")
    options.add_out(group)
    group.add_argument("-q", "--quiet", action="store_true", help="print the answer only")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from harness.reduce import reduce

    lines = cells.Lines(arguments.quiet)
    source = _source(arguments)
    try:
        result = reduce(
            source,
            keep=arguments.keep,
            jobs=arguments.jobs,
            out=arguments.out,
            deadline=arguments.within,
            on_progress=_Progress(lines),
            settings=options.settings(arguments),
            patience=arguments.patience,
        )
    except KeyboardInterrupt:
        lines.say("interrupted before there was a result")
        return Exit.INTERRUPTED
    _answer(result, lines)
    if arguments.json:
        print(json.dumps(dataclasses.asdict(result), indent=2, default=str))
    if result.interrupted and not result.verified:
        return Exit.INTERRUPTED
    return Exit.OK if result.verified else Exit.VERDICT


def _source(arguments: argparse.Namespace) -> Path | list[str]:
    words = list(arguments.words)
    if "--" in words:
        at = words.index("--")
        argv = words[at + 1 :]
        if arguments.target[: len(arguments.target) - len(argv)]:
            raise UsageError("give a file or a command, not both")
        if not argv:
            raise UsageError("give a command after --")
        for name in continuing.given_options(words[:at], options.add_training):
            raise UsageError(f"--{name.replace('_', '-')} is for scenarios; give it to the command")
        return argv
    if len(arguments.target) != 1:
        raise UsageError("give one file, or a command: FILE.py|-- COMMAND [ARGUMENT ...]")
    path = Path(arguments.target[0])
    if not path.is_file():
        raise UsageError(f"{path} is no file; give a scenario or a script")
    return path


class _Progress:
    """A line for the whole program, and for each pass that made it smaller."""

    def __init__(self, lines: cells.Lines) -> None:
        self._lines = lines
        self._seen = 0

    def __call__(self, progress: Progress) -> None:
        if progress.lines != self._seen:
            self._seen = progress.lines
            self._lines.note(
                f"  {progress.lines:>4} lines after {plural(progress.tries, 'run'):<9} "
                f"{progress.stage}"
            )


def _answer(result: Reduced, lines: cells.Lines) -> None:
    lines.say(
        f"{result.original_lines} lines became {result.lines}: {plural(result.tries, 'run')} in "
        f"{duration(result.seconds)}"
    )
    lines.say(f"it shows: {result.symptom}")
    if result.needs:
        lines.say(f"besides MLX it needs: {', '.join(result.needs)}")
    if result.verified:
        shown, runs = result.checked
        lines.say(f"checked: {shown} of {runs} runs of the file alone show it")
    elif result.interrupted:
        lines.say("interrupted; the file was not checked by running it alone")
    else:
        lines.say("not confirmed: it did not fail the same way in each of 3 runs of the file alone")
    consoles.say(consoles.console(sys.stderr, highlight=False), Text(f"result: {result.path}"))
