"""Words, numbers and log lines as markdown can hold them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.?")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


def seconds(value: float) -> str:
    """Three digits and a unit."""
    if value < 1e-3:
        return f"{1e6 * value:.3g} µs"
    if value < 1:
        return f"{1e3 * value:.3g} ms"
    return f"{value:.3g} s" if value < 1000 else f"{value:.0f} s"


def size(count: float | None) -> str:
    """Bytes with a binary unit; a dash for what is not known."""
    if count is None:
        return "–"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"


def cell(text: str, limit: int = 240) -> str:
    """`text` for a table's cell or a line of prose: one line, no markup, no mention of anybody."""
    text = plain(text)
    text = " ".join(text.split())
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", text)
    return text.replace("@", "@\u200b").replace("://", ":\u200b//")


def plain(text: str) -> str:
    """`text` without terminal sequences, unseen characters, and what was redrawn over."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n"))
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return _UNSEEN.sub("", "\n".join(lines))


def fence(text: str, language: str = "") -> str:
    """`text` in a fence longer than any run of backticks in it: nothing in it can end it."""
    text = plain(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    mark = "`" * max(3, longest + 1)
    return f"{mark}{language}\n{text.rstrip()}\n{mark}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """A markdown table; `align` has one of `l` and `r` a column. Cells are ready-made markdown."""
    marks = {"l": ":--", "r": "--:"}
    align = align or "l" * len(titles)
    lines = [titles, [marks[a] for a in align], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def details(summary: str, body: str) -> str:
    """A block that opens on a click. GitHub wants the empty lines."""
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"
