"""The ranks of a job: a lane of time for each, and a table; the odd one out comes first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from harness.report import lanes, summary
from harness.report.html import timeline
from harness.report.html.timeline import WIDTH
from harness.report.input import Group, ReportInput
from harness.report.rank_rows import RankRow, row, state
from harness.report.sections import ranks
from harness.report.text import line
from harness.text.units import plural

LANES = 256
"""On a page at most, some 2 kB each."""
LEAST_LANES = 8


@dataclass(frozen=True)
class Lane:
    name: str
    state: str
    culprit: bool
    text: str
    paths: tuple[tuple[str, str], ...]
    """The path of an SVG by kind of span."""
    died: float | None


@dataclass(frozen=True)
class RankedRun:
    name: str
    text: str
    lanes: tuple[Lane, ...]
    rest: str
    """A note on the ranks without a lane."""
    scale: tuple[timeline.Tick, ...]
    verdict: bool
    rows: tuple[RankRow, ...]
    hosts: bool
    more: str
    """A note on the ranks without a row."""


def jobs(groups: Sequence[Group], data: ReportInput) -> list[RankedRun]:
    """The worst run of each scenario in which several ranks took part."""
    ranked = [group for group in groups if group.worst.ranks]
    most = max(LEAST_LANES, LANES // max(1, len(ranked)))
    return [_job(group, data, most) for group in ranked]


def _job(group: Group, data: ReportInput, most: int) -> RankedRun:
    result = group.worst
    course = lanes.lanes(result, partial(data.rank_beats, result), most)
    same = lanes.alike(result.ranks)
    more = sum(map(len, same[ranks.ROWS :]))
    return RankedRun(
        name=group.label(result),
        text=line(result.reason or summary.verdict(result), 400),
        lanes=tuple(_lane(lane, course) for lane in course.lanes) if course else (),
        rest=_rest(course.left_out) if course else "",
        scale=tuple(timeline.scale(course.begin, course.end)) if course else (),
        verdict=course is not None and course.verdict,
        rows=tuple(map(row, same[: ranks.ROWS])),
        hosts=any(rank.host for rank in result.ranks),
        more=_rest(more),
    )


def _rest(count: int) -> str:
    return f"{plural(count, 'more rank')}; run.json has them" if count else ""


def _lane(lane: lanes.Lane, course: lanes.Lanes) -> Lane:
    def x(t: float) -> float:
        span = course.end - course.begin
        return round((t - course.begin) / span * WIDTH, 1) if span > 0 else 0.0

    paths: dict[str, list[str]] = defaultdict(list)
    for span in lane.spans:
        begin = x(span.begin)
        width = max(0.5, x(span.end) - begin)
        paths[span.kind].append(f"M{begin:g} 5h{width:g}v14h-{width:g}z")
    return Lane(
        name=lane.name,
        state=state(lane.result),
        culprit=lane.result.culprit,
        text=line(lane.result.reason, 200),
        paths=tuple((kind, "".join(parts)) for kind, parts in paths.items()),
        died=None if lane.died is None else x(lane.died),
    )
