"""Words, numbers and log lines as markdown can hold them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence

from harness.text import late
from harness.text.sanitize import sanitize

NOTHING = "–"
"""The cell of a table without a figure."""

_MARKUP = late.compile(r"([\\`*\[\]|~$])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_BLOCK = late.compile(r"^(\d*)([-+=#.)]+)(?=\s|$)")
"""Marks that would start a list, a title or a rule at the start of a line."""
_LINKED = late.compile(r"[@#](?=\S)|www(?=\.)|gh(?=-)|:(?=//)", re.IGNORECASE)
_BREAK = "\u200b"
"""A space of no width: GitHub links mentions and issues in the finished text, past any escape."""


def line(text: str, limit: int) -> str:
    """`text` as one plain line of at most `limit` characters."""
    text = " ".join(sanitize(text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cell(text: str, limit: int = 240) -> str:
    """`text` for a table's cell or a line of prose: no markup, no mention, no link of its own."""
    text = html.escape(line(text, limit), quote=False)
    text = _MARKUP.sub(lambda match: "\\" + match[0], text)
    return _unlinked(_BLOCK.sub(r"\1\\\2", text))


def heading(text: str, limit: int = 80) -> str:
    """`text` for a `<summary>`, where GitHub reads HTML and no markdown."""
    return _unlinked(html.escape(line(text, limit), quote=False))


def _unlinked(text: str) -> str:
    return _LINKED.sub(lambda match: match[0] + _BREAK, text)


def code(text: str, limit: int = 60) -> str:
    """`text` as a code span; as words where a span could not hold it."""
    text = line(text, limit)
    return cell(text, limit) if not text or set(text) & set("`|\\") else f"`{text}`"


def fence(text: str, language: str = "") -> str:
    """`text` in a fence longer than any run of backticks in it: nothing in it can end it."""
    text = sanitize(text).rstrip()
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    mark = "`" * max(3, longest + 1)
    return f"{mark}{language}\n{text}\n{mark}"


def details(summary: str, body: str) -> str:
    """A block that opens on a click. GitHub wants the empty lines."""
    return f"<details>\n<summary>{heading(summary)}</summary>\n\n{body}\n\n</details>"


def table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], align: str = "", limit: int = 20_000
) -> str:
    """A markdown table; cells are ready-made markdown.

    `align` has one of `l` and `r` a column. Rows that would make it longer than `limit` characters
    are left out whole, from the end, and counted below it.
    """
    marks = {"l": ":--", "r": "--:"}
    lines = [_row(titles), _row([marks[a] for a in align or "l" * len(titles)])]
    room = limit - sum(map(len, lines))
    rest = 0
    for text in map(_row, rows):
        room -= len(text) + 1
        if room >= 0:
            lines.append(text)
        else:
            rest += 1
    more = f"\n\n*{rest} more rows are left out; run.json has them.*" if rest else ""
    return "\n".join(lines) + more


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def known(value: float | None, write: Callable[[float], str]) -> str:
    """Format a figure by `write`; a dash where there is none."""
    return NOTHING if value is None else write(value)
