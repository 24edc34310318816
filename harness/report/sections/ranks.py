"""The ranks of one job: what each was doing at the verdict, the odd one out first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import partial

from harness.detect.ranks.phrases import named
from harness.model import RankResult, ScenarioResult
from harness.report import lanes
from harness.report.input import Group, ReportInput
from harness.report.lanes import alike
from harness.report.rank_rows import RankRow, collective, row, state
from harness.report.text import NOTHING, cell, code, fence, line, table
from harness.text.units import duration, plural

TITLES = ("rank", "state", "step", "phase", "for", "last collective", "waits in", "why")
HOST = "host"
ROWS = 24
"""Rows of a table, and wait sites, at most. Ranks of which the same is to be said share one."""
LANES = 16
"""The most rows of the timeline; above that, equal ranks share one."""
SLOTS = 64
SIGNS = {"startup": ".", "step": "=", "collective": "+", "waiting": "-", "still": "!"}


def ranks(group: Group, data: ReportInput) -> str:
    """A table of the ranks of the run that the section shows, and their stacks by wait site."""
    result = group.worst
    if not result.ranks:
        return ""
    return "\n\n".join(part for part in _parts(result, data) if part)


def _parts(result: ScenarioResult, data: ReportInput) -> Iterator[str]:
    counts = Counter(map(state, result.ranks))
    text = ", ".join(f"{number} {which}" for which, number in counts.most_common())
    which = f" of repeat {result.repeat}" if result.repeat else ""
    yield f"**{plural(len(result.ranks), 'rank')}{which}**: {text}"
    groups = alike(result.ranks)
    hosts = any(rank.host for rank in result.ranks)
    titles = (*TITLES[:1], HOST, *TITLES[1:]) if hosts else TITLES
    rows = [_cells(row(same), hosts) for same in groups[:ROWS]]
    align = ["l"] * len(titles)
    align[titles.index("step")] = align[titles.index("for")] = "r"
    yield table(titles, rows, "".join(align), 10_000)
    if len(groups) > ROWS:
        rest = sum(len(same) for same in groups[ROWS:])
        yield f"*Left out: {plural(rest, 'rank')}; run.json has them.*"
    yield _timeline(lanes.lanes(result, partial(data.rank_beats, result), LANES))
    yield _sites(result)


def _timeline(timeline: lanes.Lanes | None) -> str:
    """A line of text for each lane; a character shows what took most of its time."""
    if timeline is None or timeline.end <= timeline.begin:
        return ""
    width = max(len(line(lane.name, 30)) for lane in timeline.lanes)
    rows = [f"{line(lane.name, 30):{width}}  {_strip(lane, timeline)}" for lane in timeline.lanes]
    begin, end = duration(timeline.begin) if timeline.begin else "0 s", duration(timeline.end)
    scale = f"{begin}{(end + ' verdict' * timeline.verdict).rjust(SLOTS - len(begin))}"
    signs = "   ".join(f"{sign} {lanes.LABELS[kind]}" for kind, sign in SIGNS.items())
    more = [f"{plural(timeline.left_out, 'rank')} more"] if timeline.left_out else []
    return fence("\n".join([*rows, *more, " " * (width + 2) + scale, f"{signs}   x died"]))


def _strip(lane: lanes.Lane, timeline: lanes.Lanes) -> str:
    slot = (timeline.end - timeline.begin) / SLOTS
    took: list[defaultdict[str, float]] = [defaultdict(float) for _ in range(SLOTS)]
    for span in lane.spans:
        first = int((span.begin - timeline.begin) / slot)
        for i in range(first, min(SLOTS, int((span.end - timeline.begin) / slot) + 1)):
            edge = timeline.begin + i * slot
            took[i][span.kind] += min(span.end, edge + slot) - max(span.begin, edge)
    signs = [SIGNS[max(shares, key=shares.__getitem__)] if shares else " " for shares in took]
    if lane.died is not None:
        signs[min(SLOTS - 1, int((lane.died - timeline.begin) / slot))] = "x"
    return "".join(signs).rstrip()


def _cells(row: RankRow, hosts: bool) -> tuple[str, ...]:
    who = row.name.partition(" ")[2]
    return (
        f"**{who}**" if row.culprit else who,
        *([cell(row.hosts) or NOTHING] if hosts else []),
        f"**{row.state}**" if row.culprit else row.state,
        row.step,
        cell(row.phase),
        row.lasted,
        cell(row.collective),
        code(row.site, 160) if row.site else NOTHING,
        cell(row.why),
    )


def _sites(result: ScenarioResult) -> str:
    """The stacks by wait site: of the ranks that are not in the collective, and of those in it."""
    every = result.ranks
    unseen = sum(not (rank.wait_site or rank.wait) for rank in every)
    none = [f"- no stacks of {plural(unseen, 'rank')}"] if unseen else []
    it = collective(result)
    if it is None:
        lines = _by_site(every)
        return "\n".join(["By wait site:", "", *lines, *none]) if lines else ""
    apart = _by_site([rank for rank in every if rank.rank not in it.ranks])
    inside = _by_site([rank for rank in every if rank.rank in it.ranks])
    return "\n".join(
        [f"Ranks not in {cell(it.name)}:", "", *apart, "", "Ranks in it:", "", *inside, *none]
    )


def _by_site(results: Sequence[RankResult]) -> list[str]:
    """Equal wait sites together; what few ranks wait in comes first."""
    sites: dict[tuple[str, str], list[RankResult]] = defaultdict(list)
    for rank in results:
        if rank.wait_site or rank.wait:
            sites[rank.wait_site or "", rank.wait or ""].append(rank)
    lines = [
        f"- {named(rank.rank for rank in same)}: "
        + " ".join(filter(None, (code(site, 120) if site else "", cell(wait, 120))))
        for (site, wait), same in sorted(
            sites.items(),
            key=lambda item: (not any(rank.culprit for rank in item[1]), len(item[1])),
        )
    ]
    more = [f"- {len(lines) - ROWS} more wait sites"] if len(lines) > ROWS else []
    return [*lines[:ROWS], *more]
