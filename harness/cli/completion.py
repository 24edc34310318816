"""`harness completion`: what a shell needs to complete our commands, options and scenarios."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Collection, Sequence

import argcomplete
from argcomplete.shell_integration import shellcode

from harness.cli import options
from harness.errors import Exit

SHELLS = ("bash", "zsh", "fish")


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "completion",
        "print what makes a shell complete commands, options and scenarios",
        'harness completion bash    # in ~/.bashrc: eval "$(harness completion bash)"',
    )
    parser.add_argument("shell", choices=SHELLS, help="for which shell")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    script = shellcode(["harness"], shell=arguments.shell)
    print(json.dumps({"shell": arguments.shell, "script": script}) if arguments.json else script)
    return Exit.OK


def answer(
    commands: Collection[str], parser: Callable[[Sequence[str]], argparse.ArgumentParser]
) -> None:
    """Tell the shell that started us what the word under its cursor may become, and exit.

    `parser` makes the parser of the one of our `commands` that a line begins with.
    """
    line = os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT", "0"))]
    words = line.split()[1:]
    named = words[:1] if len(words) > 1 or line.endswith(" ") else []
    if named and named[0] in commands:
        top = parser(named)
    else:
        # Their names alone are asked for: none of them is imported.
        top = argparse.ArgumentParser(prog="harness")
        known = top.add_subparsers()
        for name in commands:
            known.add_parser(name)
    argcomplete.autocomplete(top, always_complete_options=False)
