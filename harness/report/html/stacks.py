"""The stacks of what hung, a column each, so that two hangs can be read side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from harness import stackparse
from harness.model import Outcome, ScenarioResult
from harness.report.input import Group, ReportInput
from harness.shown import wait_site
from harness.stackparse import Frame, ThreadStack

COLUMNS = 40
"""Hangs of one run that are shown at most."""
THREADS = 40
FRAMES = 200


@dataclass(frozen=True)
class Call:
    """A frame, or what lies between two frames that somebody wrote."""

    function: str
    place: str
    python: bool = False
    system: tuple[str, ...] = ()
    """The calls of the C library, the interpreter and the standard library, innermost first."""


@dataclass(frozen=True)
class Thread:
    title: str
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Process:
    title: str
    threads: tuple[Thread, ...]
    text: str
    """What the tool printed, where no thread could be read in it."""


@dataclass(frozen=True)
class Column:
    name: str
    cause: str
    proven: bool
    site: str
    processes: tuple[Process, ...]
    same: int
    """How many runs of this scenario hung with these stacks."""


def columns(groups: tuple[Group, ...], data: ReportInput) -> list[Column]:
    """A column for each way in which the runs of a scenario hung."""
    found = []
    for group in groups:
        kinds: dict[str, list[ScenarioResult]] = {}
        for result in group.results:
            if result.outcome is Outcome.HUNG and result.cause is not None:
                key = str(result.cause.evidence.get("fingerprint") or result.repeat)
                kinds.setdefault(key, []).append(result)
        found += [(group, same) for same in kinds.values()]
    return [_column(group, same, data) for group, same in found[:COLUMNS]]


def _column(group: Group, same: list[ScenarioResult], data: ReportInput) -> Column:
    result = same[0]
    cause = result.cause
    assert cause is not None
    tool = str(cause.evidence.get("stack_tool"))
    return Column(
        name=group.name + (f" [{result.repeat}]" if len(group.results) > 1 else ""),
        cause=cause.code,
        proven=cause.proven,
        site=wait_site(result),
        processes=tuple(_processes(data.stack_texts(result), tool)),
        same=len(same),
    )


def _processes(texts: Mapping[str, str], tool: str) -> Iterator[Process]:
    """Of each process the last look: the worker's files lie in the folder itself, those of a
    process it started in a folder with that one's number."""
    paths = sorted(texts, key=lambda path: (path.count("/"), path))
    for folder, files in groupby(paths, key=lambda path: path.rpartition("/")[0]):
        names = list(files)
        last = next((n for n in reversed(names) if n.endswith(f"-{tool}.txt")), names[-1])
        title = f"process {folder}" if folder else "the worker"
        yield _process(f"{title}, by stacks/{last}", texts[last], tool)


def _process(title: str, text: str, tool: str) -> Process:
    parsed = stackparse.parse(tool, text, 0) if tool in stackparse.PARSERS else ()
    threads = tuple(map(_thread, sorted(parsed, key=lambda t: not t.main)[:THREADS]))
    return Process(title, threads, "" if threads else text)


def _thread(stack: ThreadStack) -> Thread:
    calls: list[Call] = []
    for system, part in groupby(stack.frames[:FRAMES], key=lambda frame: frame.system):
        frames = list(part)
        if system and len(frames) > 1:
            inner = tuple(f"{frame.function}  {_place(frame)}".rstrip() for frame in frames)
            calls.append(Call(frames[0].function, f"and {len(frames) - 1} more", system=inner))
        else:
            calls += [Call(f.function, _place(f), f.python) for f in frames]
    title = f"thread {stack.tid}" if stack.tid is not None else "a thread"
    title += f" ({stack.name})" if stack.name else ""
    return Thread(title + (", main" if stack.main else ""), tuple(calls))


def _place(frame: Frame) -> str:
    if frame.file is None:
        return ""
    return frame.file if frame.line is None else f"{frame.file}:{frame.line}"
