"""The first place where the ranks issued different collectives.

They run when the graph is evaluated, in the order in which they were issued, and the backend pairs
them by that order alone. So a rank that leaves one out does not stop there: it goes on with wrong
pairs, and hangs steps later or at the very end. What it did wrong shows only in what was issued.

A rank that is behind is not one that differs. Its step counts as complete when it has left it; when
nothing moves any more (`settled`), also when its graph stands.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import chain

from harness.detect.ranks.columns import Pattern, RankColumns, Signature
from harness.detect.ranks.mismatch import Mismatch
from harness.detect.ranks.numbers import mismatch_by_number
from harness.detect.ranks.phrases import are, collective, issued, named, value
from harness.detect.ranks.state import RankState


def first_mismatch(ranks: Sequence[RankState], settled: Collection[int]) -> Mismatch | None:
    """The earliest certain difference; `settled` are ranks whose built graphs count as complete."""
    known = [state for state in ranks if not state.issued.gaps and state.issued.is_known]
    compiled = any(state.issued.compiles for state in known)
    by_number = any(state.issued.by_number for state in known)
    # What a compiled step issues shows only when it is traced: it may explain, and never accuses.
    # By number it is left out.
    if len(known) < 2 or (compiled and not by_number and not settled):
        return None
    reference = max(known, key=lambda state: len(state.issued.steps)).issued
    steps = sorted(
        {step for state in known if (step := _divides(reference, state.issued)) is not None}
    )
    if by_number:
        return mismatch_by_number(known, steps)
    for step in steps:
        views = [_View(state, step, state.rank in settled) for state in known]
        found = _compared(views, step)
        # A rank that issued nothing has not traced its step anew, when another one has.
        if found is not None and not (compiled and not (found.usual and found.found)):
            return found
    return None


class _View:
    """The collectives that one rank has issued in a step."""

    def __init__(self, state: RankState, step: int, settled: bool) -> None:
        columns = state.issued
        self.rank = state.rank
        self.columns = columns
        self.pattern = columns.issued_in(step)
        built = columns.built if columns.built is not None else -2
        self.complete = columns.left >= step or (settled and built >= step)

    def agrees(self, pattern: Pattern) -> bool:
        """True if it has issued `pattern`, or may still come to it."""
        if self.complete:
            return self.pattern == pattern
        return pattern[: len(self.pattern)] == self.pattern


def _divides(one: RankColumns, other: RankColumns) -> int | None:
    """The first step in which what they have issued so far is not the same."""
    common = min(len(one.steps), len(other.steps))
    at = min(
        _agreeing(one.steps, other.steps, common), _agreeing(one.patterns, other.patterns, common)
    )
    ours, theirs = _entry(one, at), _entry(other, at)
    while ours == theirs:
        if ours is None:
            return None
        # One of them is still open; the other rank may have gone on.
        at += 1
        ours, theirs = _entry(one, at), _entry(other, at)
    return min(entry[0] for entry in (ours, theirs) if entry is not None)


def _agreeing(one: array[int], other: array[int], common: int) -> int:
    """The number of leading entries, of the first `common`, that are the same in both."""
    if one[:common] == other[:common]:
        return common
    low, high = 0, common
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _entry(columns: RankColumns, at: int) -> tuple[int, Pattern] | None:
    if at < len(columns.steps):
        return columns.steps[at], columns.tables.patterns[columns.patterns[at]]
    if at == len(columns.steps) and columns.open_step is not None:
        return columns.open_step, tuple(columns.open)
    return None


def _compared(views: Sequence[_View], step: int) -> Mismatch | None:
    patterns = Counter(view.pattern for view in views)
    votes = {
        pattern: sum(many for view_, many in _kinds(views).items() if view_.agrees(pattern))
        for pattern in patterns
    }
    most = max(votes.values())
    if most == len(views):
        return None
    best = [pattern for pattern in votes if votes[pattern] == most]
    habits = {pattern: _habit(views, pattern) if len(best) > 1 else 0 for pattern in best}
    usual = max(best, key=lambda pattern: (habits[pattern], len(pattern)))
    odd = [view for view in views if not view.agrees(usual)]
    # Without a majority and without a habit nobody can say who is right, but that one is short.
    tie = any(
        (habits[pattern], len(pattern)) == (habits[usual], len(usual))
        for pattern in best
        if pattern != usual
    )
    signatures = views[0].columns.tables.signatures
    found = tuple(signatures[index] for index in odd[0].pattern)
    expected = tuple(signatures[index] for index in usual)
    kind, at = _difference(expected, found)
    n = next(view for view in views if view.agrees(usual)).columns.before(step) + at
    told = _told(kind, [view.rank for view in odd], expected, found, at, n, step)
    ranks = sorted(view.rank for view in (views if tie else odd))
    return Mismatch(
        step=step,
        n=n,
        kind=kind,
        odd=tuple(ranks),
        usual=expected,
        found=found,
        told=f"{named(ranks)} do not agree: {told}" if tie else told,
    )


def _kinds(views: Sequence[_View]) -> dict[_View, int]:
    """One of each kind of equal views, and how many there are."""
    first: dict[tuple[Pattern, bool], _View] = {}
    counts: Counter[_View] = Counter()
    for view in views:
        counts[first.setdefault((view.pattern, view.complete), view)] += 1
    return counts


def _habit(views: Sequence[_View], pattern: Pattern) -> int:
    """The number of steps of all ranks that issued just that, or began so where this one was broken
    off."""
    tables = views[0].columns.tables
    if any(view.complete for view in views if view.pattern == pattern):
        index = tables.known(pattern)
        return 0 if index is None else sum(view.columns.patterns.count(index) for view in views)
    alike = {i for i, one in enumerate(tables.patterns) if one[: len(pattern)] == pattern}
    used = Counter(chain.from_iterable(view.columns.patterns for view in views))
    return sum(used[index] for index in alike)


def _difference(usual: Sequence[Signature], found: Sequence[Signature]) -> tuple[str, int]:
    """In what they differ, and at which place of the step."""
    pairs = zip(usual, found, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(usual), len(found)))
    if len(found) < len(usual) and _goes_on(usual, found, at):
        return "missing", at
    if len(found) > len(usual) and _goes_on(found, usual, at):
        return "extra", at
    if Counter(usual) == Counter(found):
        return "order", at
    a, b = usual[at], found[at]
    return "op" if a.op != b.op else "shape" if a.shape != b.shape else "dtype", at


def _goes_on(longer: Sequence[Signature], shorter: Sequence[Signature], at: int) -> bool:
    """True if the shorter one is the longer one without some in a row from `at` on. Else they
    differ at that place in what was issued, and one of them may go on with its step."""
    rest = list(shorter[at:])
    return any(
        list(longer[begin : begin + len(rest)]) == rest
        for begin in range(at + 1, len(longer) - len(rest) + 1)
    )


def _told(
    kind: str,
    odd: Sequence[int],
    usual: Sequence[Signature],
    found: Sequence[Signature],
    at: int,
    n: int,
    step: int,
) -> str:
    who = named(odd)
    if kind == "missing":
        return (
            f"{who} never issued {collective(n, usual[at])} (step {step}): {issued(len(found))} "
            f"in that step, the others {len(usual)}"
        )
    if kind == "extra":
        return (
            f"{who} issued {collective(n, found[at])} (step {step}), which the others did not: "
            f"{issued(len(found))} in that step, the others {len(usual) or 'none'}"
        )
    if kind == "order":
        return (
            f"{who} issued the collectives of step {step} in another order: "
            f"{are(odd, 'its', 'their')} #{n} is {found[at].op} of {value(found[at])}, that of "
            f"the others {usual[at].op} of {value(usual[at])}"
        )
    if kind == "op":
        return f"{who} issued {found[at].op} as #{n} (step {step}), the others {usual[at].op}"
    return (
        f"{who} issued {collective(n, found[at])} (step {step}) with {value(found[at])}, "
        f"the others with {value(usual[at])}"
    )
