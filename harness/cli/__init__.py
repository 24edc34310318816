"""The command line: one module for each command, each with `add(commands)` and `run(arguments)`.

The module of a command is imported when the command is named. Some of them import what `run` needs
when it runs. A shell that completes a word starts this program at each press of a key.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NoReturn

from harness.cli import help
from harness.cli.commands import COMMANDS
from harness.errors import Exit, HarnessError, with_remedy

EXAMPLES = (
    "harness run-all --steps 10",
    "harness watch -- python train.py",
    "harness attach 12345",
)
EXITS: Mapping[Exit | str, str] = {
    Exit.OK: "everything completed",
    Exit.VERDICT: "a run hung, diverged, crashed or stayed unfinished",
    Exit.USAGE: help.WRONG,
    Exit.INTERNAL: help.FAILED,
    Exit.INTERRUPTED: help.INTERRUPTED,
}

WITH_DEFAULTS = ("run", "run-all", "watch", "attach", "selftest")
"""The commands whose options can have defaults in pyproject.toml."""

__all__ = ["COMMANDS", "main", "parser"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if argv is not None:
        return _main(argv)
    _complete_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A locale such as C has few characters: one that it lacks is escaped, as on stderr.
        sys.stdout.reconfigure(errors="backslashreplace")
    # Imports make tens of thousands of objects that stay. To look through them for garbage again
    # and again would take a tenth of a short run.
    gc.set_threshold(100_000)
    code = _main(sys.argv[1:])
    # From here on a Ctrl-C could only change the exit code.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


def _complete_streams() -> None:
    """Open the standard streams that this process was started without (`<&-`, as by a daemon).

    Without this, the next files that are opened get their numbers.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _main(words: Sequence[str]) -> int:
    try:
        try:
            return _carry_out(words)
        finally:
            sys.stdout.flush()
    except HarnessError as error:
        _tell(str(error))
        return error.exit
    except BrokenPipeError:
        # The reader of the output has gone (`| head`): no message can reach it.
        _drop_output()
        return Exit.INTERNAL
    except OSError as error:
        _tell(with_remedy(error))
        _drop_output()
        return Exit.INTERNAL
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception:
        # A defect of the harness: a report of it needs the whole traceback.
        traceback.print_exc()
        return Exit.INTERNAL


def _carry_out(words: Sequence[str]) -> int:
    """Carry out the command that `words` name. A wrong word, --help and --version raise
    SystemExit."""
    if "_ARGCOMPLETE" in os.environ:
        from harness.cli import completion

        completion.answer(COMMANDS, parser)
    top = parser(words)
    if not words:
        top.print_help(sys.stderr)
        return Exit.USAGE
    name = _command(words)
    if name is not None and name not in COMMANDS:
        _refuse(top, name)
    if name is not None:
        _use_project_defaults(top, name)
    arguments = top.parse_args(words)
    arguments.words = words
    return int(arguments.command(arguments))


def _tell(message: str) -> None:
    """Print the one line of an error. Its exit code stays where nobody reads the line."""
    with contextlib.suppress(OSError):
        print(f"harness: error: {message}", file=sys.stderr)


def _drop_output() -> None:
    """Let go of the output that cannot be written. The interpreter would try it again as it ends,
    and change the exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _use_project_defaults(top: argparse.ArgumentParser, name: str) -> None:
    """Take the defaults of the command `name` from `[tool.harness]`, if there is one."""
    if name not in WITH_DEFAULTS:
        return
    from harness.cli import defaults

    found = defaults.find()
    if found is not None:
        known = {option for one in WITH_DEFAULTS for option in defaults.options(_subparser(one))}
        defaults.apply(_subparser(name, top), *found, known)


def _subparser(name: str, top: argparse.ArgumentParser | None = None) -> argparse.ArgumentParser:
    """The parser of the command `name`."""
    actions = (top or parser([name]))._actions
    (commands,) = (one for one in actions if isinstance(one, argparse._SubParsersAction))
    found: argparse.ArgumentParser = commands.choices[name]
    return found


def _command(words: Sequence[str]) -> str | None:
    """The word that names the command. No option of the top parser takes a value."""
    return next((word for word in words if not word.startswith("-")), None)


def _refuse(top: argparse.ArgumentParser, name: str) -> NoReturn:
    import difflib

    close = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f"did you mean {close[0]}?" if close else f"use one of {', '.join(COMMANDS)}"
    top.error(f"unknown command {name}; {hint}")


def parser(words: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The parser of `words`, which has the options of the one command that they name.

    Without `words` it has the options of all commands.
    """
    top = help.Parser(
        prog="harness",
        usage="harness COMMAND [options]",
        description="Find out why an MLX training step hangs, diverges, leaks or learns nothing.",
        epilog=help.epilog(EXAMPLES, EXITS, "harness COMMAND --help, docs/reference/cli.md"),
    )
    top.add_argument(
        "-V", "--version", action=help.Version, help="print the versions of the harness and of MLX"
    )
    commands = top.add_subparsers(
        title="commands", required=True, metavar="COMMAND", prog="harness"
    )
    named = COMMANDS if words is None else (_command(words),)
    for name, command in COMMANDS.items():
        if name in named:
            import_module(f"harness.cli.{command.module}").add(commands)
        else:
            commands.add_parser(name, help=command.summary)
    return top
