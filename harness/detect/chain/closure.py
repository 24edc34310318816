"""Proof of deadlock: a set of threads that only they themselves could wake, all of them asleep.

The set starts with the threads of which one trains, and takes in whoever could wake a thread in it:
the owner of a lock that has one, the thread that is joined, all threads of its process for a lock
without an owner, the children that are waited for, everybody who holds the other end of a pipe.
Where somebody or something that is not known could wake one, there is no proof. What lives outside
the set, such as a heartbeat or a monitor, cannot wake anybody in it. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import NamedTuple

from harness import syscalls
from harness.detect import deadlock
from harness.detect.activity import has_ended
from harness.detect.chain.links import Node
from harness.detect.chain.waits import FROZEN
from harness.detect.deadlock import Reason
from harness.detect.observation import Observation
from harness.model import Thread
from harness.model.world import Futex, Link, World

_MOST = 20_000
"""Threads of one set; of more nothing is claimed."""
_FILES = frozenset(
    ("read", "readv", "write", "writev", "recvfrom", "recvmsg", "sendto", "sendmsg", "poll",
     "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2")
)  # fmt: skip
_TIMEOUT_ARGUMENT = {"poll": 2, "epoll_wait": 3, "epoll_pwait": 3}
_TIMEOUT_ADDRESS = {"ppoll": 2, "select": 4, "pselect6": 4, "epoll_pwait2": 3}
_ANONYMOUS = frozenset(("pipe", "local_socket", "eventfd", "pidfd"))
_HANDED_OVER = frozenset(("robust", "pi_mutex"))
"""Locks that the kernel hands over when their owner ends, by any thread of its process."""
_MAY_SHOW = ("futex", "rt_mutex")
"""Begins of the kernel functions in which a thread waits for a futex."""


class _Wakers(NamedTuple):
    """The threads that could wake one: all of some processes, and others."""

    pids: tuple[int, ...] = ()
    nodes: tuple[Node, ...] = ()


class _Tree:
    """The last of some looks: its threads by process and by number."""

    def __init__(self, world: World, known: Observation) -> None:
        self.world = world
        self.known = known
        self.processes = {process.pid: process for process in world.processes}
        self._own: dict[int, tuple[Node, ...]] = {}
        self._threads: dict[int, dict[int, Thread]] = {}

    @cached_property
    def by_tid(self) -> dict[int, Node]:
        """All threads by number."""
        return {node.tid: node for pid in self.processes for node in self.own(pid)}

    def thread(self, node: Node) -> Thread | None:
        """A thread as the look shows it."""
        if node.pid not in self._threads:
            process = self.processes.get(node.pid)
            threads = process.threads if process else ()
            self._threads[node.pid] = {thread.tid: thread for thread in threads}
        return self._threads[node.pid].get(node.tid)

    def own(self, pid: int) -> tuple[Node, ...]:
        """All threads of a process."""
        if pid not in self._own:
            process = self.processes.get(pid)
            threads = process.threads if process else ()
            self._own[pid] = tuple(Node(pid, thread.tid) for thread in threads)
        return self._own[pid]

    def below(self, pid: int, only: int | None = None) -> tuple[int, ...]:
        """The children of a process, or the one that is asked for."""
        return tuple(child for child in self._below.get(pid, ()) if only in (None, child))

    @cached_property
    def _below(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for process in self.world.processes:
            found.setdefault(process.ppid, []).append(process.pid)
        return found

    def hidden(self) -> Reason:
        """The reason where a child is there and cannot be seen."""
        return Reason("unreadable", f"process {self.world.unseen[0]}, a child, is hidden")


def closed(
    starts: Sequence[Node],
    looks: Sequence[World],
    known: Observation,
    waited: Collection[int] = (),
) -> tuple[Reason, ...]:
    """Reasons against the claim that none of `starts` will ever run again; empty when proven.

    `waited`: processes whose end would wake somebody who is not looked at here.
    """
    arch = known.arch
    if arch not in syscalls.TABLES:
        return (Reason("machine", f"system calls of {arch} are not known here"),)
    world = looks[-1]
    tree = _Tree(world, known)
    members: dict[Node, None] = dict.fromkeys(starts)
    todo = list(members)
    reasons: list[Reason] = []
    ends = set(waited)
    whole: set[int] = set()
    """Processes of which all threads are members."""
    while todo:
        node = todo.pop()
        thread = tree.thread(node)
        if thread is None:
            return (Reason("unreadable", f"thread {node.tid} of process {node.pid} is not seen"),)
        wakers = _wakers(node, thread, tree)
        if isinstance(wakers, Reason):
            return (wakers,)
        ends.update({*wakers.pids, *(waker.pid for waker in wakers.nodes)} - {node.pid})
        # Of thousands of threads each could wake all others of its process.
        new = [pid for pid in wakers.pids if pid not in whole]
        whole.update(new)
        for waker in (*(one for pid in new for one in tree.own(pid)), *wakers.nodes):
            if waker not in members:
                members[waker] = None
                todo.append(waker)
        if len(members) > _MOST:
            return (Reason("too_many", f"more than {_MOST} threads could have a part in it"),)
    reasons += deadlock.still(looks, members)
    inside = dict.fromkeys(node.pid for node in members)
    for pid in inside:
        reasons += deadlock.alone(tree.processes[pid], world.surroundings.get(pid), pid in ends)
    for process in world.processes:
        # A thread of either could wake one of the other through what is called a private futex.
        if process.pid in known.shares and inside.keys() & {process.pid, process.ppid}:
            told = f"another process may have the memory of process {process.pid}"
            reasons.append(Reason("shared_memory", told))
    return tuple(dict.fromkeys(reasons))


def prove(looks: Sequence[World], known: Observation) -> tuple[Reason, ...]:
    """Reasons against the claim that the whole tree of `looks` is dead; empty when it is proven."""
    if not looks or not looks[-1].processes:
        return (Reason("unreadable", "no process was seen"),)
    world = looks[-1]
    root = world.processes[0]
    living = [process for process in world.processes if not has_ended(process)]
    if root not in living:
        return (Reason("ended", f"process {root.pid} has ended"),)
    for process in living:
        if process.state in "ZX":
            text = f"the main thread of process {process.pid} has ended, others have not"
            return (Reason("main_thread_ended", text),)
        if not process.threads:
            return (Reason("unreadable", f"no thread of process {process.pid} could be read"),)
    if world.unseen:
        return (_Tree(world, known).hidden(),)
    starts = [Node(process.pid, thread.tid) for process in living for thread in process.threads]
    return closed(starts, looks, known)


def at_sight(world: World, arch: str) -> tuple[Node, Reason] | None:
    """The first thread that by itself shows a reason against a proof, and the reason.

    It is the same whatever is known of files, locks and sockets, which need not be read then.
    """
    for process in world.processes:
        if has_ended(process):
            continue
        for thread in process.threads:
            if (reason := against_alone(thread, arch)) is not None:
                return Node(process.pid, thread.tid), reason
    return None


def against_alone(thread: Thread, arch: str) -> Reason | None:
    """The reason against a proof that a thread shows by itself, if it does."""
    who = f"thread {thread.tid} ({thread.name})"
    if thread.state in deadlock.STATES:
        code, text = deadlock.STATES[thread.state]
        return Reason(code, f"{who} {text}")
    if thread.state != "S" or thread.switches is None:
        return None
    if thread.wchan in FROZEN:
        return Reason("frozen", f"{who} is frozen")
    if thread.wakes_in is not None:
        return Reason("timed_wait", f"{who} waits with a timeout")
    if thread.syscall is not None and deadlock.sleeps(thread.syscall, thread.args, arch):
        return Reason("timed_wait", f"{who} sleeps, which ends by itself")
    return None


def _wakers(node: Node, thread: Thread, tree: _Tree) -> _Wakers | Reason:
    """All threads that could wake a thread, itself included; the reason where others could."""
    wakers = _by_call(node, thread, tree)
    around = tree.world.surroundings.get(node.pid)
    if isinstance(wakers, Reason) or around is None or not around.child_handler:
        return wakers
    # The end of a child interrupts the wait, also of one that is yet to be started.
    if tree.world.unseen:
        return tree.hidden()
    return _Wakers((*wakers.pids, *tree.below(node.pid), node.pid), wakers.nodes)


def _by_call(node: Node, thread: Thread, tree: _Tree) -> _Wakers | Reason:
    """All threads that could end the system call that a thread is in."""
    arch, world, known = tree.known.arch, tree.world, tree.known
    who = f"thread {thread.tid} ({thread.name})"
    name = "" if thread.syscall is None else syscalls.name(thread.syscall, arch) or ""
    if thread.state == "S" and thread.switches is not None:
        if (reason := against_alone(thread, arch)) is not None:
            return reason
        if name in ("futex", "futex_wait", "futex_waitv") and not _in_futex(thread):
            return Reason("frozen", f"{who} may be frozen, or its wait cannot be read")
        if name in ("futex", "futex_wait"):
            futex = known.futexes.get(node.tid)
            wakers = _of_futex(node, name, thread, futex, tree)
            if wakers is not None:
                return wakers
        if name in _FILES:
            return _of_files(who, name, node, thread, known.links.get(node.tid, ()), tree)
    against = deadlock.against(tree.processes[node.pid], thread, world, arch)
    if against is not None:
        code, text = against
        return Reason(code, f"{who} {text}")
    if name in ("wait4", "waitid"):
        if world.unseen:
            return tree.hidden()
        only = deadlock.awaited(name, thread.args)
        below = tree.below(node.pid, only)
        # Any thread of its process can start another child, and that one's end would do as well.
        return _Wakers(below if only is not None else (*below, node.pid))
    return _Wakers((node.pid,))


def _in_futex(thread: Thread) -> bool:
    """True if the kernel says that it waits for a futex: one that is frozen only seems to."""
    return thread.wchan is not None and thread.wchan.startswith(_MAY_SHOW)


def _of_futex(
    node: Node, name: str, thread: Thread, futex: Futex | None, tree: _Tree
) -> _Wakers | Reason | None:
    """The threads that could wake a wait in a futex whose kind is known; None where it is as any
    other."""
    who = f"thread {thread.tid} ({thread.name})"
    if futex is None or len(thread.args) < 6:
        return None
    if thread.args[4] if name == "futex_wait" else thread.args[3]:
        return None
    if futex.kind in ("mutex", "pi_mutex", "robust", "rlock", "join") and futex.owner is not None:
        owner = tree.by_tid.get(futex.owner)
        if owner is None:
            return Reason("owner", f"{who} waits for thread {futex.owner}, which is not seen")
        if owner == node and futex.kind == "mutex":
            # It may be used as a signal, which another thread gives by unlocking it.
            return _Wakers((node.pid,))
        if owner.pid != node.pid and futex.kind in _HANDED_OVER:
            return _Wakers((owner.pid,))
        return _Wakers(nodes=(owner,))
    if futex.kind in ("shared", "private") and set(futex.sharers) <= {node.pid}:
        if deadlock.says_private(name, thread.args) or not deadlock.only_waits(name, thread.args):
            return None
        # Without PRIVATE, in memory that nobody else has: futures, latches and atomics of C++, and
        # what processes share of which the others are gone.
        if deadlock.is_own(futex):
            return _Wakers((node.pid,))
        return Reason("shared_futex", f"{who} waits for a futex that other processes may share")
    if futex.kind == "shared":
        if not futex.complete:
            return Reason("shared_futex", f"{who} waits for a futex that other processes may share")
        strangers = [pid for pid in futex.sharers if pid not in tree.processes]
        if strangers:
            return Reason("shared_futex", f"process {strangers[0]} shares what {who} waits for")
        return _Wakers(tuple(pid for pid in tree.processes if pid in futex.sharers))
    return None


def _of_files(
    who: str,
    name: str,
    node: Node,
    thread: Thread,
    links: tuple[Link, ...],
    tree: _Tree,
) -> _Wakers | Reason:
    """The threads that could wake a wait for files: all that hold the other ends, where these are
    closed."""
    code = "poll" if name in _TIMEOUT_ARGUMENT or name in _TIMEOUT_ADDRESS else "io"
    text = f"{who} is blocked in {name}"
    if _has_timeout(name, thread):
        return Reason("timed_wait", f"{who} waits in {name} with a timeout")
    if not links:
        return Reason(code, text)
    pids = {node.pid: None}
    there = tree.processes
    for link in links:
        if link.timed:
            return Reason("timed_wait", f"{text}, for {link.told} with a timeout of its own")
        if link.timed is None:
            return Reason(code, f"{text}, for {link.told} that may have a timeout of its own")
        if link.kind not in _ANONYMOUS or link.reopenable or not link.complete or link.queued:
            return Reason(code, f"{text}, for {link.told}")
        for pid in link.peers:
            if link.kind == "pidfd" and pid in there and has_ended(there[pid]):
                return Reason(code, f"{text}, for {link.told}, which has ended")
            if pid not in there:
                return Reason(code, f"{text}, for {link.told} that process {pid} has open")
            pids[pid] = None
    return _Wakers(tuple(pids))


def _has_timeout(name: str, thread: Thread) -> bool:
    args = thread.args
    if name in _TIMEOUT_ARGUMENT:
        place = _TIMEOUT_ARGUMENT[name]
        return len(args) <= place or (args[place] & 0xFFFFFFFF) < 1 << 31
    if name in _TIMEOUT_ADDRESS:
        place = _TIMEOUT_ADDRESS[name]
        return len(args) <= place or args[place] != 0
    return False
