"""`harness watch`: any command, watched as a scenario would be."""

from __future__ import annotations

import argparse
import math
import signal
import sys

from harness.cli import github, options
from harness.errors import Exit, UsageError
from harness.model import Command, OnHang, Outcome, RunResult, ScenarioInfo
from harness.session import plan

OVERRULED = (Outcome.HUNG, Outcome.DIVERGED)
"""What is found of a command that its own exit code does not tell."""


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "watch",
        "run any command, and find out whether it hangs or diverges",
        "harness watch -- python -m mlx_lm lora --model my_model --train --data my_data",
    )
    parser.usage = "harness watch [options] -- COMMAND [ARGUMENT ...]"
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND", help="what to run")
    add = parser.add_argument
    add("--pattern", metavar="REGEX",
        help="find steps in the output by named groups, such as 'it (?P<step>\\d+) (?P<loss>\\S+)' "
        "(the format is recognised if not given)")  # fmt: skip
    add("--no-inject", dest="inject", action="store_false",
        help="do not make a Python that trains with mlx-lm report its steps")  # fmt: skip
    add("--exit-code", choices=("own", "verdict"), default="own",
        help="the command's own, but 1 if it hangs or diverges; or the verdict's, as of "
        "harness run (%(default)s)")  # fmt: skip
    add("--budget", type=options.positive_seconds, default=math.inf, metavar="SECONDS",
        help="after which the command is ended (never)")  # fmt: skip
    options.add_outcome(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from harness.cli.console import screen
    from harness.report import runjson
    from harness.report.github import commands
    from harness.session.execute import execute
    from harness.supervise.terminal import Terminal

    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not argv:
        raise UsageError("watch needs a command: harness watch -- COMMAND [ARGUMENT ...]")
    command = Command(argv=tuple(argv), pattern=arguments.pattern, inject=arguments.inject)
    info = ScenarioInfo(
        name=plan.name_of(argv), path="", summary="", doc="", source="", command=command
    )
    runs = plan.commands([info], 1)
    # With --json our stdout is the document's, and the command's is seen where prose goes.
    terminal = Terminal(stdout=2 if arguments.json else 1)
    with screen(1, arguments.quiet, arguments.verbose, terminal.fit) as observer:
        result, folder = execute(
            runs,
            None,
            plan.Options(
                out=arguments.out,
                budget=arguments.budget,
                full=arguments.full,
                on_hang=OnHang(arguments.on_hang),
            ),
            observer,
            ["harness", *sys.argv[1:]],
            terminal,
        )
        observer.summary(result, folder)
    github.show(arguments, folder, lambda run, root: commands(run, arguments.fail_on, root))
    if arguments.json:
        print(runjson.text(folder), end="")
    return exit_code(result, arguments)


def exit_code(result: RunResult, arguments: argparse.Namespace) -> int:
    (one,) = result.results
    if arguments.exit_code == "verdict":
        return options.exit_code(result, arguments)
    # A launcher returns 0 also when one of its ranks has died.
    if one.outcome in OVERRULED or (one.outcome is Outcome.CRASHED and one.exit_code == 0):
        return Exit.VERDICT
    if one.exit_code is not None:
        return one.exit_code
    known = signal.Signals.__members__.get(one.signal or "")
    return Exit.VERDICT if known is None else 128 + known
