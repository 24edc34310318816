"""Looks at a tree that runs elsewhere, and captures of its stacks. Read-only, but for what the
stack tools do (`harness.stacks.tools`), and SIGUSR1 where that was asked for."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from harness import syscalls
from harness.attach import launchers, target
from harness.detect.activity import has_ended, process_at
from harness.detect.observation import Capture, Look, More, Seen, Window
from harness.detect.process_rules import COMPILERS
from harness.detect.tree import Tree, judge_tree
from harness.detect.verdicts import Answer
from harness.model import Process
from harness.model.world import World
from harness.observe import gpu, platform, threads
from harness.observe import processes as observe
from harness.observe.linux import file_peers, timeouts
from harness.stacks import capture as stacks
from harness.stacks import tools
from harness.stacks.capture import StackCapture
from harness.supervise.rank_tracker import Numbers

BETWEEN_S = 0.15
"""Between two looks."""
FIRST, SECOND = 0.45, 0.3
"""The windows' shares of the time; the rest is for the stacks, twice some half a second."""
SETTLE_S = 0.1
"""After a tool has let go of the tree, until its threads wait again where they did."""
WORLDS = 8
CAPTURED = 8
"""Processes of a tree that are proven dead if they are, and whose stacks are taken, at most."""
RANKS = 32
"""Ranks of a job whose stacks are taken at most, so many processes' at a time as of any tree."""
TOOL_S = 5.0
"""For one tool at one process."""
_KCMP = {"x86_64": 312, "aarch64": 272}
_KCMP_VM = 1


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the looks."""

    seen: Seen
    tree: Tree
    captures: dict[int, tuple[StackCapture, ...]]
    """By pid, with what became of each tool."""
    seconds: float
    not_read: tuple[str, ...] = ()
    """What could not be read, in words."""


def watch(pid: int, seconds: float, folder: Path, may_signal: bool = False) -> Watched:
    """Look at `pid` and its descendants for about `seconds`; stacks go to FOLDER/stacks.

    Takes longer on a machine on which a tool takes longer. Never raises for what has gone.
    """
    began = time.monotonic()
    taker = _Taker(folder / "stacks", pid, may_signal)
    asked, left = _Asked(), timeouts.Left(platform.current().arch)
    windows = [_window(pid, FIRST * seconds, left)]
    seen = _complete(Seen(root=pid, windows=tuple(windows), arch=platform.current().arch), asked)
    tree = judge_tree(seen)
    closed = _closed(pid) if platform.current().shows_waits else ""
    blind = bool(closed)
    if not blind or may_signal:
        taker.take(_wanted(tree, seen), "1", seen)
        seen = msgspec.structs.replace(seen, stacks=taker.stacks())
    if seen.last.processes:
        time.sleep(0.0 if blind else SETTLE_S)
        windows.append(_window(pid, SECOND * seconds, left))
        seen = _complete(msgspec.structs.replace(seen, windows=tuple(windows)), asked)
        tree = judge_tree(seen)
    if in_doubt := [one for one in _doubtful(tree) if one in taker.found]:
        taker.take(in_doubt, "2", seen)
        seen = msgspec.structs.replace(seen, stacks=taker.stacks())
        tree = judge_tree(seen)
    return Watched(
        seen=seen,
        tree=tree,
        captures=taker.found,
        seconds=time.monotonic() - began,
        not_read=_not_read(closed, seen, taker),
    )


def _window(pid: int, seconds: float, left: timeouts.Left) -> Window:
    """Looks for so long, and at least two; fewer if it ends."""
    end = time.monotonic() + seconds
    looks = [_look(pid, left)]
    while looks[-1].processes and (len(looks) < 2 or time.monotonic() < end):
        time.sleep(min(BETWEEN_S, seconds))
        looks.append(_look(pid, left))
    return tuple(looks)


def _look(pid: int, left: timeouts.Left) -> Look:
    processes = observe.processes(pid, deep=True)
    if processes and processes[0].pid != pid:
        processes = ()
    t = time.monotonic()
    return Look(
        t=t,
        processes=left.of(processes, t),
        worlds=_worlds(processes),
        more={one.pid: _more(one) for one in processes} if platform.current().shows_waits else {},
        machine=observe.machine(),
    )


def _worlds(processes: Sequence[Process]) -> dict[int, World]:
    looks = ((one.pid, platform.current().world(one.pid)) for one in processes[:WORLDS])
    return {pid: world for pid, world in looks if world is not None}


def _more(process: Process) -> More:
    stat = _read(f"/proc/{process.pid}/stat").rpartition(")")[2].split()
    swap = re.search(r"^VmSwap:\s*(\d+)", _read(f"/proc/{process.pid}/status"), re.M)
    sleeps, waits_in = {}, {}
    for thread in process.threads:
        folder = f"/proc/{process.pid}/task/{thread.tid}"
        found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", _read(f"{folder}/status"), re.M)
        if found:
            sleeps[thread.tid] = int(found[1])
        waits_in[thread.tid] = _read(f"{folder}/wchan")
    return More(
        started=int(stat[19]) if len(stat) > 19 else None,
        minor_faults=int(stat[7]) if len(stat) > 7 else None,
        swap=int(swap[1]) * 1024 if swap else None,
        sleeps=sleeps,
        waits_in=waits_in,
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


class _Asked:
    """What processes are called, and which of them are ranks, asked once each."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}
        self._numbers = Numbers()
        self._ranks: dict[int, int] = {}

    def names(self, pids: Iterable[int]) -> dict[int, str]:
        for pid in pids:
            if pid not in self._known and (found := target.named(pid)):
                self._known[pid] = " ".join(found)
        return dict(self._known)

    def job(self, seen: Seen) -> Seen:
        """`seen` with the ranks of its tree, and what their launcher was told of them."""
        processes = seen.last.processes
        self._ranks |= self._numbers.of(processes)
        if not self._ranks:
            return seen
        below = set(self._ranks.values())
        argvs = []
        for one in processes:  # parents before children
            if one.pid in below or one.ppid in below:
                below.add(one.pid)
            else:
                argvs.append((target.argv(one.pid), one.name))
        told = [number for argv, _ in argvs if (number := launchers.asked(argv)) is not None]
        return msgspec.structs.replace(
            seen,
            ranks=dict(self._ranks),
            asked=max(told, default=None),
            elsewhere=any(launchers.elsewhere(argv, name) for argv, name in argvs),
        )


def _complete(seen: Seen, asked: _Asked) -> Seen:
    """`seen` with what is asked once: ranks, links, names, shared memory, the GPU."""
    processes = seen.last.processes
    change = msgspec.structs.replace
    seen = asked.job(seen)
    if not platform.current().shows_waits:
        return change(seen, names=asked.names(one.pid for one in processes))
    ends = file_peers.Ends()
    found = {
        thread.tid: link
        for process in processes
        for thread in process.threads
        if (link := file_peers.waited_for(process, thread, seen.arch, ends))
    }
    listed = {one.pid for one in processes}
    sockets = {pid: ends.peers(pid) for pid in listed}
    peers = {peer for each in found.values() for link in each for peer in link.peers}
    peers |= {peer for each in sockets.values() for peer in each}
    return change(
        seen,
        links=found,
        sockets=sockets,
        names=asked.names(listed | peers),
        shares=frozenset(one.pid for one in processes[:WORLDS] if _shares(one, seen.arch)),
        gpu=seen.gpu or _gpu(seen.last),
    )


def _gpu(look: Look) -> tuple[str, ...]:
    opened = any(
        around.devices for world in look.worlds.values() for around in world.surroundings.values()
    )
    return tuple(gpu.utilization(timeout=2.0)) if opened else ()


def _shares(process: Process, arch: str) -> bool:
    """Whether its memory may be its parent's as well, as it is between vfork and exec.

    A thread of the parent could then wake it through what is called a private futex.
    """
    call = ctypes.CDLL(None, use_errno=True).syscall
    number = _KCMP.get(arch)
    if number is not None:
        answer = call(number, process.pid, process.ppid, _KCMP_VM, 0, 0)
        if answer >= 0:
            return bool(answer == 0)
    # It may not be asked. What has called exec since has a stack that begins elsewhere.
    stacks_begin = [
        _read(f"/proc/{pid}/stat").rpartition(")")[2].split()[25:26]
        for pid in (process.pid, process.ppid)
    ]
    return stacks_begin[0] == stacks_begin[1] and stacks_begin[0] != ["0"]


def _closed(pid: int) -> str:
    """Why no tool could see a stack; empty when one can."""
    try:
        os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY))
    except PermissionError:
        scope = _read("/proc/sys/kernel/yama/ptrace_scope").strip()
        why = f" (kernel.yama.ptrace_scope is {scope})" if scope not in ("", "0") else ""
        return f"a debugger's rights are needed{why}"
    except (FileNotFoundError, ProcessLookupError):
        return "it had ended"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _wanted(tree: Tree, seen: Seen) -> list[int]:
    """Whose stacks are taken: the root's, and of what it waits for, first what is in doubt. Of a
    job the ranks', for its launcher tells nothing."""
    if tree.job is not None:
        ranks = set(seen.ranks.values())
        return [one.pid for one in tree.processes if one.pid in ranks][:RANKS]
    root = tree.by_pid.get(seen.root)
    rest = [one.pid for one in tree.processes if one.pid != seen.root and _tells(seen, one.pid)]
    if root is None or tree.answer is Answer.COMPILING or (root.good and not root.on):
        rest = []
    return [seen.root, *rest][:CAPTURED]


def _tells(seen: Seen, pid: int) -> bool:
    """Whether a descendant's stacks are worth a tool: those of Python, and of several threads."""
    process = process_at(seen.last, pid)
    if process is None or process.name in COMPILERS:
        return False
    return len(process.threads) > 1 or "python" in seen.names.get(pid, "").partition(" ")[0]


def _doubtful(tree: Tree) -> list[int]:
    """Whose stacks are taken again: where that could alter or confirm what is said of it."""
    settled = (Answer.DEADLOCK, Answer.STOPPED, Answer.TRACED, Answer.ENDED)
    return [
        one.pid
        for one in tree.processes
        if one.answer not in settled and not (one.good and one.sure)
    ]


class _Taker:
    """Takes the stacks of several processes at once, again by the tool that answered before."""

    def __init__(self, folder: Path, root: int, may_signal: bool) -> None:
        self._folder = folder
        self._root = root
        self._may_signal = may_signal
        self._stop = threading.Event()
        """Set by a Ctrl-C: the tools are ended, which sets free what they look at."""
        self.found: dict[int, tuple[StackCapture, ...]] = {}
        self._places: dict[int, Path] = {}
        """Where each one's go, also once it is known to be a rank."""

    def take(self, pids: Sequence[int], label: str, seen: Seen) -> None:
        taken = threads.each(pids, self._one(label, seen), CAPTURED, self._stop)
        for pid, capture in zip(pids, taken, strict=True):
            self.found[pid] = (*self.found.get(pid, ()), capture)

    def stacks(self) -> dict[int, tuple[Capture, ...]]:
        return {
            pid: tuple(one.threads for one in captures if one.threads)
            for pid, captures in self.found.items()
        }

    def _place(self, pid: int, seen: Seen) -> Path:
        if pid not in self._places:
            rank = next((rank for rank, one in seen.ranks.items() if one == pid), None)
            name = str(pid) if rank is None else f"rank-{rank}"
            self._places[pid] = self._folder if pid == self._root else self._folder / name
        return self._places[pid]

    def _one(self, label: str, seen: Seen) -> Callable[[int], StackCapture]:
        def take(pid: int) -> StackCapture:
            folder = self._place(pid, seen)
            before = self.found.get(pid, ())
            same = [tool for tool in tools.TOOLS if before and tool.name == before[0].tool]
            source = _faulthandler(pid) if self._may_signal else None
            return stacks.capture(
                pid,
                folder,
                same or None,
                label=label,
                timeout=TOOL_S,
                faulthandler_file=source,
                may_signal=source is not None,
                spare=transfers(seen, pid),
                stop=self._stop,
            )

        return take


def transfers(seen: Seen, pid: int) -> bool:
    """Whether a thread of it was seen in a transfer: the next one may begin at any moment."""
    return any(
        thread.state == "S"
        and thread.syscall is not None
        and syscalls.transfer(thread.syscall, thread.args, seen.arch)
        for window in seen.windows
        for look in window
        for process in look.processes
        if process.pid == pid
        for thread in process.threads
    )


def _faulthandler(pid: int) -> Path | None:
    """Where its faulthandler is likely to write: a file that is called so, or its stderr."""
    folder = Path(f"/proc/{pid}/fd")
    opened = []
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            with contextlib.suppress(OSError):
                opened.append((file.name, file.readlink()))
    for wanted in (
        [path for _, path in opened if "faulthandler" in path.name],
        [path for name, path in opened if name == "2"],
    ):
        for path in wanted:
            if path.is_file():
                return path
    return None


def _not_read(closed: str, seen: Seen, taker: _Taker) -> tuple[str, ...]:
    ended = [one for one in (seen.root, *taker.found) if has_ended(process_at(seen.last, one))]
    told = []
    if closed and seen.root not in ended:
        told.append(f"stacks, system calls and timeouts: {closed}")
    for one, captures in taker.found.items():
        if one in ended:
            continue  # what is said of it is that
        if captures[0].tool is None:
            last = next((a.reason for a in captures[0].attempts if a.reason), "no tool")
            told.append(f"the stacks of process {one}: {last}")
        elif any("cut short" in attempt.reason for attempt in captures[0].attempts):
            told.append(f"native frames of process {one}: to stop it would cut a transfer short")
    if not platform.current().shows_waits:
        told.append("single threads, system calls and open files, which only Linux shows")
    return tuple(told)
