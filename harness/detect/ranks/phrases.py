"""Ranks, places and times in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.detect.ranks.columns import Signature
from harness.detect.ranks.state import RankState
from harness.model.beats import BETWEEN
from harness.text import units

RUNS = 8
"""Runs of ranks that a sentence lists at most."""
CLAUSES = 4
"""Clauses that it lists at most, one for each kind of story."""
TEXT = 160
"""Characters of a text that somebody else wrote, at most."""


def joined(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def named(ranks: Iterable[int]) -> str:
    """`rank 2`, `ranks 0, 1 and 3`, `ranks 0 to 998`."""
    ordered = sorted(ranks)
    runs: list[list[int]] = []
    for rank in ordered:
        if runs and runs[-1][-1] == rank - 1:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    parts = [
        part
        for run in runs
        for part in ([f"{run[0]} to {run[-1]}"] if len(run) > 3 else map(str, run))
    ]
    if len(parts) > RUNS:
        parts = [*parts[: RUNS - 1], f"others, {len(ordered)} in all"]
    return f"rank{'s' * (len(ordered) > 1)} {joined(parts)}"


def few(clauses: Sequence[str]) -> list[str]:
    """`clauses`, or the first of many and how many there are."""
    more = len(clauses) - CLAUSES
    return [*clauses[:CLAUSES], *([f"and so on of {more} more"] if more > 0 else [])]


def are(ranks: Sequence[object], singular: str, plural: str) -> str:
    """`singular` for one rank, else `plural`."""
    return singular if len(ranks) == 1 else plural


def plural(clause: str) -> str:
    """`clause`, which follows `rank 2`, as it follows `ranks 2 and 3`."""
    verb, space, rest = clause.partition(" ")
    return _PLURAL.get(verb, verb.removesuffix("s")) + space + rest


_PLURAL = {"was": "were", "is": "are", "has": "have", "does": "do", "cannot": "cannot"}


def where(state: RankState) -> str:
    """`in step 4, phase eval`; empty of a command's rank that does not tell."""
    place = state.place
    if place is None:
        return "before its first beat" if state.says_end else ""
    if place.step < 0:
        return f"before the first step, phase {place.phase}"
    if place.phase == BETWEEN:
        return f"after its report of step {place.step}"
    return f"in step {place.step}, phase {place.phase}"


def shared(places: Iterable[str]) -> str:
    """The place of all, or the step of all; empty where they have none in common."""
    places = set(places)
    if len(places) == 1:
        return places.pop()
    steps = {place.partition(",")[0] for place in places}
    step = steps.pop()
    common = not steps and step.lstrip("(").startswith("in step ")
    return step + ")" * step.startswith("(") if common else ""


def collective(n: int, signature: Signature) -> str:
    """`all_sum #3`, counted from 0."""
    return f"{signature.op} #{n}"


def value(signature: Signature) -> str:
    """`float32[512, 64]`"""
    return f"{signature.dtype}[{', '.join(map(str, signature.shape))}]"


def issued(number: int) -> str:
    """`none`, `1 collective`, `2 collectives`."""
    return "none" if number == 0 else units.plural(number, "collective")


def cut(text: str) -> str:
    """`text` on one line, of at most `TEXT` characters."""
    line = " ".join(text.split())
    return line if len(line) <= TEXT else line[: TEXT - 3] + "..."


def hosts(states: Sequence[RankState]) -> str:
    """` on host b` for ranks of one host, ` on hosts a and b` of several; empty where unknown."""
    names = sorted({state.host for state in states if state.host})
    return f" on host{'s' * (len(names) > 1)} {joined(names[:RUNS])}" if names else ""
