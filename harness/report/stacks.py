"""The stacks that were taken, a column each, so that two hangs can be read side by side."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice

import msgspec

from harness.detect.ranks.phrases import named
from harness.model import Outcome, RankResult, ScenarioInfo, ScenarioResult, Standing
from harness.report.input import Group, ReportInput
from harness.report.rank_rows import collective
from harness.report.sections import attached
from harness.report.text import line
from harness.stacks import parse
from harness.stacks.parse import Frame, ThreadStack
from harness.text import places

COLUMNS = 40
"""The most columns of one run."""
THREADS = 40
FRAMES = 200


@dataclass(frozen=True)
class Call:
    """A frame, or what lies between two frames that somebody wrote."""

    function: str
    place: str
    python: bool = False
    source: str = ""
    """The text of its line, where that is known."""
    system: tuple[str, ...] = ()
    """The calls of the C library, the interpreter, the standard library and the harness, innermost
    first."""


@dataclass(frozen=True)
class Thread:
    title: str
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Process:
    title: str
    threads: tuple[Thread, ...]
    text: str
    """The raw output of the tool, where it contains no readable thread."""
    pid: int | None = None
    rank: int | None = None
    """The rank in its job, where known."""


@dataclass(frozen=True)
class Column:
    name: str
    outcome: str
    text: str
    """The cause of a hang; of another run its outcome."""
    site: str
    processes: tuple[Process, ...]
    same: int
    """The number of runs of this scenario with this end and these stacks."""
    culprit: bool = False


def columns(groups: tuple[Group, ...], data: ReportInput) -> list[Column]:
    """A column for each way in which the runs of a scenario hung, and for each other run that has
    stacks: pytest-timeout has ended it, or it was hung and went on."""
    alike = []
    for group in groups:
        kinds: dict[str, list[ScenarioResult]] = {}
        for result in group.results:
            if result.outcome is Outcome.HUNG or data.stacks(result):
                evidence = result.cause.evidence if result.cause else {}
                key = str(evidence.get("fingerprint") or result.repeat)
                kinds.setdefault(key, []).append(result)
        alike += [(group, same) for same in kinds.values()]
    made = (of(group, same, data) for group, same in alike[:COLUMNS])
    return list(islice(chain.from_iterable(made), COLUMNS))


def of(group: Group, same: list[ScenarioResult], data: ReportInput) -> list[Column]:
    """The columns of the runs `same`, which ended in the same way; of ranks, several."""
    if same[0].ranks:
        return _of_ranks(group, same, data)
    return [_column(group, same, data)]


def _of_ranks(group: Group, same: list[ScenarioResult], data: ReportInput) -> list[Column]:
    """A column for each wait site of a job; the culprits' first, then what few ranks wait in."""
    result = same[0]
    whole = _column(group, same, data)
    stacks = {p.rank: p for p in whole.processes if p.rank is not None}
    sites: dict[object, list[RankResult]] = {}
    for rank in result.ranks:
        if rank.wait_site or rank.wait:
            waits = rank.state is Standing.WAITING
            sites.setdefault((rank.wait_site, rank.wait, waits), []).append(rank)
        elif rank.rank in stacks:
            sites.setdefault(_functions(stacks[rank.rank]), []).append(rank)
    it = collective(result)
    ordered = sorted(sites.values(), key=lambda at: (not any(o.culprit for o in at), len(at)))
    made = [
        replace(
            whole,
            name=f"{whole.name}: {named(rank.rank for rank in at)}"
            + (f", {it.says(at[0].rank)}" if it else ""),
            site=": ".join(filter(None, (at[0].wait_site, at[0].wait))),
            culprit=any(rank.culprit for rank in at),
            processes=tuple([stacks[rank.rank] for rank in at if rank.rank in stacks][:1]),
        )
        for at in ordered
    ]
    others = tuple(p for p in whole.processes if p.rank is None)
    if others or not made:
        made.append(replace(whole, name=f"{whole.name}: other processes", processes=others))
    return made


def _functions(process: Process) -> tuple[str, ...]:
    """The functions of the main thread: ranks with equal ones wait at one site."""
    return tuple(call.function for thread in process.threads[:1] for call in thread.calls)


def _column(group: Group, same: list[ScenarioResult], data: ReportInput) -> Column:
    result = same[0]
    cause = result.cause
    evidence = cause.evidence if cause else {}
    text = result.outcome.value
    if cause is not None:
        text = cause.code + (" (proven)" if cause.proven else "")
    return Column(
        name=group.label(result),
        outcome=result.outcome.value,
        text=text,
        site=line(
            str(evidence.get("wait_site") or (result.reason if not cause else "") or ""), 400
        ),
        processes=tuple(
            _sourced(process, group.info)
            for process in _processes(
                data.stack_texts(result),
                str(evidence.get("stack_tool", "")),
                (data.rank_pids(result) or attached.ranks(result)) if result.ranks else {},
            )
        ),
        same=len(same),
    )


def _sourced(process: Process, info: ScenarioInfo | None) -> Process:
    """`process` with the source of the scenario's own lines, where the tool has not printed it."""
    if info is None or not info.path:
        return process
    lines, name = info.source.splitlines(), posixpath.basename(info.path)

    def sourced(call: Call) -> Call:
        at = places.parsed(call.place) if call.python and not call.source else None
        if at is None or at.file != name or not 0 < at.line <= len(lines):
            return call
        return replace(call, source=lines[at.line - 1].strip())

    threads = (replace(t, calls=tuple(map(sourced, t.calls))) for t in process.threads)
    return replace(process, threads=tuple(threads))


def rank_of(folder: str) -> int | None:
    """The rank whose stacks lie in a folder of this name."""
    head, _, number = folder.partition("-")
    return int(number) if head == "rank" and number.isdecimal() else None


def _processes(texts: Mapping[str, str], tool: str, ranks: Mapping[int, int]) -> Iterator[Process]:
    """The last look of each process. The worker's files lie in the folder itself. Those of a rank,
    or of another process that it started, lie in a folder with that one's number. In runs of old
    those of ranks lie as others' do. `ranks` says of a process which rank it is."""
    pids = {rank: pid for pid, rank in ranks.items()}
    paths = sorted(texts, key=lambda path: (path.count("/"), path))
    for folder, files in groupby(paths, key=lambda path: path.rpartition("/")[0]):
        names = list(files)
        last = next((n for n in reversed(names) if n.endswith(f"-{tool}.txt")), names[-1])
        used = tool or last.rpartition("/")[2].removesuffix(".txt").partition("-")[2]
        rank = rank_of(folder)
        pid = int(folder) if folder.isdecimal() else None if rank is None else pids.get(rank)
        process = _process(texts[last], used, pid)
        if rank is None and process.pid is not None:
            rank = ranks.get(process.pid)
        which = "" if rank is None else f"rank {rank}"
        what = "the worker" if not folder else "" if pid is None else f"process {pid}"
        title = ", ".join(filter(None, (which, what, f"by stacks/{last}")))
        yield replace(process, title=title, rank=rank)


def _process(text: str, tool: str, pid: int | None) -> Process:
    parsed = parse.parse(tool, text, pid or 0) if tool in parse.PARSERS else ()
    if pid is None:
        # That of a process is its first thread's, which has the lowest one.
        pid = min((stack.tid for stack in parsed if stack.tid is not None), default=None)
    marked = [
        msgspec.structs.replace(stack, main=stack.main or (pid is not None and stack.tid == pid))
        for stack in parsed
    ]
    threads = _alike(map(_thread, sorted(marked, key=lambda t: not t.main)))[:THREADS]
    return Process("", threads, "" if threads else text, pid)


def _alike(threads: Iterable[Thread]) -> tuple[Thread, ...]:
    """The threads, those with the same stack once; the title says how many there are."""
    by_calls: dict[tuple[Call, ...], list[Thread]] = {}
    for thread in threads:
        by_calls.setdefault(thread.calls, []).append(thread)
    return tuple(
        replace(first, title=f"{first.title} and {len(rest)} more like it") if rest else first
        for first, *rest in by_calls.values()
    )


def _thread(stack: ThreadStack) -> Thread:
    calls: list[Call] = []
    folded = iter(_folded(stack.frames))
    for nobodys, part in groupby(stack.frames[:FRAMES], key=lambda _: next(folded)):
        frames = list(part)
        if nobodys and len(frames) > 1:
            inner = tuple(f"{frame.title}  {_place(frame)}".rstrip() for frame in frames)
            calls.append(Call(frames[0].title, f"and {len(frames) - 1} more", system=inner))
        else:
            calls += [Call(f.title, _place(f), f.python, f.source or "") for f in frames]
    title = f"thread {stack.tid}" if stack.tid is not None else "a thread"
    title += f" ({stack.name})" if stack.name else ""
    return Thread(title + (", main" if stack.main else ""), tuple(calls))


def _folded(frames: Iterable[Frame]) -> Iterator[bool]:
    """Mark the frames that do not interest the author of the program."""
    ours = False
    for frame in frames:
        # What starts a worker is given on the command line, as somebody's program may be.
        if frame.python and not (ours and frame.file == "<string>"):
            ours = frame.ours
        yield frame.system or (ours if frame.python else False)


def _place(frame: Frame) -> str:
    if frame.file is None or frame.module_offset:
        return ""
    return frame.file if frame.line is None else f"{frame.file}:{frame.line}"
