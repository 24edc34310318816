"""The consoles of all commands: colors, width, and text that is folded between words."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

INDENT = " " * 6
"""The indent of what belongs to the line above, and of the rest of a line that is too long."""

WIDE_FILE = 200
"""The columns of a table in a file. rich takes 80, which folds or cuts the rows."""
_COLUMNS = 60
"""The columns of a terminal in which two columns of a table have room."""
_ROOM = 4
"""The times that an indent must fit into a line, or the usual one is taken."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich's own ends the process by exit code 1, which says that a run hung.
        raise BrokenPipeError


def console(stream: IO[str], **given: Any) -> Console:
    """A console for `stream`.

    FORCE_COLOR asks for colors alone: to rich it says that a file is a terminal too, which would
    fill a log with what is redrawn.
    """
    if os.environ.get("FORCE_COLOR") and not stream.isatty():
        given = {"force_terminal": False, "color_system": "standard", **given}
    return _Console(file=stream, **given)


def fold(text: Text, console: Console, indent: str = INDENT) -> Text:
    """`text` folded between words at the width of `console`; the rest of a line is indented."""
    width = console.width
    lines: list[Text] = []
    for line in text.split("\n"):
        line.expand_tabs(8)
        if line.cell_len <= width:
            lines.append(line)
            continue
        if line.plain.startswith(indent):
            rest = line[len(indent) :]
        else:
            first, rest = _first(line, console)
            lines.append(first)
        for piece in rest.wrap(console, max(1, width - len(indent))):
            piece.rstrip()
            lines.append(Text.assemble(indent, piece))
    return Text("\n").join(lines)


def _first(line: Text, console: Console) -> tuple[Text, Text]:
    """The part of a line that fits the width, and the rest of it."""
    first = line.wrap(console, console.width)[0]
    first.rstrip()
    rest = line[len(first.plain) :]
    return first, rest[len(rest.plain) - len(rest.plain.lstrip()) :]


def say(console: Console, text: Text, indent: str = INDENT) -> None:
    """Print `text`. A terminal gets it folded, a file as it is."""
    if len(indent) * _ROOM > console.width:
        indent = INDENT
    shown = fold(text, console, indent) if console.is_terminal else text
    console.print(shown, soft_wrap=True)


def pairs(console: Console, rows: Iterable[tuple[str, str]], head: tuple[str, str] | None) -> None:
    """Print names and what belongs to them, in two columns below `head`.

    A narrow terminal gets them below each other. A file gets each pair in a line.
    """
    if console.is_terminal and console.width < _COLUMNS:
        for name, text in rows:
            say(console, Text(name))
            say(console, Text(f"  {text}"), "  ")
        return
    if not console.is_terminal:
        console.width = WIDE_FILE
    table = Table(box=None, show_header=head is not None, padding=(0, 2, 0, 0))
    left, right = head or ("", "")
    table.add_column(left, no_wrap=True)
    table.add_column(right, overflow="fold")
    for name, text in rows:
        table.add_row(Text(name), Text(text))
    console.print(table)


def suggest(console: Console, before: str, command: str) -> None:
    """Print a command that can be copied. A terminal that is too narrow gets it in several lines,
    which the shell takes for one."""
    line = Text.assemble(before, " ", (command, "cyan"))
    if console.is_terminal and line.cell_len > console.width:
        line = Text.assemble(before, ("\n" + "\n".join(_broken(command, console.width)), "cyan"))
    console.print(line, soft_wrap=True)


def _broken(command: str, width: int) -> list[str]:
    """A command line in lines of at most `width` columns, broken between its words."""
    lines = [" "]
    for word in shlex.split(command):
        quoted = shlex.quote(word)
        if lines[-1].strip() and len(lines[-1]) + len(quoted) + 3 > width:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {quoted}"
    return lines
