"""The order of the passes, from a whole program to a small one. Pure but for what `test` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from functools import partial

from harness.reduce import passes, search, slices
from harness.reduce.passes import Pass
from harness.reduce.search import Test

GUESS = "around the symptom"
UNCHANGED = "what never changes"
ROUNDS = 12
"""Rounds at most: each but the last one made the program smaller."""


def reduced(
    text: str, test: Test, width: int, lines: Set[int] = frozenset(),
    places: Set[int] = frozenset(), begin: Callable[[str, str], str] = lambda stage, text: text,
    race: bool = False, printed: Callable[[str], str] = lambda text: "",
    hasty: Callable[[str], bool] = lambda text: False,
) -> str:  # fmt: skip
    """The smallest program found that shows the symptom as `text` does.

    `test` is asked for at most `width` candidates at once. `lines` are the numbers of those that
    ran, and `places` of those where the symptom is; none where this is not known. `begin` is called
    before each pass with its name and the program that is left; it returns the program that the
    pass begins with, which is an earlier one where that one turned out to be wrong. In a `race`
    the sleeps stay until nothing else can go: they let it come each time. `printed` runs a program
    and returns its standard error. `hasty` says of the smallest program if others were given too
    little time: then all passes are tried once more.
    """
    return _Order(test, width, begin, race, printed, hasty).whole(text, lines, places)


class _Order:
    def __init__(
        self, test: Test, width: int, begin: Callable[[str, str], str], race: bool,
        printed: Callable[[str], str], hasty: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self._printed = printed
        self._hasty = hasty
        self._vain: set[tuple[str, int, str]] = set()
        """The passes that left a program as it was: stage, place among others, program."""
        self._race = race
        self._test = test
        self._width = width
        self._begin = begin

    def whole(self, text: str, lines: Set[int], places: Set[int]) -> str:
        guess = self._guessed(text, lines, places)
        if guess is not None:
            text = guess
        elif lines:
            idle = partial(passes.never_run, lines=lines)
            text = self._some(text, [("lines that never ran", idle)])
        text = self._some(text, passes.first(guess is None))
        # Settings that are literals where they are used let go of whatever made them.
        text = self._some(text, [(UNCHANGED, self._seen)])
        for _ in range(ROUNDS):
            before = text
            text = self._settled(text)
            text = self._some(text, [(UNCHANGED, self._seen)])
            text = self._some(text, passes.simpler())
            text = self._settled(text)
            text = self._some(text, passes.details())
            if text == before:
                if not self._hasty(text):
                    break
                self._vain.clear()
        if self._race:
            self._vain.clear()  # the sleeps may go now
            text = self._some(text, passes.structure(text))
        return text

    def _guessed(self, text: str, lines: Set[int], places: Set[int]) -> str | None:
        """The smallest guess that is right, of those around the places of the symptom."""
        text = self._begin(GUESS, text)
        guesses = slices.programs(text, places, lines) if places else []
        smaller = [one for one in guesses if search.size(one) < search.size(text)]
        for start in range(0, len(smaller), self._width):
            some = smaller[start : start + self._width]
            for one, shown in zip(some, self._test(some), strict=True):
                if shown:
                    return one
        return None

    def _settled(self, text: str) -> str:
        """Repeat the passes over statements as long as those over blocks give them more to do."""
        for _ in range(ROUNDS):
            text = self._some(text, passes.structure(text, self._race))
            before = text
            text = self._some(text, passes.blocks())
            if search.size(text)[0] == search.size(before)[0]:
                break
        return text

    def _seen(self, text: str) -> passes.Candidates:
        return passes.seen(text, self._printed)

    def _some(self, text: str, some: Iterable[tuple[str, Pass]]) -> str:
        for number, (stage, make) in enumerate(some):
            text = self._begin(stage, text)
            if (stage, number, text) in self._vain:
                continue
            found = self._most(make(text), text)
            if found != text:
                found = self._most(passes.unused(found), found)
            else:
                self._vain.add((stage, number, text))
            text = found
        return text

    def _most(self, candidates: passes.Candidates, text: str) -> str:
        return search.most(candidates.number, candidates.text, text, self._test, self._width)
