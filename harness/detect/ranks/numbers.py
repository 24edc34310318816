"""The first place where ranks issued different collectives, where nothing tells the steps.

Ranks that work together issue the same ones in the same order, so the number of one is its name. A
rank that leaves one out goes on with the next: from there on what it issues is what the others
issue one place later. One that is behind has issued less, and does not differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from harness.detect.ranks.columns import BLOCK, Pattern, RankColumns, Signature
from harness.detect.ranks.mismatch import Mismatch
from harness.detect.ranks.phrases import are, collective, named, value
from harness.detect.ranks.state import RankState

CONTEXTS = (8, 4, 2, 1)
"""The number of collectives before one that say which is the usual one after them."""
HISTORY = 4
"""Blocks before the one in question that show what is usual."""


def mismatch_by_number(ranks: Sequence[RankState], blocks: Sequence[int]) -> Mismatch | None:
    """The earliest difference; `blocks` are those in which ranks are not at the same place."""
    for block in blocks:
        issued = {state.rank: _issued(state.issued, block, 1) for state in ranks}
        at = _differ(list(issued.values()))
        if at is not None:
            return _told(ranks, issued, block, at)
    return None


def _issued(columns: RankColumns, block: int, count: int) -> Pattern:
    """The collectives that it issued in `count` blocks from this one on."""
    return tuple(chain.from_iterable(columns.issued_in(block + i) for i in range(count)))


def _differ(patterns: Sequence[Pattern]) -> int | None:
    for at in range(max(map(len, patterns))):
        if len({pattern[at] for pattern in patterns if len(pattern) > at}) > 1:
            return at
    return None


def _told(ranks: Sequence[RankState], issued: dict[int, Pattern], block: int, at: int) -> Mismatch:
    there = {rank: pattern[at] for rank, pattern in issued.items() if len(pattern) > at}
    votes = Counter(there.values()).most_common()
    best = [one for one, many in votes if many == votes[0][1]]
    columns = {state.rank: state.issued for state in ranks}
    usual = best[0] if len(best) == 1 else _habit(columns[min(there)], block, at, best)
    tie = usual is None
    if usual is None:
        usual = best[0]
    odd = [rank for rank, one in there.items() if one != usual]
    right = next(rank for rank, one in there.items() if one == usual)
    signatures = columns[right].tables.signatures
    expected, found = (
        [signatures[one] for one in _issued(columns[rank], block, 2)[at:]]
        for rank in (right, odd[0])
    )
    n = block * BLOCK + at
    kind = _kind(expected, found)
    told = _words(kind, odd, expected, found, n)
    who = sorted(there if tie else odd)
    return Mismatch(
        step=None,
        n=n,
        kind=kind,
        odd=tuple(who),
        usual=tuple(expected),
        found=tuple(found),
        told=f"{named(who)} do not agree: {told}" if tie else told,
    )


def _habit(columns: RankColumns, block: int, at: int, best: Sequence[int]) -> int | None:
    """The one of `best` that mostly followed on what stands before; None where that does not
    tell."""
    first = max(0, block - HISTORY)
    before = _issued(columns, first, block - first + 1)[: (block - first) * BLOCK + at]
    for length in CONTEXTS:
        context = before[len(before) - length :]
        followed = Counter(
            before[i]
            for i in range(length, len(before))
            if before[i - length : i] == context and before[i] in best
        ).most_common(2)
        if followed and (len(followed) < 2 or followed[0][1] > followed[1][1]):
            return followed[0][0]
    return None


def _kind(usual: Sequence[Signature], found: Sequence[Signature]) -> str:
    if _goes_on(found, usual[1:]):
        return "missing"
    if _goes_on(usual, found[1:]):
        return "extra"
    a, b = usual[0], found[0]
    return "op" if a.op != b.op else "shape" if a.shape != b.shape else "dtype"


def _goes_on(one: Sequence[Signature], other: Sequence[Signature]) -> bool:
    """True if these are the same, as far as both are known."""
    common = min(len(one), len(other))
    return common > 0 and one[:common] == other[:common]


def _words(
    kind: str, odd: Sequence[int], usual: Sequence[Signature], found: Sequence[Signature], n: int
) -> str:
    who, its = named(odd), are(odd, "its", "their")
    if kind == "missing":
        return (
            f"{who} never issued {collective(n, usual[0])} of {value(usual[0])}: {its} #{n} is "
            f"{found[0].op} of {value(found[0])}, which is #{n + 1} of the others"
        )
    if kind == "extra":
        return (
            f"{who} issued {collective(n, found[0])} of {value(found[0])}, which the others did not"
        )
    if kind == "op":
        return f"{who} issued {found[0].op} as #{n}, the others {usual[0].op}"
    return (
        f"{who} issued {collective(n, found[0])} with {value(found[0])}, the others with "
        f"{value(usual[0])}"
    )
