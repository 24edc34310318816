"""`harness completion`: the completion of commands, options and scenarios in a shell."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Collection, Sequence

import argcomplete
from argcomplete.shell_integration import shellcode

from harness.cli import help
from harness.errors import Exit
from harness.text import invocation

SHELLS = ("bash", "zsh", "fish")


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "completion",
        "Print the script that makes a shell complete commands, options and scenarios.",
        usage="SHELL",
        examples=('harness completion bash    # in ~/.bashrc: eval "$(harness completion bash)"',),
        exits={Exit.OK: "the script was printed", Exit.USAGE: "the command line is wrong"},
    )
    group = parser.add_argument_group("arguments")
    group.add_argument(
        "shell", choices=SHELLS, metavar="SHELL", help=f"the shell: {', '.join(SHELLS)}"
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    script = shellcode(list(invocation.SCRIPTS), shell=arguments.shell)
    print(json.dumps({"shell": arguments.shell, "script": script}) if arguments.json else script)
    return Exit.OK


def answer(
    commands: Collection[str], parser: Callable[[Sequence[str]], argparse.ArgumentParser]
) -> None:
    """Print what the word under the cursor of the shell can become, and exit.

    `parser` makes the parser of the command that the line begins with, one of `commands`.
    """
    line = os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT", "0"))]
    words = line.split()[1:]
    named = words[:1] if len(words) > 1 or line.endswith(" ") else []
    if named and named[0] in commands:
        top = parser(named)
    else:
        # Only the names of the commands are needed: no command is imported.
        top = argparse.ArgumentParser(prog="harness")
        known = top.add_subparsers()
        for name in commands:
            known.add_parser(name)
    argcomplete.autocomplete(top, always_complete_options=False)
