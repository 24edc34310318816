"""The command line: one module a command, each with `add(subparsers)` and `run(arguments)`.

A module is imported when its command is named, and of some what `run` needs only when it runs: a
shell that completes a word starts us anew at each press of a key.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from harness import __version__
from harness.errors import Exit, HarnessError

COMMANDS = {
    "run-all": "run_all",
    "run": "run",
    "watch": "watch",
    "attach": "attach",
    "list": "list_",
    "report": "report",
    "compare": "compare",
    "selftest": "selftest",
    "doctor": "doctor",
    "completion": "completion",
}
"""The commands, and the modules here that they are in."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line: argparse would print the whole usage above it."""
        self.exit(Exit.USAGE, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    if argv is not None:
        return _main(argv)
    _complete_streams()
    code = _main(sys.argv[1:])
    # All is over: a Ctrl-C while the interpreter ends could only spoil the exit code.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


def _complete_streams() -> None:
    """Give us those of the three streams that we were started without (`<&-`, as by a daemon).

    Else their numbers would be those of the next files that are opened.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number is taken
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _main(words: Sequence[str]) -> int:
    if "_ARGCOMPLETE" in os.environ:
        from harness.cli import completion

        completion.answer(COMMANDS, parser)
    arguments = parser(words).parse_args(words)
    arguments.words = words
    try:
        code = arguments.command(arguments)
        sys.stdout.flush()
        return int(code)
    except HarnessError as error:
        print(f"harness: error: {error}", file=sys.stderr)
        return error.exit
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing left to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.INTERNAL
    except OSError as error:
        print(f"harness: error: {error}", file=sys.stderr)
        return Exit.INTERNAL
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception:
        # Ours, and not the user's: the whole traceback is what a report of it needs.
        traceback.print_exc()
        return Exit.INTERNAL


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of all commands, or of the one that `words` begin with."""
    top = _Parser(
        prog="harness",
        description="Finds out why an MLX training step hangs, diverges, leaks or learns nothing.",
    )
    top.add_argument("--version", action="version", version=f"harness {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name in words[:1] if words and words[0] in COMMANDS else COMMANDS:
        import_module(f"harness.cli.{COMMANDS[name]}").add(commands)
    return top
