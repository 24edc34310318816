"""The findings about a process elsewhere, as a run's result, folder and report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from harness import __version__
from harness.analysis import headline
from harness.attach.observe import Watched
from harness.detect.tree import Tree
from harness.detect.verdicts import Answer, Judged
from harness.model import (
    Cause,
    Command,
    Finding,
    Outcome,
    RunResult,
    ScenarioInfo,
    ScenarioResult,
    Severity,
    Standing,
)
from harness.observe import environment, mapped, platform
from harness.report import screen
from harness.report.known_issues import with_known_issues
from harness.report.sections.attached import CODE as ATTACHED
from harness.text.known_issues import describe
from harness.text.units import duration

MOST = 64
"""Processes that are told of."""
_CAUSES = {
    Answer.DEADLOCK: "deadlock",
    Answer.STOPPED: "stopped",
    Answer.TRACED: "stopped",
    Answer.STARVED: "starved",
    Answer.STALLED: "stalled",
    Answer.SPINNING: "stalled",
    Answer.WAITING: "waiting",
    Answer.ASLEEP: "waiting",
}


def result(watched: Watched, name: str) -> ScenarioResult:
    """The scenario's result: `hung` with a cause, or `unfinished` with the reason that it lives."""
    tree = watched.tree
    rss = [process.rss for process in watched.seen.last.processes if process.rss is not None]
    made = ScenarioResult(
        scenario=name,
        outcome=Outcome.UNFINISHED if tree.good else Outcome.HUNG,
        reason=says(tree) if tree.good else None,
        cause=None if tree.good else cause(watched),
        steps_requested=0,
        steps_completed=0,
        wall_s=watched.seconds,
        findings=(_finding(watched), *(tree.job.findings if tree.job else ())),
        ranks=tree.job.ranks if tree.job else (),
    )
    memory = msgspec.structs.replace(made.metrics.memory, rss_peak=sum(rss) or None)
    return msgspec.structs.replace(
        made, metrics=msgspec.structs.replace(made.metrics, memory=memory)
    )


def says(tree: Tree) -> str:
    """The answer, and what is said of it."""
    return f"{tree.answer.value}: {tree.summary}"


def cause(watched: Watched) -> Cause:
    tree = watched.tree
    deciding = tree.processes[0] if tree.processes else None
    evidence = dict(deciding.evidence) if deciding else {}
    captures = watched.captures.get(tree.decided_by, ())
    if captures:
        evidence["stack_tool"] = captures[0].tool
        evidence["stack_attempts"] = [
            f"{a.tool}: {'ok' if a.ok else a.reason} ({duration(a.seconds)})"
            for a in captures[0].attempts
        ]
    if watched.seen.gpu:
        evidence["gpu"] = list(watched.seen.gpu)
    if tree.job is not None:
        evidence |= {"culprits": list(tree.job.culprits), "reason": tree.job.reason}
    return Cause(
        code=_CAUSES[tree.answer],
        summary=says(tree),
        proven=tree.answer is Answer.DEADLOCK,
        evidence={"answer": tree.answer.value, "pid": tree.decided_by} | evidence,
    )


def _finding(watched: Watched) -> Finding:
    tree, seen = watched.tree, watched.seen
    return Finding(
        code=ATTACHED,
        severity=Severity.INFO,
        summary=f"looked at {seen.name(seen.root)} from outside for {duration(watched.seconds)}",
        evidence={
            "answer": tree.answer.value,
            "summary": tree.summary,
            "pid": seen.root,
            "decided_by": tree.decided_by,
            "processes": [_told(one, watched) for one in tree.processes[:MOST]],
            "not_read": list(watched.not_read),
        },
    )


def _told(one: Judged, watched: Watched) -> dict[str, Any]:
    kept = ("watched_s", "cpu", "io_bytes", "major_faults", "switches", "threads", "rss",
            "wait_site", "wait_category", "stacks_moved", "fingerprint", "wakes_in_s")  # fmt: skip
    rank = next((rank for rank, pid in watched.seen.ranks.items() if pid == one.pid), None)
    return {
        "pid": one.pid,
        **({} if rank is None else {"rank": rank}),
        "name": watched.seen.names.get(one.pid, ""),
        "answer": one.answer.value,
        "summary": one.summary,
        "waits_for": list(one.on),
        # Threads are a number here, and the list of them in the cause's evidence.
        **{
            key: value
            for key in kept
            if not isinstance(value := one.evidence.get(key), list) and value is not None
        },
    }


def run(
    watched: Watched, name: str, argv: Sequence[str], began: datetime, command: Sequence[str]
) -> RunResult:
    """run.json of an attachment. `argv` is what may be shown of the process's command line."""
    env = environment.of_nobody()
    info = ScenarioInfo(
        name=name, path="", summary="", doc="", source="", command=Command(argv=tuple(argv))
    )
    return RunResult(
        harness_version=__version__,
        started=_stamp(began),
        finished=_stamp(datetime.now(timezone.utc)),
        command=tuple(command),
        environment=environment.of_command(
            env, mapped.of_tree([process.pid for process in watched.seen.last.processes])
        ),
        settings=None,
        scenarios=(info,),
        results=(result(watched, name),),
    )


def compared(run: RunResult, home: Path) -> RunResult:
    """`run`, whose stacks are in `home`, with the known issues that the process shows."""
    results = tuple(with_known_issues(one, home, run.environment) for one in run.results)
    return msgspec.structs.replace(run, results=results)


def known_issues(run: RunResult) -> list[str]:
    """A sentence and an address for each known issue of the process."""
    matches = [match for one in run.results for match in one.known_issues]
    return [f"{describe(match)}\n{match.url}" for match in matches]


def state(watched: Watched) -> bytes:
    """state.json: the last look, and what each thread of whose stack was seen does."""
    last = watched.seen.last
    pids = [process.pid for process in last.processes]
    return msgspec.json.format(
        msgspec.json.encode(
            {
                "machine": last.machine,
                "processes": last.processes,
                "more": {str(pid): more for pid, more in last.more.items()},
                "open_files": {str(pid): platform.current().open_files(pid) for pid in pids},
                "links": {str(tid): found for tid, found in watched.seen.links.items()},
                "stacks": {
                    str(one.pid): watched.captures[one.pid]
                    for one in watched.tree.processes
                    if one.pid in watched.captures
                },
            }
        ),
        indent=1,
    )


def lines(tree: Tree, watched: Watched) -> list[str]:
    """The lines for the terminal: the answer, then each process, the odd one out first."""
    seen = watched.seen
    others = len(tree.processes) - 1
    below = f" and {others} below it" if others > 0 else ""
    told = [f"{seen.name(seen.root)}{below}: {tree.answer.value}", f"  {tree.summary}"]
    if others > 0:
        told += [
            f"  {one.answer.value:<9} {seen.name(one.pid)} {one.summary}"
            for one in tree.processes[:8]
        ]
        told += [f"  and {len(tree.processes) - 8} more"] * (len(tree.processes) > 8)
        ranks = tree.job.ranks if tree.job else ()
        gone = [one for one in ranks if one.state in (Standing.DEAD, Standing.FINISHED)]
        told += [f"  {one.state.value:<9} rank {one.rank} {one.reason}" for one in gone[:8]]
    if not tree.good:
        told += [f"  {row}" for row in screen.below(headline.of(result(watched, "")))]
    elif others <= 0 and tree.processes:
        site = tree.processes[0].evidence.get("wait_site")
        told += [f"  {site}"] if site and site not in tree.summary else []
    return told + [f"  not read: {one}" for one in watched.not_read]


def _stamp(moment: datetime) -> str:
    return moment.astimezone().isoformat(timespec="seconds")
