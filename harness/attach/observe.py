"""Looks at a tree that runs elsewhere, and captures of its stacks. Read-only, but for what the
stack tools do (`harness.stacks.tools`), and SIGUSR1 where that was asked for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from harness.attach.captures import Captures, in_a_lock
from harness.detect.activity import has_ended, process_at
from harness.detect.chain import bystanders
from harness.detect.compilers import COMPILERS
from harness.detect.observation import Observation
from harness.detect.policy import STANDARD
from harness.detect.tree import Tree, judge_tree, unasked
from harness.detect.verdicts import Answer
from harness.observe import launchers, platform
from harness.stacks.capture import StackCapture
from harness.supervise import debug, loops
from harness.supervise.command_ranks import Numbers, starters
from harness.supervise.gather import Gatherer

FIRST, SECOND = 0.36, 0.27
"""The windows' shares of the time; the rest is for the stacks, twice some half a second."""
SETTLE_S = 0.1
"""After a tool has let go of the tree, until its threads wait again where they did."""
CAPTURED = 8
"""Processes of a tree whose stacks are taken, at most."""
RANKS = 32
"""Ranks of a job whose stacks are taken at most, so many processes' at a time as of any tree."""


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the looks."""

    seen: Observation
    tree: Tree
    captures: dict[int, tuple[StackCapture, ...]]
    """The captures by pid, with the outcome of each tool."""
    seconds: float
    not_read: tuple[str, ...] = ()
    """The things that could not be read, in words."""


def watch(pid: int, seconds: float, folder: Path, may_signal: bool = False) -> Watched:
    """Look at `pid` and its descendants for about `seconds`; stacks go to FOLDER/stacks.

    Takes longer on a machine on which a tool takes longer. Never raises for what has gone.
    """
    began = time.monotonic()
    change = msgspec.structs.replace
    gatherer, job = Gatherer(pid), _Job()
    taker = Captures(folder / "stacks", pid, may_signal)
    windows = [gatherer.window(FIRST * seconds, STANDARD.proof_looks)]
    seen = job.complete(gatherer.complete(windows))
    tree = judge_tree(seen)
    closed = _closed(pid) if platform.current().shows_waits else ""
    blind = bool(closed)
    if not blind or may_signal:
        taker.take(_wanted(tree, seen), "1", seen)
        seen = change(seen, stacks=taker.stacks.stacks())
    doubted = [one for one in _doubtful(tree) if one in taker.stacks.captures]
    variables = loops.variables(seen, doubted)
    if seen.last.processes:
        time.sleep(0.0 if blind else SETTLE_S)
        windows.append(gatherer.window(SECOND * seconds, STANDARD.proof_looks))
        stacks = seen.stacks
        seen = change(job.complete(gatherer.complete(windows)), stacks=stacks)
        tree = judge_tree(seen)
    if in_doubt := [one for one in _doubtful(tree) if one in taker.stacks.captures]:
        taker.take(in_doubt, "2", seen)
        seen = change(seen, stacks=taker.stacks.stacks())
        seen = change(seen, varied=loops.varied(variables), spins=loops.at_once(seen))
        tree = judge_tree(seen := bystanders.at_once(seen))
    if (asked := unasked(seen)) and gatherer.ask(asked):
        # Their threads have moved: what was seen before that proves nothing.
        stacks = seen.stacks
        windows = [gatherer.window(STANDARD.proof_s, STANDARD.proof_looks)]
        if windows[-1][-1].processes:
            seen = change(job.complete(gatherer.complete(windows)), stacks=stacks)
            tree = judge_tree(seen)
    debug.ATTACH.debug("process %d: %s: %s", pid, tree.answer.value, tree.summary)
    debug.write_tree(debug.ATTACH, tree)
    return Watched(
        seen=seen,
        tree=tree,
        captures=taker.stacks.captures,
        seconds=time.monotonic() - began,
        not_read=_not_read(closed, seen, taker),
    )


class _Job:
    """The processes that are ranks, and the things that their launcher was told of them."""

    def __init__(self) -> None:
        self._numbers = Numbers()
        self._ranks: dict[int, int] = {}

    def complete(self, seen: Observation) -> Observation:
        """`seen` with the ranks of its tree."""
        processes = seen.last.processes
        self._ranks |= self._numbers.of(processes)
        if not self._ranks:
            return seen
        argvs = starters(processes, self._ranks.values())
        counts = [count for argv, _ in argvs if (count := launchers.rank_count(argv)) is not None]
        return msgspec.structs.replace(
            seen,
            ranks=dict(self._ranks),
            rank_count=max(counts, default=None),
            elsewhere=any(launchers.elsewhere(argv, name) for argv, name in argvs),
        )


def _closed(pid: int) -> str:
    """The reason why no tool could see a stack; empty when one can."""
    try:
        os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY))
    except PermissionError:
        scope = platform.ptrace_scope()
        why = f" (kernel.yama.ptrace_scope is {scope})" if scope not in ("", "0") else ""
        return f"a debugger's rights are needed{why}"
    except (FileNotFoundError, ProcessLookupError):
        return "it had ended"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _wanted(tree: Tree, seen: Observation) -> list[int]:
    """Whose stacks are taken: the root's, and of what it waits for, first what is in doubt. Of a
    job the ranks', for its launcher tells nothing."""
    if tree.job is not None:
        ranks = set(seen.ranks.values())
        return [one.pid for one in tree.processes if one.pid in ranks][:RANKS]
    if not seen.shows_waits:
        # Only its stack will tell what the root waits for.
        others = (one for one in seen.last.processes if one.name not in COMPILERS)
        return list(dict.fromkeys([seen.root, *(one.pid for one in others)]))[:CAPTURED]
    root = tree.by_pid.get(seen.root)
    rest = [one.pid for one in tree.processes if one.pid != seen.root and _tells(seen, one.pid)]
    if root is None or tree.answer is Answer.COMPILING or (root.good and not root.on):
        rest = []
    return [seen.root, *rest][:CAPTURED]


def _tells(seen: Observation, pid: int) -> bool:
    """True if a descendant's stacks are worth a tool: those of Python, of several threads, and of
    one in a lock, whose kind and line nothing else tells."""
    process = process_at(seen.last, pid)
    if process is None or process.name in COMPILERS:
        return False
    if len(process.threads) > 1 or "python" in seen.names.get(pid, "").partition(" ")[0]:
        return True
    return in_a_lock(process, seen.arch)


def _doubtful(tree: Tree) -> list[int]:
    """Whose stacks are taken again: where that could alter or confirm what is said of it."""
    settled = (Answer.DEADLOCK, Answer.STOPPED, Answer.TRACED, Answer.ENDED)
    return [
        one.pid
        for one in tree.processes
        if one.answer not in settled and not (one.good and one.sure)
    ]


def _not_read(closed: str, seen: Observation, taker: Captures) -> tuple[str, ...]:
    ended = [
        one for one in (seen.root, *taker.stacks.captures) if has_ended(process_at(seen.last, one))
    ]
    told = []
    if closed and seen.root not in ended:
        told.append(f"stacks, system calls and timeouts: {closed}")
    for one, captures in taker.stacks.captures.items():
        if one in ended:
            continue  # what is said of it is that
        reasons = [attempt.reason for attempt in captures[0].attempts if attempt.reason]
        spared = next((reason for reason in reasons if reason.startswith("not used: ")), "")
        if captures[0].tool is None:
            told.append(f"the stacks of process {one}: {(reasons or ['no tool'])[0]}")
        elif spared:
            told.append(f"native frames of process {one}: {spared.partition(': ')[2]}")
    if not platform.current().shows_waits:
        told.append("system calls and timeouts, which only Linux shows")
    return tuple(told)
