"""`harness watch`: any command, watched as a scenario is."""

from __future__ import annotations

import argparse
import math
import signal
import sys

from harness.cli import help, memory_limit, options
from harness.errors import Exit, UsageError
from harness.model import Command, OnHang, Outcome, RunResult, ScenarioInfo, ScenarioResult
from harness.session import plan
from harness.text import invocation

OVERRULED = (Outcome.HUNG, Outcome.DIVERGED)
"""The outcomes that the exit code of a command does not show."""


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "watch",
        "Run any command in this terminal, and report if its training hangs or diverges.",
        usage="-- COMMAND [ARGUMENT ...]",
        examples=(
            "harness watch -- python -m mlx_lm lora --model my_model --train --data my_data",
            "harness watch --budget 3600 -- python train.py",
            "harness watch --memory-limit 24GiB --on-memory-signal USR1 -- python train.py",
        ),
        exits={
            Exit.VERDICT: "the command hung or diverged, or a rank of it crashed",
            Exit.USAGE: "the command line of harness is wrong",
            Exit.INTERNAL: help.FAILED,
            Exit.MEMORY: "its memory reached --memory-limit",
            Exit.INTERRUPTED: help.INTERRUPTED,
            "else": "the exit code of the command, or 128 + N if signal N ended it",
        },
    )
    group = parser.add_argument_group("arguments")
    group.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND",
        help="the command to run, after --")  # fmt: skip
    group = parser.add_argument_group("command")
    add = group.add_argument
    add("--pattern", metavar="REGEX",
        help="find the steps in the output by named groups, such as "
        "'it (?P<step>\\d+) (?P<loss>\\S+)' (default: recognize the format)")  # fmt: skip
    add("--no-inject", dest="inject", action="store_false",
        help="do not make a Python that trains with mlx-lm report its steps, nor a program in C "
        "pass on each line")  # fmt: skip
    add("--exit-code", choices=("own", "verdict"), default="own",
        help="own: the exit code of the command, or 1 if it hangs or diverges, or if --fail-on is "
        "given and says so; verdict: as harness run (default: %(default)s)")  # fmt: skip
    add("--budget", "--timeout", type=options.positive_seconds, default=math.inf, metavar="SECONDS",
        help="stop the command after SECONDS (default: never)")  # fmt: skip
    memory_limit.add(group)
    options.add_on_hang(group)
    options.add_patience(group, "600, and 20 times the longest such phase before")
    options.add_locate(group)
    options.add_results(
        parser,
        "debug.log in the folder of the run",
        "none beside the exit code of the command; with --exit-code verdict: that of harness run",
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from harness.analysis import failing
    from harness.cli.console import screen
    from harness.cli.outcome import Executed
    from harness.report.github import commands
    from harness.session.execute import execute
    from harness.supervise.terminal import Terminal

    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not argv:
        usage = f"{invocation.command('watch')} -- COMMAND [ARGUMENT ...]"
        raise UsageError(f"watch needs a command: {usage}")
    command = Command(argv=tuple(argv), pattern=arguments.pattern, inject=arguments.inject)
    info = ScenarioInfo(
        name=plan.name_of(argv), path="", summary="", doc="", source="", command=command
    )
    runs = plan.commands([info], 1)
    how = plan.Options(
        out=arguments.out,
        budget=arguments.budget,
        full=arguments.full,
        on_hang=OnHang(arguments.on_hang),
        patience=options.patience(arguments),
        notify=options.notify(arguments),
        locate=arguments.locate,
        memory=memory_limit.of(arguments),
        debug=arguments.debug,
    )
    # With --json, stdout has the document alone: the output of the command goes to stderr.
    terminal = Terminal(stdout=2 if arguments.json else 1)
    with screen(1, arguments.quiet, arguments.verbose, terminal.fit) as observer:
        words = ["harness", *sys.argv[1:]]
        done = Executed(lambda: execute(runs, None, how, observer, words, terminal), observer)
    usual = failing.DEFAULT if arguments.exit_code == "verdict" else failing.OUTCOMES
    chosen = arguments.fail_on or usual
    done.annotate(arguments, lambda run, root: commands(run, chosen, root))
    if arguments.json:
        print(done.document, end="")
    return exit_code(done.result, arguments)


def exit_code(result: RunResult, arguments: argparse.Namespace) -> int:
    """The exit code for the only command of `result`, by `--exit-code` and `--fail-on`."""
    if arguments.exit_code == "verdict":
        return options.exit_code(result, arguments)
    (watched,) = result.results
    own = _own(watched)
    # The command's own code says more of how it failed than ours.
    if own == Exit.OK and arguments.fail_on and options.is_failed(watched, arguments.fail_on):
        return Exit.VERDICT
    return own


def _own(watched: ScenarioResult) -> int:
    """The exit code of the command, or ours where that does not show what became of it."""
    if any(finding.code == "memory_limit" for finding in watched.findings):
        return Exit.MEMORY
    # A launcher returns 0 also when a rank died.
    crashed = watched.outcome is Outcome.CRASHED
    if watched.outcome in OVERRULED or (crashed and watched.exit_code == 0):
        return Exit.VERDICT
    if watched.exit_code is not None:
        return watched.exit_code
    known = signal.Signals.__members__.get(watched.signal or "")
    return Exit.VERDICT if known is None else 128 + known
