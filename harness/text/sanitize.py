"""Foreign text without terminal sequences and invisible characters. Pure."""

from __future__ import annotations

import re
import unicodedata

from harness.text import late

_SEQUENCE = late.compile(
    r"(?:\x1b\[|\x9b)[0-9;:<=>?]*[ -/]*[@-~]"  # colors, the cursor
    r"|\x1b[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles, links and other strings
    r"|\x1b[ -/]*[0-~]?"
)
_UNCOMMON = late.compile(r"[^\n\t -~]")
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Unicode categories with nothing to see, or that no encoder or XML takes."""


def sanitize(text: str) -> str:
    """`text` without terminal sequences, unseen characters, and what was redrawn over."""
    text = _SEQUENCE.sub("", text.replace("\r\n", "\n"))
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return _UNCOMMON.sub(_visible, "\n".join(lines))


def _visible(match: re.Match[str]) -> str:
    return "" if unicodedata.category(match[0]) in _INVISIBLE else match[0]
