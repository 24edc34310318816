"""report.md: the first screen, the verdicts, the diagnosis, what differs; the rest is folded.

When the whole is longer than LIMIT, pieces are left out one by one, never a part of a table: kind
by kind in the order of DROPPED, and within a kind those of completed scenarios first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.report.input import Group, ReportInput, groups
from harness.report.sections.order import AFTER, BEFORE
from harness.report.sections.parts import (
    CHART,
    CODE,
    COMPLETED,
    DROPPED,
    EVIDENCE,
    FAILED,
    LOG,
    PARTS,
    RANKS,
    STACKS,
)
from harness.report.sections.verdicts import SYMBOLS
from harness.report.text import details
from harness.text.units import plural

LIMIT = 60_000
"""Characters. GitHub cuts an issue at 65,536; the rest is left to whoever attaches it."""
_NOTE = 400
"""Characters kept for the line that says what was left out."""

_PLURALS = {
    CHART: "charts of {}",
    LOG: "log tails of {}",
    CODE: "the code of {}",
    STACKS: "the stacks of {}",
    COMPLETED: "the sections of {} that completed",
    RANKS: "the ranks of {}",
    EVIDENCE: "the causes of {}",
    FAILED: "the sections of {} that did not",
}


@dataclass(frozen=True)
class Block:
    """A piece of a scenario's section."""

    text: str
    kind: str
    fine: bool
    """True where the scenario completed."""
    group: Group


def render(data: ReportInput) -> str:
    """The report of a run, at most LIMIT characters. Pure but for what `data` reads."""
    before = [text for section in BEFORE if (text := section(data))]
    after = [text for section in AFTER if (text := section(data))]
    every = groups(data.run)
    blocks = [block for group in every for block in _blocks(group, data)]
    folds = sum(len(details(group.name, "")) + 8 for group in every)
    room = LIMIT - _NOTE - len("\n\n## Scenarios") - folds - sum(len(t) + 2 for t in before + after)
    blocks_left, left_out = _fitted(blocks, room)
    scenarios = ["## Scenarios", *_folded(blocks_left)] if blocks_left else []
    return "\n\n".join([*before, *scenarios, *after, *_note(left_out)]) + "\n"


def _blocks(group: Group, data: ReportInput) -> Iterator[Block]:
    for kind, part in PARTS:
        if text := part(group, data):
            fine = group.fine
            yield Block(text, COMPLETED if kind == FAILED and fine else kind, fine, group)


def _folded(blocks: Sequence[Block]) -> Iterator[str]:
    """The blocks of each scenario, which open on a click."""
    for name, same in groupby(blocks, key=lambda block: block.group.name):
        of_group = list(same)
        symbol = SYMBOLS[of_group[0].group.worst.outcome]
        yield details(f"{symbol} {name}", "\n\n".join(block.text for block in of_group))


def _fitted(blocks: Sequence[Block], room: int) -> tuple[list[Block], list[Block]]:
    """Split blocks into those within `room` characters and those left out."""
    excess = sum(len(block.text) + 2 for block in blocks) - room
    dropped = set()
    # The first to go: by kind, completed before failed, the last before the first.
    order = sorted(
        range(len(blocks)),
        key=lambda i: (DROPPED.index(blocks[i].kind), not blocks[i].fine, -i),
    )
    for index in order:
        if excess <= 0:
            break
        excess -= len(blocks[index].text) + 2
        dropped.add(index)
    blocks_left = [block for i, block in enumerate(blocks) if i not in dropped]
    return blocks_left, [block for i, block in enumerate(blocks) if i in dropped]


def _note(left_out: Sequence[Block]) -> list[str]:
    if not left_out:
        return []
    counts = Counter(block.kind for block in left_out)
    parts = [_PLURALS[k].format(plural(counts[k], "scenario")) for k in DROPPED if counts[k]]
    return [
        f"*Left out to stay under {plural(LIMIT, 'character')}: {', '.join(parts)}. "
        "The run's folder has all of it.*"
    ]
