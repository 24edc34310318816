"""What a process that was not started here does, from looks at it and captures of its stacks. Pure.

`harness.detect.process_rules` decides; this puts it into words and figures.
"""

from __future__ import annotations

from typing import Any

from harness.detect.activity import has_ended, process_at
from harness.detect.observation import Seen
from harness.detect.process_rules import RULES
from harness.detect.process_state import Case, switches, told
from harness.detect.verdicts import GOOD, Answer, Judged
from harness.stacks import wait_site


def judge(pid: int, seen: Seen) -> Judged:
    """The answer for one process of the tree."""
    process = process_at(seen.last, pid)
    if process is None or has_ended(process):
        return Judged(pid=pid, answer=Answer.ENDED, summary="has ended", good=True)
    case = Case(seen, process)
    says = next(found for rule in RULES if (found := rule(case)) is not None)
    return Judged(
        pid=pid,
        answer=says.answer,
        summary=says.summary,
        good=says.answer in GOOD if says.good is None else says.good,
        on=tuple(one for one in says.on if one != pid),
        sure=says.sure,
        fingerprint=case.waits.fingerprint if case.waits else None,
        evidence=_facts(case) | says.evidence,
    )


def _facts(case: Case) -> dict[str, Any]:
    """What is told of every process."""
    moved = case.motion
    facts: dict[str, Any] = {
        "watched_s": round(moved.seconds, 2),
        "cpu": round(moved.cpu, 3),
        "io_bytes": moved.io,
        "major_faults": moved.major,
        "minor_faults": moved.minor,
        "switches": switches(moved),
        "threads": len(case.process.threads),
        "rss": case.process.rss,
    }
    if case.waits is not None:
        facts["wait_site"] = told(case.waits.overall)
        facts["wait_category"] = case.waits.overall.category.value
        facts["fingerprint"] = case.waits.fingerprint
    if len(case.captures) > 1:
        facts["stacks_moved"] = not wait_site.same_place(*case.captures[-2:])
    return facts
