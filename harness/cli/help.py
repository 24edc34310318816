"""The parser of the command line: its errors, and the form of every help text."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from harness import __version__
from harness.cli.commands import COMMANDS, page
from harness.errors import Exit

Commands = Any
"""The type of what `add_subparsers` returns; argparse keeps it private."""

WRONG = "the command line, a setting or a scenario file is wrong"
FAILED = "the harness itself failed"
INTERRUPTED = "interrupted; the partial report is written"
RUN_EXITS: Mapping[Exit | str, str] = {
    Exit.OK: "every run completed, and no finding says that it is wrong",
    Exit.VERDICT: "a run had an outcome or a finding of --fail-on",
    Exit.USAGE: WRONG,
    Exit.INTERNAL: FAILED,
    Exit.INTERRUPTED: INTERRUPTED,
}
"""The exit codes of the commands that run scenarios."""


def width() -> int:
    """The columns of a help text. Longer lines are harder to read, also on a wide terminal."""
    return min(80, shutil.get_terminal_size().columns) - 2


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help texts of at most 80 columns, whose description and epilog keep their lines."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=width())

    def _split_lines(self, text: str, width: int) -> list[str]:
        # argparse breaks names such as mlx-lm and --fail-on at their hyphens.
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviated option, and that reports an error in one line."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": Formatter, **given})
        self._words: tuple[str, ...] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, but refuse unknown words here, where the options are known."""
        self._words = tuple(args or ())
        if self._subparsers is not None and (misspelled := self._unknown_option()):
            self.exit(Exit.USAGE, self._line(self._refusal(misspelled)))
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.exit(Exit.USAGE, self._line(self._refusal(unknown[0])))
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Exit with one line: argparse prints the whole usage above it."""
        # A misspelled option is often why another argument is missing.
        unknown = self._unknown_option()
        self.exit(Exit.USAGE, self._line(self._refusal(unknown) if unknown else message))

    def _line(self, message: str) -> str:
        return f"{self.prog}: error: {message}\n"

    def _unknown_option(self) -> str | None:
        """The first long option that this parser does not have."""
        if any(action.nargs == argparse.REMAINDER for action in self._actions):
            return None  # the words can be those of another command
        for word in self._words:
            if word == "--" or (self._subparsers is not None and not word.startswith("-")):
                return None
            if word.startswith("--") and word.partition("=")[0] not in self._option_string_actions:
                return word
        return None

    def _refusal(self, word: str) -> str:
        if not word.startswith("-"):
            return f"unexpected argument {word}; see: {self.prog} --help"
        import difflib

        name = word.partition("=")[0]
        # Without the dashes, which all of them share.
        known = [option[2:] for option in self._option_string_actions if option.startswith("--")]
        close = difflib.get_close_matches(name.lstrip("-"), known, 1)
        hint = f"did you mean --{close[0]}?" if close else f"see: {self.prog} --help"
        return f"unknown option {name}; {hint}"


class Version(argparse.Action):
    """Print the versions of the harness and of MLX. Neither MLX nor its metadata is read before."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(version())
        parser.exit()


def version() -> str:
    """The version of the harness, and of MLX or that there is none."""
    from importlib import metadata

    try:
        mlx = f"mlx {metadata.version('mlx')}"
    except metadata.PackageNotFoundError:
        mlx = "mlx not installed"
    return f"harness {__version__} ({mlx})"


def command(
    commands: Commands,
    name: str,
    description: str,
    *,
    usage: str,
    examples: Sequence[str],
    exits: Mapping[Exit | str, str],
) -> argparse.ArgumentParser:
    """The parser of one command, with the option --json, which all commands have.

    `usage` is what follows the command's name, without "[options]".
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=COMMANDS[name].summary,
        usage=f"harness {name} [options] {usage}".rstrip(),
        description=textwrap.fill(description, width(), break_on_hyphens=False),
        epilog=epilog(examples, exits, page(name)),
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document on stdout and nothing else"
    )
    return parser


def epilog(examples: Sequence[str], exits: Mapping[Exit | str, str], more: str) -> str:
    """The end of a help text: examples, exit codes, and the page that tells more."""
    lines = [f"example{'s' if len(examples) > 1 else ''}:", *(f"  {line}" for line in examples)]
    lines += ["", "exit codes:"]
    for code, meaning in exits.items():
        title = code if isinstance(code, str) else str(int(code))
        lines.append(
            textwrap.fill(
                meaning,
                width(),
                initial_indent=f"  {title:<6}",
                subsequent_indent=" " * 8,
                break_on_hyphens=False,
            )
        )
    return "\n".join([*lines, "", f"more: {more}"])
