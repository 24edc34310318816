"""The command line: one module a command, each with `add(subparsers)` and `run(arguments)`."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from harness import __version__
from harness.cli import attach, compare, doctor, list_, report, run, run_all, selftest, watch
from harness.errors import Exit, HarnessError

COMMANDS: tuple[ModuleType, ...] = (
    run_all, run, watch, attach, list_, report, compare, selftest, doctor,
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line: argparse would print the whole usage above it."""
        self.exit(Exit.USAGE, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = parser().parse_args(argv)
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


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = _Parser(
        prog="harness",
        description="Finds out why an MLX training step hangs, diverges, leaks or learns nothing.",
    )
    top.add_argument("--version", action="version", version=f"harness {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add(commands)
    return top
