"""The search for the most edits of a pass with which the symptom stays: delta debugging. Pure.

After Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input (2002): all edits at
once, then halves, quarters and so on of those that are left. Several groups are tried side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Text = Callable[[frozenset[int]], str | None]
"""The program with these edits; None where they give none."""
Test = Callable[[Sequence[str]], Sequence[bool]]
"""For each candidate, True if it shows the symptom. They are tried side by side."""


def size(text: str) -> tuple[int, int]:
    """The measure that a reduction lowers: lines of code, then characters."""
    lines = [line.strip() for line in text.splitlines()]
    code = [line for line in lines if line and not line.startswith("#")]
    return len(code), sum(map(len, code))


def most(count: int, text: Text, current: str, test: Test, width: int) -> str:
    """The smallest program found with some of `count` edits of `current`, which shows the symptom.

    At most `width` candidates are handed to `test` at once, each smaller than what is best so far.
    """
    chosen: frozenset[int] = frozenset()
    best = current
    refused: set[str] = set()
    waiting = [frozenset(range(count))] if count else []
    while waiting:
        batch: list[tuple[frozenset[int], str]] = []
        while waiting and len(batch) < width:
            group, *waiting = waiting
            if group <= chosen:
                continue
            candidate = text(chosen | group)
            if candidate == best:
                chosen |= group  # it went with another one
                continue
            if candidate is not None and size(candidate) < size(best):
                asked = refused | {other for _, other in batch}
                if candidate not in asked:
                    batch.append((group, candidate))
            # Its halves come after all others of its size, and are void when it is right itself.
            waiting += _halves(group)
        verdicts = test([candidate for _, candidate in batch]) if batch else []
        good = [pair for pair, shown in zip(batch, verdicts, strict=True) if shown]
        refused |= {one for (_, one), shown in zip(batch, verdicts, strict=True) if not shown}
        if good:
            (group, best), *others = good
            chosen |= group
            # Each alone was right: both may be, and that is asked first.
            waiting = [other for other, _ in others] + waiting
    return best


def _halves(group: frozenset[int]) -> list[frozenset[int]]:
    if len(group) < 2:
        return []
    ordered = sorted(group)
    middle = (len(ordered) + 1) // 2
    return [frozenset(ordered[:middle]), frozenset(ordered[middle:])]


def last_right(
    count: int, right: Callable[[Sequence[int]], Sequence[bool]], width: int, eager: bool = False
) -> int:
    """The last of `count` in a row that is right, where none is right after a wrong one; -1: none.

    The last one is asked for first, then at most `width` at once that lie evenly. If it is `eager`,
    some others are asked for with the last one.
    """
    low, high = -1, count
    some = [*(_even(-1, count - 1, width - 1) if eager else ()), count - 1]
    while high - low > 1:
        for at, is_right in zip(some, right(some), strict=True):
            if not is_right:
                high = at
                break
            low = at
        some = _even(low, high, width)
    return low


def _even(low: int, high: int, width: int) -> list[int]:
    """At most `width` whole numbers between `low` and `high` that lie evenly."""
    between = high - low - 1
    number = min(width, between)
    return [low + 1 + between * (2 * n + 1) // (2 * number) for n in range(number)]
