"""The ranks of one job: what each was doing at the verdict, the odd one out first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from harness.model import RankResult, ScenarioResult, Standing
from harness.ranks.words import named
from harness.report.input import Group, ReportInput
from harness.report.text import NOTHING, cell, code, counted, seconds, table

TITLES = ("rank", "state", "step", "phase", "for", "last collective", "waits in", "why")
HOST = "host"
ROWS = 24
"""Rows of a table, and wait sites, at most. Ranks of which the same is to be said share one."""
ORDINARY = (Standing.WAITING, Standing.WORKING, Standing.FINISHED)

Row = tuple[str, ...]


def ranks(group: Group, data: ReportInput) -> str:
    """A table of the ranks of the run that the section shows, and their stacks by wait site."""
    result = group.worst
    if not result.ranks:
        return ""
    return "\n\n".join(part for part in _parts(result) if part)


def _parts(result: ScenarioResult) -> Iterator[str]:
    counts = Counter(one.state for one in result.ranks)
    told = ", ".join(f"{number} {_state(state)}" for state, number in counts.most_common())
    which = f" of repeat {result.repeat}" if result.repeat else ""
    yield f"**{counted(len(result.ranks), 'rank')}{which}**: {told}"
    alike = _alike(result.ranks)
    hosts = any(one.host for one in result.ranks)
    titles = (*TITLES[:1], HOST, *TITLES[1:]) if hosts else TITLES
    rows = [_row(same, hosts) for same in alike[:ROWS]]
    align = ["l"] * len(titles)
    align[titles.index("step")] = align[titles.index("for")] = "r"
    yield table(titles, rows, "".join(align), 10_000)
    if len(alike) > ROWS:
        rest = sum(len(same) for same in alike[ROWS:])
        yield f"*Left out: {counted(rest, 'rank')}; run.json has them.*"
    yield _sites(result.ranks)


def _alike(results: Sequence[RankResult]) -> list[list[RankResult]]:
    """Ranks of which the same is to be said; culprits first, then what few of them do."""
    groups: dict[object, list[RankResult]] = defaultdict(list)
    for one in results:
        key = (one.culprit, one.state, one.last_step, one.last_phase, one.collective)
        ending = (one.exit_code, one.signal, one.wait_site)
        groups[key, one.collective_op, ending].append(one)
    return sorted(
        groups.values(),
        key=lambda same: (
            not same[0].culprit,
            same[0].state in ORDINARY,
            len(same),
            same[0].rank,
        ),
    )


def _row(same: Sequence[RankResult], hosts: bool) -> Row:
    first = same[0]
    who = named(one.rank for one in same).partition(" ")[2]
    where = sorted({one.host for one in same if one.host})
    more = f" and {len(where) - 2} more" if len(where) > 2 else ""
    state = _state(first.state)
    longest = max((one.phase_s for one in same if one.phase_s is not None), default=None)
    last = NOTHING
    if first.collective is not None:
        step = "" if first.collective_step is None else f" (step {first.collective_step})"
        last = cell(f"{first.collective_op} #{first.collective}", 60) + step
    return (
        f"**{who}**" if first.culprit else who,
        *([cell(", ".join(where[:2]) + more, 80) or NOTHING] if hosts else []),
        f"**{state}**" if first.culprit else state,
        NOTHING if first.last_step is None else str(first.last_step),
        cell(first.last_phase or NOTHING, 40),
        seconds(longest),
        last,
        code(first.wait_site, 80) if first.wait_site else NOTHING,
        cell(first.reason, 200),
    )


def _sites(results: Sequence[RankResult]) -> str:
    """The stacks, equal wait sites together; what few ranks wait in comes first."""
    sites: dict[tuple[str, str], list[RankResult]] = defaultdict(list)
    for one in results:
        if one.wait_site or one.wait:
            sites[one.wait_site or "", one.wait or ""].append(one)
    lines = [
        f"- {named(one.rank for one in same)}: "
        + " ".join(filter(None, (code(site, 120) if site else "", cell(wait, 120))))
        for (site, wait), same in sorted(
            sites.items(),
            key=lambda item: (not any(one.culprit for one in item[1]), len(item[1])),
        )
    ]
    unseen = sum(not (one.wait_site or one.wait) for one in results)
    if not lines:
        return ""
    more = [f"- {len(lines) - ROWS} more wait sites"] if len(lines) > ROWS else []
    none = [f"- no stacks of {counted(unseen, 'rank')}"] if unseen else []
    return "\n".join(["By wait site:", "", *lines[:ROWS], *more, *none])


def _state(state: Standing) -> str:
    return state.value.replace("_", " ")
