"""report.md: the verdicts first, the diagnosis, what differs, each scenario, the environment last.

When the whole is longer than LIMIT, pieces are left out one by one, never a part of a table: kind
by kind in the order of DROPPED, and within a kind those of completed scenarios first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.report.charts import charts
from harness.report.input import Group, ReportInput, groups
from harness.report.sections import scenario, stacks
from harness.report.sections.attached import attached
from harness.report.sections.diagnosis import diagnosis
from harness.report.sections.differences import differences
from harness.report.sections.environment import environment
from harness.report.sections.known_issues import known_issues
from harness.report.sections.origin import origin
from harness.report.sections.ranks import ranks
from harness.report.sections.repeats import repeats
from harness.report.sections.verdicts import verdicts
from harness.text.units import plural

LIMIT = 60_000
"""Characters. GitHub cuts an issue at 65,536; the rest is left to whoever attaches it."""
_NOTE = 400
"""Characters kept for the line that says what was left out."""

Section = Callable[[ReportInput], str]
Part = Callable[[Group, ReportInput], str]

BEFORE: tuple[Section, ...] = (verdicts, known_issues, attached, diagnosis, repeats, differences)
"""These and AFTER always stay; their tables are bounded, so that together they fit."""
AFTER: tuple[Section, ...] = (environment,)

CHART, LOG, CODE, STACKS, COMPLETED, RANKS, EVIDENCE, FAILED = DROPPED = (
    "chart",
    "log tail",
    "code",
    "stacks",
    "section of a completed scenario",
    "ranks",
    "cause",
    "section",
)
"""The kinds of blocks that a too long report leaves out, the first kind first."""

PARTS: tuple[tuple[str, Part], ...] = (
    (FAILED, scenario.numbers),
    (EVIDENCE, scenario.cause),
    (EVIDENCE, origin),
    (RANKS, ranks),
    (STACKS, stacks.excerpt),
    (CHART, charts),
    (CODE, scenario.source),
    (LOG, scenario.log_tail),
)
"""The parts of a scenario's section, in the order in which they are read."""

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


def render(data: ReportInput) -> str:
    """The report of a run, at most LIMIT characters. Pure but for what `data` reads."""
    before = [text for section in BEFORE if (text := section(data))]
    after = [text for section in AFTER if (text := section(data))]
    blocks = [block for group in groups(data.run) for block in _blocks(group, data)]
    room = LIMIT - _NOTE - len("\n\n## Scenarios") - sum(len(t) + 2 for t in before + after)
    blocks_left, left_out = _fitted(blocks, room)
    scenarios = ["## Scenarios", *(block.text for block in blocks_left)] if blocks_left else []
    return "\n\n".join([*before, *scenarios, *after, *_note(left_out)]) + "\n"


def _blocks(group: Group, data: ReportInput) -> Iterator[Block]:
    for kind, part in PARTS:
        if text := part(group, data):
            fine = group.fine
            yield Block(text, COMPLETED if kind == FAILED and fine else kind, fine)


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
