"""The evidence of a hang, kept before anything is signaled: stacks, and the state of the tree."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from harness.detect.observation import Capture
from harness.inject.inside import answering
from harness.model import BuiltBeat, Snapshot, StepBeat
from harness.observe import gpu, platform, threads
from harness.observe import processes as observe
from harness.stacks import capture as stacks
from harness.stacks import wait_site
from harness.text.units import duration

MOST = 4
"""The number of processes of a large tree whose stacks are taken."""
AT_ONCE = 4


class Last(msgspec.Struct, frozen=True):
    """The last beats of their kinds: MLX's memory is in one, the pending graph in the other."""

    step: StepBeat | None = None
    graph: BuiltBeat | None = None


@dataclass(frozen=True)
class Evidence:
    told: dict[str, Any] = field(default_factory=dict)
    """The evidence that a cause tells."""
    waits: dict[int, wait_site.WaitSite] = field(default_factory=dict)
    """The wait in its stacks that names the cause, by process."""
    each: dict[int, dict[str, Any]] = field(default_factory=dict)
    """The words of a cause that lies in a process about its stacks, by process."""
    stacks: dict[int, tuple[Capture, ...]] = field(default_factory=dict)
    """The captures that have any stacks, by process."""


def collect(
    folder: Path,
    snapshot: Snapshot,
    last: Last,
    faulthandler: Path | None,
    before: int = 0,
    of: Sequence[int] = (),
    stop: threading.Event | None = None,
    ranks: Mapping[int, int] | None = None,
    *,
    once: bool = False,
) -> Evidence:
    """Save stacks/ and state.json into `folder`.

    Of a worker that has had so many hangs `before`, to stacks-N/ and state-N.json. Stacks are taken
    of the processes `of`, or else of the first few, of which the first is the worker. It is sent no
    signal where no `faulthandler` is given. `ranks` says of a process which rank of a job it is.

    Takes some seconds: two looks at each process, a second apart. With `once` it is one look, which
    says where the process is, and not whether it moves. Never raises: what cannot be had
    or written is missing, and the attempts say why. Once `stop` is set, no tool is waited for.
    """
    stop = stop or threading.Event()
    name = f"-{before + 1}" if before else ""
    home, pids = folder / f"stacks{name}", _chosen(snapshot, of)
    seen = _stacks(
        [(pid, _place(home, pid, pids, ranks or {})) for pid in pids],
        faulthandler if _is_ours(pids, snapshot, ranks or {}) else None,
        stop,
        once,
    )
    names = {process.pid: process.name for process in snapshot.processes}
    each = {pid: _told(one) for pid, one in seen}
    told = _deepest(list(each.values()), [names.get(pid, "") for pid in each])
    if any(platform.current().devices(pid) for pid, _ in seen):
        told["gpu"] = gpu.utilization(stop=stop)
    try:
        (folder / f"state{name}.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(_state(snapshot, last, seen)), indent=1)
        )
    except OSError:
        told["state"] = "could not be written"
    waits = {pid: one.waits.overall for pid, one in seen if one.waits is not None}
    captures = {
        pid: tuple(capture.threads for capture in one.captures if capture.threads)
        for pid, one in seen
    }
    return Evidence(told, waits, each, captures)


def _chosen(snapshot: Snapshot, of: Sequence[int]) -> list[int]:
    alive = [p.pid for p in snapshot.processes if p.state != "Z" or len(p.threads) > 1]
    return [pid for pid in of if pid in alive] or alive[:MOST]


def _place(home: Path, pid: int, pids: Sequence[int], ranks: Mapping[int, int]) -> Path:
    """The folder for its stacks: each rank's by its rank, the worker's is the folder itself."""
    if pid in ranks:
        return home / f"rank-{ranks[pid]}"
    return home if pid == pids[0] else home / str(pid)


def _is_ours(pids: Sequence[int], snapshot: Snapshot, ranks: Mapping[int, int]) -> bool:
    """True if the first of `pids` is a worker, which answers a signal, and no process below it."""
    worker = snapshot.processes[0].pid if snapshot.processes else None
    return bool(pids) and (pids[0] == worker or pids[0] in ranks)


def _stacks(
    of: Sequence[tuple[int, Path]], faulthandler: Path | None, stop: threading.Event, once: bool
) -> list[tuple[int, stacks.StackEvidence]]:
    def look(index: int) -> stacks.StackEvidence:
        main = index == 0
        pid, folder = of[index]
        handler = faulthandler if main else None
        if once:
            capture = stacks.capture(
                pid,
                folder,
                faulthandler_file=handler,
                may_signal=main,
                asks_by=answering.QUESTION,
                stop=stop,
            )
            return stacks.StackEvidence(
                captures=(capture,), waits=wait_site.clearest([capture.threads])
            )
        return stacks.capture_twice(
            pid,
            folder,
            faulthandler_file=handler,
            may_signal=main,
            asks_by=answering.QUESTION,
            stop=stop,
        )

    found = threads.each(range(len(of)), look, AT_ONCE, stop)
    return [(pid, one) for (pid, _), one in zip(of, found, strict=True)]


def _deepest(processes: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """The wait of the worker; where that is for a child, also the wait of the child, and so on.

    The category stays the worker's own. The tool is that of the last that is told of. A fingerprint
    is of all that are: a child that sleeps sleeps alike, whoever waits for it.
    """
    found: dict[str, Any] = dict(processes[0]) if processes else {}
    last = found
    for told, name in zip(processes[1:], names[1:], strict=True):
        if last.get("wait_category") != "child" or "wait_site" not in told:
            break
        site = f"{found['wait_site']}; the child ({name}) {told['wait_site']}"
        mark = wait_site.digest([found["fingerprint"], told["fingerprint"]])
        found |= told | {"wait_category": "child", "wait_site": site, "fingerprint": mark}
        last = told
    return found


def _told(evidence: stacks.StackEvidence) -> dict[str, Any]:
    """A few words of a process's stacks for the report."""
    first = evidence.captures[0]
    told: dict[str, Any] = {
        "stack_tool": first.tool,
        "stack_attempts": [
            f"{a.tool}: {'ok' if a.ok else a.reason} ({duration(a.seconds)})"
            for a in first.attempts
        ],
        "stacks_moved": evidence.moved,
    }
    if evidence.waits is not None:
        site = evidence.waits.overall
        told["wait_site"] = wait_site.describe(site)
        told["wait_category"] = site.category.value
        told["fingerprint"] = evidence.waits.fingerprint
    return told


def _state(
    snapshot: Snapshot, last: Last, seen: list[tuple[int, stacks.StackEvidence]]
) -> dict[str, Any]:
    pids = [process.pid for process in snapshot.processes]
    deep = observe.processes(pids[0], also=pids[1:], deep=True) if pids else ()
    return {
        "position": snapshot.position,
        "steps": snapshot.steps,
        "last_step": last.step,
        "last_graph": last.graph,
        "machine": snapshot.machine,
        "processes": deep,
        "open_files": {str(pid): platform.current().open_files(pid) for pid in pids},
        "waits": {str(pid): evidence.waits for pid, evidence in seen},
    }
