"""The search for the release at which a verdict changes. Pure: the next step follows from what was
seen so far, so that a search that was interrupted goes on where it was.

Releases are numbered from the good end, 0, to the bad end. A symptom that is there at a release is
taken to be there at all releases from it to the bad end.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from enum import Enum

RAREST = 0.1
"""A symptom that comes less often than in this share of runs may be missed at the bad end."""


class Seen(Enum):
    """The answer of one run."""

    SHOWN = "shown"
    ABSENT = "absent"
    UNUSABLE = "unusable"
    """It could not be installed, or failed in another way."""


@dataclass(frozen=True)
class Probe:
    """Run this release next."""

    release: int


@dataclass(frozen=True)
class Answer:
    """The last release without the symptom, and the first one with it."""

    absent: int
    shown: int
    sure: float | None = None
    """Probability of the answer, where the search is for a symptom that comes now and then."""

    @property
    def exact(self) -> bool:
        """False if releases between the two could not be used."""
        return self.shown - self.absent == 1


class Problem(Enum):
    """The reason why there is no answer."""

    BAD_UNUSABLE = "bad end unusable"
    GOOD_UNUSABLE = "good end unusable"
    NOT_SHOWN = "not shown at the bad end"
    SHOWN_AT_GOOD = "shown at the good end"
    NOISE = "the times of two releases overlap"


Step = Probe | Answer | Problem
Round = tuple[int, ...] | Answer | Problem
"""The releases to run next at the same time, in the order of their use."""
Observation = tuple[int, Seen]
"""The number of a release, and what its run showed."""


def next_step(count: int, seen: Sequence[Observation], certainty: float | None = None) -> Step:
    """The next step of a search among `count` releases after the runs `seen`, in their order.

    Without `certainty` each release is run once, and the search is the binary one. With it runs are
    repeated until the answer has that probability.
    """
    unusable = {release for release, answer in seen if answer is Seen.UNUSABLE}
    if count - 1 in unusable:
        return Problem.BAD_UNUSABLE
    if 0 in unusable:
        return Problem.GOOD_UNUSABLE
    if certainty is None:
        return _once(count, dict(seen), unusable)
    return _repeated(count, seen, unusable, certainty)


def next_round(
    count: int, seen: Sequence[Observation], certainty: float | None = None, width: int = 1
) -> Round:
    """At most `width` next steps of a search, for as many hosts; with one of them, that of
    `next_step`.

    Without `certainty` they part what is left evenly. With it each is what would come next if all
    before it in the round did not show the symptom, as most runs of a rare one do not.
    """
    step = next_step(count, seen, certainty)
    if not isinstance(step, Probe):
        return step
    if certainty is None:
        return _parted(count, dict(seen), step, width)
    chosen: list[int] = []
    assumed = list(seen)
    while isinstance(step, Probe) and len(chosen) < width:
        chosen.append(step.release)
        assumed.append((step.release, Seen.ABSENT))
        step = next_step(count, assumed, certainty)
    return tuple(chosen)


def _parted(count: int, seen: dict[int, Seen], first: Probe, width: int) -> tuple[int, ...]:
    """The ends that have not run, then releases at even distances between what is known."""
    if width == 1:
        return (first.release,)
    ends = [end for end in (count - 1, 0) if end not in seen][:width]
    shown = min((r for r, answer in seen.items() if answer is Seen.SHOWN), default=count - 1)
    absent = max(
        (r for r, answer in seen.items() if answer is Seen.ABSENT and r < shown), default=0
    )
    return (*ends, *spread(absent, shown, seen, width - len(ends)))


def spread(first: int, last: int, known: Container[int], most: int) -> tuple[int, ...]:
    """At most `most` releases at even distances between two others, none of them `known`."""
    left = [release for release in range(first + 1, last) if release not in known]
    parts = min(most, len(left))
    chosen = []
    for part in range(1, parts + 1):
        wanted = first + (last - first) * part / (parts + 1)
        best = min(left, key=lambda release: (abs(release - wanted), release))
        left.remove(best)
        chosen.append(best)
    return tuple(chosen)


def _once(count: int, seen: dict[int, Seen], unusable: set[int]) -> Step:
    for end in (count - 1, 0):
        if end not in seen:
            return Probe(end)
    if seen[count - 1] is Seen.ABSENT:
        return Problem.NOT_SHOWN
    if seen[0] is Seen.SHOWN:
        return Problem.SHOWN_AT_GOOD
    shown = min(release for release, answer in seen.items() if answer is Seen.SHOWN)
    absent = max(
        release for release, answer in seen.items() if answer is Seen.ABSENT and release < shown
    )
    usable = [release for release in range(absent + 1, shown) if release not in unusable]
    if not usable:
        return Answer(absent, shown)
    # Next to the middle, where a skipped release lies there.
    middle = (absent + shown) / 2
    return Probe(min(usable, key=lambda release: (abs(release - middle), release)))


def runs_for(probability: float, certainty: float) -> int:
    """Runs without the symptom after which one of that probability is excluded."""
    return math.ceil(math.log(1 - certainty) / math.log(1 - probability))


def _repeated(
    count: int, seen: Sequence[Observation], unusable: set[int], certainty: float
) -> Step:
    runs = [(release, answer) for release, answer in seen if answer is not Seen.UNUSABLE]
    if not any(answer is Seen.SHOWN for _, answer in runs):
        at_end = sum(release == count - 1 for release, _ in runs)
        limit = runs_for(RAREST, certainty)
        return Problem.NOT_SHOWN if at_end >= limit else Probe(count - 1)
    usable = [release for release in range(count) if release not in unusable]
    weights = posterior(usable, runs)
    best = max(range(len(usable)), key=lambda at: weights[at][0])
    if weights[best][0] >= certainty:
        if best == 0:
            return Problem.SHOWN_AT_GOOD
        return Answer(usable[best - 1], usable[best], weights[best][0])
    return Probe(usable[_most_telling(weights)])


def posterior(
    usable: Sequence[int], runs: Sequence[Observation]
) -> tuple[tuple[float, float], ...]:
    """For each release of `usable`: the probability that the symptom begins there, and the part of
    it with which its next run would show it.

    Before the first run, each release is as likely. A rate p at which the symptom comes has the
    density 2 (1-p): with one that favors no rate, a few early hangs make the answer too sure of
    itself. With s runs that showed it and a runs that did not, at the release or after it, the
    weight is the integral of p^s (1-p)^(a+1): the Beta function B(s+1, a+2). A symptom that was
    shown before the release excludes it.
    """
    shown = sum(answer is Seen.SHOWN for _, answer in runs)
    first = min((r for r, answer in runs if answer is Seen.SHOWN), default=math.inf)
    logs: list[float] = []
    rates: list[float] = []
    for begin in usable:
        absent = sum(answer is Seen.ABSENT and release >= begin for release, answer in runs)
        logs.append(-math.inf if begin > first else _log_beta(shown + 1, absent + 2))
        rates.append((shown + 1) / (shown + absent + 3))
    highest = max(logs)
    raw = [math.exp(value - highest) for value in logs]
    total = sum(raw)
    return tuple(
        (value / total, value / total * rate) for value, rate in zip(raw, rates, strict=True)
    )


def _log_beta(a: int, b: int) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _most_telling(weights: Sequence[tuple[float, float]]) -> int:
    """The release whose next run is expected to leave the least entropy."""
    best, least = 0, math.inf
    shown = shown_part = 0.0
    absent_part = 0.0
    rest, rest_part = 1.0, sum(_part(weight) for weight, _ in weights)
    for at, (weight, shows) in enumerate(weights):
        shown += shows
        shown_part += _part(shows)
        absent_part += _part(weight - shows)
        rest -= weight
        rest_part -= _part(weight)
        expected = shown_part + absent_part + rest_part - _part(shown) - _part(1.0 - shown)
        if expected < least - 1e-12:
            best, least = at, expected
    return best


def _part(x: float) -> float:
    return -x * math.log(x) if x > 0 else 0.0
