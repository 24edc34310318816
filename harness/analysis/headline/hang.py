"""The headline of a hang: the chain of waits in lines, and how far it is proven. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from harness.analysis.headline import advice
from harness.detect.ranks.phrases import named
from harness.model import Cause, RankResult, ScenarioResult, Standing
from harness.text import exits, late, phrases
from harness.text.places import parsed
from harness.text.units import duration

MOST = 6
"""Lines on who waits, at most."""
_DEAD = 2
"""Lines on children that have ended, at most."""
_FROM = late.compile(r", from (\S+:\d+(?: in .+?)?)(?=$|; )")
"""The user's place in a wait site."""


@dataclass(frozen=True)
class Link:
    """One that waits, or the end of the chain, which has no name."""

    name: str
    detail: str
    place: str = ""
    ring: bool = False
    """True for an end at which those before wait for one another."""


@dataclass(frozen=True)
class Seen:
    """The parts of a hang's headline."""

    places: tuple[str, ...]
    who: tuple[str, ...]
    sure: str
    now: str
    chain: tuple[Link, ...]


def what(result: ScenarioResult, cause: Cause) -> str:
    """The hang in some words: `hung in step 3, phase data: waiting`."""
    if cause.evidence.get("answer") is not None:
        return f"{result.scenario}: {cause.code}"
    where = phrases.place(result.last_step, result.last_phase)
    # What the others do is told of each rank.
    how = cause.summary.partition("; ")[0] if result.ranks else cause.code
    return f"hung {where}: {how}" if where else f"hung: {how}"


def seen(result: ScenarioResult, cause: Cause) -> Seen:
    """The parts of the headline of a hang that `cause` explains."""
    links = tuple(_links(cause.evidence))
    who = tuple(_who(result, cause, links))
    frames = [rank.python_frame for rank in result.ranks if rank.culprit and rank.python_frame]
    site = _FROM.findall(str(cause.evidence.get("wait_site") or ""))
    chained = [link.place for link in links if _in_a_file(link.place)]
    return Seen(
        places=tuple(chained or frames[:1] or filter(_in_a_file, site[:1])),
        who=who,
        sure=_sure(result, cause),
        now=advice.hang(result, cause),
        chain=links if len(links) > 1 else (),
    )


def ranks(result: ScenarioResult) -> tuple[str, ...]:
    """A line for each kind of story that the ranks of a job have, the ones to blame first."""
    stories: dict[tuple[bool, str, str], list[RankResult]] = {}
    for rank in result.ranks:
        if rank.culprit or rank.state not in (Standing.WORKING, Standing.FINISHED):
            key = not rank.culprit, rank.state.value.replace("_", " "), rank.reason
            stories.setdefault(key, []).append(rank)
    lines = [
        f"{named(rank.rank for rank in same)} ({state}{'' if others else ', to blame'}): {reason}"
        for (others, state, reason), same in sorted(stories.items(), key=lambda item: item[0])
    ]
    return (*lines[:MOST], *(["and others"] if len(lines) > MOST else []))


def _links(evidence: Mapping[str, Any]) -> Iterator[Link]:
    for link in evidence.get("chain") or ():
        yield Link(str(link.get("name")), str(link.get("detail")), str(link.get("place") or ""))
    end = evidence.get("end") or {}
    if end:
        yield Link("", str(end.get("detail")), ring=end.get("kind") == "cycle")


def _who(result: ScenarioResult, cause: Cause, links: tuple[Link, ...]) -> Iterator[str]:
    if result.ranks:
        yield from ranks(result)
        return
    since = ""
    if result.stalled_at_s is not None and result.detected_at_s is not None:
        since = f", for {duration(result.detected_at_s - result.stalled_at_s)}"
    told = [link for link in links if link.name][:MOST]
    for index, link in enumerate(told):
        at = f" at {link.place}" if link.place and link.place not in link.detail else ""
        yield f"{link.name}{at} {link.detail}" + since * (index == 0)
    end = links[-1] if links and not links[-1].name else None
    # The last one's own state is told with it.
    if end is not None and end.detail not in [link.detail for link in told]:
        yield end.detail
    yield from islice(_ended(cause.evidence), _DEAD)
    if not links:
        site = str(cause.evidence.get("wait_site") or "")
        yield cause.summary + since
        if site and site not in cause.summary:
            yield site


def _ended(evidence: Mapping[str, Any]) -> Iterator[str]:
    """The children that have ended: those that ended badly, if any did."""
    every = evidence.get("ended_children") or ()
    for child in [one for one in every if advice.ended_badly(one)] or every:
        name, code = str(child.get("name")), child.get("exit_code")
        by = child.get("signal")
        how = f"was killed by {by}" if by else f"exited with code {code}"
        yield exits.of_child(name, how, child.get("oom_killer"))


def _in_a_file(place: str) -> bool:
    """True for a line of a file, which somebody can open."""
    return not place.startswith("<") and parsed(place) is not None


def _sure(result: ScenarioResult, cause: Cause) -> str:
    if cause.proven:
        return "proven: nothing is left that could end this wait"
    if cause.code == "stopped":
        return "seen: the system says that it is stopped"
    phase, longest = cause.evidence.get("phase_s"), cause.evidence.get("phase_max_s")
    if isinstance(phase, int | float):
        before = ""
        if isinstance(longest, int | float) and longest:
            before = f"; the longest before took {duration(longest)}"
        named = f"phase {result.last_phase}" if result.last_phase else "it"
        return f"not proven: {named} has run for {duration(phase)}{before}"
    return "not proven: no progress was seen"
