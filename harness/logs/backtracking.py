r"""A check whether a regex may try for ever: a repetition that can match the same text in several
ways.

`(\w+\s?)+` can cut `aaaa` into words in 8 ways and `aaaaaaaa` in 128, and where what follows does
not match, all are tried. `re` holds the interpreter's lock while it does. `(?:\w+ )+` has one way:
after each character it is known whether it belongs to the word or is the blank. That is what is
asked of each repetition: that its next character tells where in it one is (in the words of the
theory, that it is one-unambiguous, as Brüggemann-Klein and Wood define it).
"""

from __future__ import annotations

import re
import sys
from itertools import combinations
from typing import Any, NamedTuple

if sys.version_info >= (3, 11):
    from re import _constants as sre
    from re import _parser as parser
else:
    import sre_constants as sre
    import sre_parse as parser

FEW = 3
"""The number of times that anything may be repeated: that tries a power of the line's length, and
no more."""
_SOME = "".join(map(chr, range(128))) + "\xa0\xb2\xe9\xdf\u0130\u0131\u017f\u0663\u2028\u212a\u6f22"
"""Characters of every kind, in place of all that there are."""
_REPEATS = {sre.MAX_REPEAT, sre.MIN_REPEAT, getattr(sre, "POSSESSIVE_REPEAT", None)}
_CATEGORIES = {
    sre.CATEGORY_DIGIT: r"\d", sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s", sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w", sre.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip


def ambiguous(pattern: str) -> bool:
    """Check whether a valid regex has such a repetition. True also where that cannot be told."""
    tree = parser.parse(pattern)
    return _Check(pattern, bool(tree.state.flags & re.IGNORECASE)).walk(tree)


class _Part(NamedTuple):
    """The first and last characters of a part of a regex: positions of characters in it."""

    empty: bool
    """True if it matches the empty text too."""
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()


class _Check:
    def __init__(self, pattern: str, ignore_case: bool) -> None:
        self._alphabet = sorted(set(_SOME + pattern + pattern.swapcase()))
        self._ignore_case = ignore_case or "(?i" in pattern
        self._sets: list[frozenset[str]] = []
        """By position: the characters that it matches."""
        self._follow: list[list[int]] = []
        """By position: those that may come next, once for each way to get there."""

    def walk(self, tree: Any) -> bool:
        """Look at all repetitions in a part of the parse tree."""
        return any(
            (op in _REPEATS and value[1] > FEW and self._is_ambiguous(value[2]))
            or any(map(self.walk, _inner(op, value)))
            for op, value in tree
        )

    def _is_ambiguous(self, body: Any) -> bool:
        self._sets, self._follow = [], []
        try:
            self._loop(self._sequence(body))
        except _NotKnownError:
            return True
        return any(map(self._meet, self._follow))

    def _meet(self, positions: list[int]) -> bool:
        """Check whether two of them can match the same character."""
        return any(self._sets[a] & self._sets[b] for a, b in combinations(positions, 2))

    def _sequence(self, tree: Any) -> _Part:
        whole = _Part(empty=True)
        for op, value in tree:
            part = self._part(op, value)
            for position in whole.last:
                self._follow[position] += part.first
            whole = _Part(
                whole.empty and part.empty,
                whole.first + part.first if whole.empty else whole.first,
                whole.last + part.last if part.empty else part.last,
            )
        if self._meet(list(whole.first)):
            raise _NotKnownError
        return whole

    def _loop(self, body: _Part) -> None:
        for position in body.last:
            self._follow[position] += body.first

    def _part(self, op: Any, value: Any) -> _Part:
        if op in _REPEATS:
            low, high, body = value
            part = self._sequence(body)
            if high > 1:
                self._loop(part)
            return part._replace(empty=part.empty or low == 0)
        if op is sre.SUBPATTERN:
            return self._sequence(value[-1])
        if op is getattr(sre, "ATOMIC_GROUP", None):
            return self._sequence(value)
        if op is sre.BRANCH:
            parts = [self._sequence(branch) for branch in value[1]]
            first = tuple(position for part in parts for position in part.first)
            last = tuple(position for part in parts for position in part.last)
            return _Part(any(part.empty for part in parts), first, last)
        if op in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
            return _Part(empty=True)  # it matches no character
        self._sets.append(self._characters(op, value))
        self._follow.append([])
        return _Part(False, (len(self._sets) - 1,), (len(self._sets) - 1,))

    def _characters(self, op: Any, value: Any) -> frozenset[str]:
        if op is sre.ANY:
            return frozenset(self._alphabet)
        if op is sre.LITERAL:
            return self._cases({chr(value)})
        if op is sre.NOT_LITERAL:
            return frozenset(self._alphabet) - {chr(value)}
        if op is not sre.IN:
            raise _NotKnownError  # what an earlier group has matched
        negated = value[0][0] is sre.NEGATE
        inside: set[str] = set()
        for kind, what in value[negated:]:
            if kind is sre.LITERAL:
                inside.add(chr(what))
            elif kind is sre.RANGE:
                inside |= {char for char in self._alphabet if what[0] <= ord(char) <= what[1]}
            else:
                inside |= set(filter(re.compile(_CATEGORIES[what]).match, self._alphabet))
        if negated:
            return frozenset(self._alphabet) - inside
        return self._cases(inside)

    def _cases(self, characters: set[str]) -> frozenset[str]:
        """Both cases of each, where case does not count."""
        if not self._ignore_case:
            return frozenset(characters)
        return frozenset(
            char for char in {*characters, *self._alphabet}
            if char in characters or any(re.fullmatch(re.escape(char), c, re.I) for c in characters)
        )  # fmt: skip


class _NotKnownError(Exception):
    """The match of a part cannot be told, or not in one way."""


def _inner(op: Any, value: Any) -> list[Any]:
    """The parts of the parse tree within one."""
    if op in _REPEATS:
        return [value[2]]
    if op is sre.SUBPATTERN:
        return [value[-1]]
    if op is getattr(sre, "ATOMIC_GROUP", None):
        return [value]
    if op is sre.BRANCH:
        return list(value[1])
    if op in (sre.ASSERT, sre.ASSERT_NOT):
        return [value[1]]
    if op is sre.GROUPREF_EXISTS:
        return [part for part in value[1:] if part is not None]
    return []
