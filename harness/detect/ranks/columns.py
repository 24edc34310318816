"""The reports of a job's ranks about themselves, small enough for a thousand of them.

A training issues the same collectives in almost every step. So a step's collectives are kept as one
number, the index of their pattern in a table that all ranks share: 12 bytes a step, however many
collectives it has, and two ranks are compared as two arrays are.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from typing import NamedTuple

from harness.model import (
    AnyBeat,
    BuiltBeat,
    CollectiveBeat,
    EndBeat,
    ErrorBeat,
    StartBeat,
    StepBeat,
)

WINDOW = 64
"""Steps whose phases are kept, the last ones: who is slow is asked of the present."""
BLOCK = 64
"""Collectives of a block, where they are told apart by their numbers alone."""
PAIRWISE = frozenset(("send", "recv", "recv_like"))
"""Between two ranks: that the others do nothing of the kind is right."""

Pattern = tuple[int, ...]
"""Indices of signatures, in the order in which a step issued them."""


class Signature(NamedTuple):
    """What a collective does: its operation on an array of this shape and type."""

    op: str
    shape: tuple[int, ...]
    dtype: str


class Tables:
    """Signatures and patterns by their index; the same for all ranks of a job."""

    def __init__(self) -> None:
        self.signatures: list[Signature] = []
        self.patterns: list[Pattern] = []
        self._signature: dict[Signature, int] = {}
        self._pattern: dict[Pattern, int] = {}

    def signature(self, op: str, shape: tuple[int, ...], dtype: str) -> int:
        """The index of a signature; a new one is taken in."""
        key = Signature(op, shape, dtype)
        index = self._signature.get(key)
        if index is None:
            index = self._signature[key] = len(self.signatures)
            self.signatures.append(key)
        return index

    def known(self, key: Pattern) -> int | None:
        """The index of a pattern that some step had and left behind."""
        return self._pattern.get(key)

    def pattern(self, key: Pattern) -> int:
        """The index of a pattern; a new one is taken in."""
        index = self._pattern.get(key)
        if index is None:
            index = self._pattern[key] = len(self.patterns)
            self.patterns.append(key)
        return index


class RankColumns:
    """The beats of one rank. Filled by `add` in the order in which they were written."""

    def __init__(self, tables: Tables | None = None, by_number: bool = False) -> None:
        """`by_number` says that nothing tells the step of each collective. They are then laid out
        in blocks by their numbers, which stand in the place of steps: ranks that agree have the
        same blocks. Traced ones are left out: when a function is traced anew differs from rank to
        rank."""
        self.tables = tables or Tables()
        self.by_number = by_number
        self.start: StartBeat | None = None
        self.end: EndBeat | None = None
        self.error: ErrorBeat | None = None
        self.steps: array[int] = array("q")
        """Steps that issued a collective and are left behind, rising."""
        self.patterns: array[int] = array("I")
        """The pattern that each of these steps issued."""
        self.open_step: int | None = None
        """The last step that issued one; it may issue more."""
        self.open: list[int] = []
        self.total = 0
        """Collectives issued in all, those between two ranks left out."""
        self.last: CollectiveBeat | None = None
        self.gaps = False
        """True if beats are missing between those that are there."""
        self.first_step: int | None = None
        self.done: int | None = None
        """The last step that returned."""
        self.returned = 0
        """The number of steps that returned."""
        self.built: int | None = None
        """The last step whose graph stood."""
        self.compiles = False
        """True if compiled functions are called: what they issue shows when they are traced."""
        self._traced = 0
        self.recent: deque[StepBeat] = deque(maxlen=WINDOW)

    def add(self, beat: AnyBeat) -> None:
        """Take in one beat. Those that say nothing of collectives or steps are ignored."""
        if isinstance(beat, CollectiveBeat):
            self._issued(beat)
        elif isinstance(beat, StepBeat):
            self.done = beat.step
            self.returned += beat.covers
            if self.first_step is None:
                self.first_step = beat.step
            if beat.calls:
                self.compiles = True
            self.recent.append(beat)
        elif isinstance(beat, BuiltBeat):
            self.built = beat.step
        elif isinstance(beat, StartBeat):
            self.start = beat
        elif isinstance(beat, EndBeat):
            self.end = beat
        elif isinstance(beat, ErrorBeat):
            self.error = beat

    def _issued(self, beat: CollectiveBeat) -> None:
        self.gaps = self.gaps or beat.n != (self.last.n + 1 if self.last else 0)
        self.last = beat
        if beat.traced:
            self.compiles = True
            self._traced += 1
        if beat.op in PAIRWISE or (self.by_number and beat.traced):
            return
        number = beat.n - self._traced
        step = number // BLOCK if self.by_number else beat.step
        if self.open_step is None or step > self.open_step:
            self._close()
            self.open_step = step
        self.open.append(self.tables.signature(beat.op, beat.shape, beat.dtype))
        self.total = number + 1 if self.by_number else self.total + 1

    def _close(self) -> None:
        if self.open_step is not None:
            self.steps.append(self.open_step)
            self.patterns.append(self.tables.pattern(tuple(self.open)))
            self.open = []

    @property
    def is_known(self) -> bool:
        """True if there is anything by which to say what it has issued, or that it has not."""
        return bool(self.total) or self.built is not None or self.left >= 0

    @property
    def left(self) -> int:
        """The last step that can issue nothing any more; -2 when there is none."""
        before = -2 if self.open_step is None else self.open_step - (self.end is None)
        return before if self.done is None else max(before, self.done)

    def issued_in(self, step: int) -> Pattern:
        """The collectives that `step` has issued so far."""
        if step == self.open_step:
            return tuple(self.open)
        at = bisect_left(self.steps, step)
        if at == len(self.steps) or self.steps[at] != step:
            return ()
        return self.tables.patterns[self.patterns[at]]

    def before(self, step: int) -> int:
        """The number of collectives that the steps before `step` issued."""
        if self.open_step is None:
            return 0
        lengths = [len(pattern) for pattern in self.tables.patterns]
        at = bisect_left(self.steps, step)
        behind = sum(lengths[index] for index in self.patterns[at:])
        rest = self.total - len(self.open) - behind
        return rest if step <= self.open_step else self.total

    def nth(self, n: int) -> tuple[int, Signature] | None:
        """(step, signature) of collective `n`, counted from 0; None when it was not issued."""
        if self.open_step is None or not 0 <= n < self.total:
            return None
        first, step, pattern = self.total - len(self.open), self.open_step, tuple(self.open)
        at = len(self.steps)
        while n < first:
            at -= 1
            step, pattern = self.steps[at], self.tables.patterns[self.patterns[at]]
            first -= len(pattern)
        return step, self.tables.signatures[pattern[n - first]]


class JobColumns:
    """The beats of all ranks of one job, by rank."""

    def __init__(self, size: int) -> None:
        tables = self.tables = Tables()
        self.ranks = tuple(RankColumns(tables) for _ in range(size))

    def __getitem__(self, rank: int) -> RankColumns:
        return self.ranks[rank]
