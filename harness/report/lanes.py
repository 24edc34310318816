"""The ranks of a job side by side in time: a lane each, made of the ends of their beats.

Lanes share one clock, that of the dates: those that count from a boot differ from host to host.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from harness.detect.ranks.phrases import named
from harness.model import (
    AnyBeat,
    BuiltBeat,
    CollectiveBeat,
    EndBeat,
    ErrorBeat,
    RankResult,
    ScenarioResult,
    Standing,
    StartBeat,
    StepBeat,
)

STEPS = 40
"""The last steps of a long job that are drawn."""
LABELS = {
    "startup": "start-up",
    "step": "step",
    "collective": "evaluation with collectives",
    "waiting": "waiting for a peer",
    "still": "no progress",
}
"""The kinds of spans, and what they are called."""
ORDINARY = (Standing.WAITING, Standing.WORKING, Standing.FINISHED)
_LAST = {
    Standing.DEAD: None,
    Standing.FINISHED: None,
    Standing.NEVER_STARTED: None,
    Standing.STOPPED: "still",
    Standing.STALLED: "still",
    Standing.CUT_OFF: "still",
    Standing.WORKING: "step",
    Standing.SLOW: "step",
}
"""The state of a rank from its last beat to the verdict; all others wait."""


@dataclass(frozen=True)
class Span:
    kind: str
    begin: float
    end: float
    """Seconds since the first rank started, of a whole job; a long one's begin later."""


@dataclass(frozen=True)
class Lane:
    name: str
    result: RankResult
    """The rank that is drawn, where ranks of which the same is to be said share a lane."""
    spans: tuple[Span, ...]
    died: float | None = None
    """The time of the last beat of a dead rank."""


@dataclass(frozen=True)
class Lanes:
    lanes: tuple[Lane, ...]
    begin: float
    end: float
    verdict: bool
    """True where the timeline ends with a verdict."""
    left_out: int = 0
    """Ranks without a lane."""


def alike(results: Iterable[RankResult]) -> list[list[RankResult]]:
    """Ranks of which the same is to be said; culprits first, then what few of them do."""
    groups: dict[object, list[RankResult]] = defaultdict(list)
    for rank in results:
        key = (rank.culprit, rank.state, rank.last_step, rank.last_phase, rank.collective)
        ending = (rank.exit_code, rank.signal, rank.wait_site, rank.python_frame)
        groups[key, rank.collective_op, ending].append(rank)
    return sorted(
        groups.values(),
        key=lambda same: (
            not same[0].culprit,
            same[0].state in ORDINARY,
            len(same),
            same[0].rank,
        ),
    )


def lanes(
    result: ScenarioResult, beats: Callable[[int], Sequence[AnyBeat]], most: int
) -> Lanes | None:
    """At most `most` lanes, the odd one out first; None where no beat of a rank is there.

    More ranks than that share a lane with those of which the same is to be said.
    """
    groups = alike(result.ranks)
    if len(result.ranks) <= most:
        groups = [[rank] for same in groups for rank in same]
    chosen = groups[:most]
    courses = [_course(beats(same[0].rank)) for same in chosen]
    starts = [course.start for course in courses if course.start is not None]
    if not starts:
        return None
    first = min(starts)
    end = max(
        course.last + (same[0].phase_s or 0.0) * (_left(same[0]) is not None)
        for course, same in zip(courses, chosen, strict=True)
    )
    begin = min(course.begin for course in courses if course.start is not None)
    return Lanes(
        lanes=tuple(
            _lane(same, course, end, first, begin)
            for same, course in zip(chosen, courses, strict=True)
        ),
        begin=begin - first,
        end=end - first,
        verdict=result.detected_at_s is not None,
        left_out=sum(map(len, groups[most:])),
    )


@dataclass(frozen=True)
class _Course:
    """The beats of one rank, with absolute times."""

    start: float | None = None
    begin: float = 0.0
    """From where it is shown."""
    last: float = 0.0
    """Its last beat."""
    spans: tuple[Span, ...] = ()


def _course(beats: Sequence[AnyBeat]) -> _Course:
    start = beats[0] if beats else None
    if not isinstance(start, StartBeat):
        return _Course()
    ahead = start.wall - start.t
    steps = [beat for beat in beats if isinstance(beat, StepBeat)]
    begins = [beat.t - sum(beat.phases.values()) + ahead for beat in steps]
    whole = len(steps) <= STEPS and (not steps or steps[0].step == 0)
    spans = list(chain.from_iterable(_steps(beats, ahead)))
    last = beats[-1].t + ahead
    until = begins[0] if begins else last
    return _Course(
        start=start.wall,
        begin=start.wall if whole else begins[-STEPS:][0],
        last=last,
        spans=tuple([Span("startup", start.wall, until), *spans] if whole else spans),
    )


def _steps(beats: Iterable[AnyBeat], ahead: float) -> Iterator[tuple[Span, ...]]:
    """Each step up to its graph, and its evaluation; at last the one that did not return."""
    issued = built = returned = None
    for beat in beats:
        t = beat.t + ahead
        if isinstance(beat, CollectiveBeat):
            issued = beat.step
        elif isinstance(beat, BuiltBeat):
            built = (beat.step, t)
        elif isinstance(beat, StepBeat):
            begin = t - sum(beat.phases.values())
            stands = t - beat.phases.get("eval", 0.0)
            if built and built[0] == beat.step:
                stands = built[1]
            kind = "collective" if issued == beat.step else "step"
            yield Span("step", begin, stands), Span(kind, stands, t)
            returned = t
        elif isinstance(beat, (EndBeat, ErrorBeat)) and returned is not None:
            yield (Span("step", returned, t),)
            returned = t
    if built and returned is not None and built[1] > returned:
        yield (Span("step", returned, built[1]),)


def _left(rank: RankResult) -> str | None:
    return _LAST.get(rank.state, "waiting")


def _lane(
    same: Sequence[RankResult], course: _Course, end: float, first: float, begin: float
) -> Lane:
    rank = same[0]
    spans = course.spans
    if course.start is not None and (kind := _left(rank)) is not None:
        spans = (*spans, Span(kind, course.last, end))
    return Lane(
        name=named(member.rank for member in same),
        result=rank,
        spans=tuple(
            Span(span.kind, max(span.begin, begin) - first, span.end - first)
            for span in spans
            if span.end > max(span.begin, begin)
        ),
        died=course.last - first
        if rank.state is Standing.DEAD and course.start is not None
        else None,
    )
