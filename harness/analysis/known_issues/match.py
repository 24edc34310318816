"""The known issues that one result shows, each with what is the same. Pure.

A match needs a wait site or an error that is the issue's own. An outcome alone is never enough.
Where the version that ran is known, it must be one that has the issue.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from harness.analysis.known_issues import versions
from harness.analysis.known_issues.catalog import KnownIssue, compiled, load
from harness.death import last_words
from harness.model import Environment, KnownIssueMatch, Sameness, ScenarioResult
from harness.text import late

SEEN = 160
"""Characters of the last matched line that are told."""
_HEADER = late.compile(r"\n(?=\s*(?:\d+ )?(?:Traceback for thread |(?:Current t|T)hread[ _]))")
"""The line above a thread's frames; `sample` has the number of its looks before it."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The traces of a run: the ends of its outputs, and its last stacks."""

    outputs: tuple[str, ...] = ()
    """The end of each log."""
    stacks: tuple[tuple[str, ...], ...] = ()
    """For each process and stack tool the texts of its captures, one look after the other."""


def match(
    result: ScenarioResult,
    evidence: Evidence,
    environment: Environment,
    issues: Sequence[KnownIssue] | None = None,
) -> tuple[KnownIssueMatch, ...]:
    """The issues of `issues` (default: all known ones) that `result` shows, the surest first."""
    errors = [result.reason or "", *map(last_words.excerpt, evidence.outputs)]
    looks = [[_threads(text) for text in captures] for captures in evidence.stacks]
    found = []
    for issue in load() if issues is None else issues:
        version = versions.watched(environment).get(issue.package)
        has_it = versions.concerns(issue, version)
        if has_it is False or result.outcome not in issue.outcomes:
            continue
        if not versions.possible(issue, environment):
            continue
        same = _same(issue, errors, looks)
        if same is None:
            continue
        sameness, seen = same
        found.append(
            KnownIssueMatch(
                id=issue.id,
                title=issue.title,
                url=issue.url,
                package=issue.package,
                same=sameness,
                seen=seen.strip().splitlines()[-1].strip()[:SEEN],
                version=version if has_it else None,
                fixed=issue.fixed,
                cure=issue.cure,
            )
        )
    order = tuple(Sameness)
    return tuple(sorted(found, key=lambda one: (one.version is None, order.index(one.same))))


def _same(
    issue: KnownIssue,
    errors: Iterable[str],
    looks: Iterable[Sequence[Sequence[str]]],
) -> tuple[Sameness, str] | None:
    """The surest thing that is the same, and the text that says so."""
    for captures in looks if issue.wait_site else ():
        # A thread that was there in one look, and not in the next, has gone on.
        seen = [_waits(issue, threads) for threads in captures]
        if seen and all(seen):
            return Sameness.WAIT_SITE, seen[0] or ""
    if issue.error is not None:
        for error in errors:
            if hit := compiled(issue.error).search(error):
                return Sameness.ERROR, hit[0]
    return None


def _waits(issue: KnownIssue, threads: Iterable[str]) -> str | None:
    """The last frame of the issue's wait site, on the stack of a thread that has all of them."""
    for thread in threads:
        hits = [compiled(pattern).search(thread) for pattern in issue.wait_site]
        if all(hits) and (last := hits[-1]):
            return last[0]
    return None


def _threads(text: str) -> list[str]:
    """The stack of each thread, in the text of any stack tool."""
    return [thread for thread in _HEADER.split(text) if thread.strip()]
