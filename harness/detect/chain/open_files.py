"""Waits for pipes and streams where it is not shown for which of its files a thread waits. Pure.

The stack says whether it reads, writes, or waits for several. The pipes, streams and terminals that
its process has open say which of them that may be, and who is at their other ends. Of several that
may be, each is followed: one that goes on is enough to leave the thread alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from harness.detect.chain import files
from harness.detect.chain.facts import Facts
from harness.detect.chain.links import End, Ends, Node, Wait
from harness.model import Thread
from harness.model.world import Link
from harness.stacks import frame_names
from harness.stacks.parse import ThreadStack
from harness.text import late

_END = r"(_nocancel|\$\w+)?$"
_SOCKETS = frozenset(("local_socket", "tcp", "socket"))
_TOLD = 2
_TYPED = late.compile(r"readline|Readline|builtin_input|FileIO|fgets|getc|rl_|^input$")
"""Functions by which a program reads from a terminal, or from any file."""


class Way(Enum):
    """The way in which a thread waits for files."""

    READS = late.compile(rf"^_*(p?readv?|readinto){_END}")
    RECEIVES = late.compile(rf"^_*recv(from|m?msg)?{_END}")
    WRITES = late.compile(rf"^_*p?writev?{_END}")
    SENDS = late.compile(rf"^_*(send(to|m?msg)?|sendfile){_END}")
    POLLS = late.compile(rf"^_*(p?poll|p?select|kevent\w*){_END}")
    LOCKS = late.compile(rf"^_*(flock|fcntl|lockf){_END}")


def file_wait(node: Node, thread: Thread, stack: ThreadStack, facts: Facts) -> Wait | None:
    """The wait of a thread for one or several files; None where it waits for none that is known."""
    way = _way(stack)
    if way is None:
        return None
    opened = facts.observed.files.get(node.pid, ())
    on_disk = [link for link in opened if link.kind == "file"]
    if way is Way.LOCKS:
        return _lock(on_disk, facts)
    may_be = [link for link in opened if _fits(link, way)]
    may_be_device = any(link.kind == "device" for link in opened)
    if not may_be and way in (Way.READS, Way.WRITES) and not may_be_device:
        unfit = way is Way.WRITES  # of one that can only be read
        return _file_system([link for link in on_disk if link.reads is not unfit])
    if thread.state == "D":
        # A disk's wait, or that for a server of files. Who waits for a person can be interrupted.
        may_be = [link for link in may_be if link.kind != "terminal"]
    streams = [link for link in may_be if link.kind != "terminal"]
    typed = way is Way.POLLS or any(_TYPED.search(frame.bare) for frame in stack.frames)
    links = tuple(dict.fromkeys(may_be if typed or not streams else streams))
    if way is Way.POLLS:
        # The time for which it waits is not shown. A pipe of its own only wakes it, and who waits
        # for it in turn may have nothing to do.
        links = tuple(link for link in links if not _is_idle(link, node.pid, facts))
    return files.of_links(node, thread, "", links, facts) if links else None


def _lock(files_: Sequence[Link], facts: Facts) -> Wait | None:
    """The wait for the lock of a file. Who has it is not shown: a process of the tree that has the
    file open as well, or another program."""
    if not files_:
        return None
    inside = {peer: None for link in files_ for peer in link.peers if peer in facts.processes}
    named = " and ".join(facts.observed.name(pid) for pid in [*inside][:_TOLD])
    detail = f"waits for the lock of {_named(files_)}"
    end = End(kind=Ends.PROGRAM, detail="which another program may have", sure=False)
    return Wait(
        code="lock",
        detail=f"{detail}, which {named} may have" if named else detail,
        on=tuple(n for pid in inside for n in facts.candidates(pid)),
        known=False,
        ends=(end,),
    )


def _file_system(files_: Sequence[Link]) -> Wait | None:
    """The wait of one that reads or writes where nothing but files is open for that."""
    if not files_:
        return None
    silent = [link for link in files_ if link.fs]
    end = End(kind=Ends.FILE_SYSTEM, detail=f"waits for {_named(silent or files_)}", sure=False)
    return Wait(code="file", detail=end.detail, ends=(end,))


def _named(files_: Sequence[Link]) -> str:
    return " or ".join([*dict.fromkeys(link.told for link in files_)][:_TOLD])


def polls(node: Node, facts: Facts) -> bool:
    """True if a thread waits for several files at once, as an event loop does. One that wakes again
    and again may do what its own timers are for, whatever could come to it."""
    stack = facts.stack(node)
    return stack is not None and _way(stack) is Way.POLLS


def _is_idle(link: Link, pid: int, facts: Facts) -> bool:
    inside = [peer for peer in link.peers if peer in facts.processes]
    asks = [peer for peer in inside if _asks(peer, pid, facts)]
    return link.only_own or (bool(asks) and len(asks) == len(link.peers))


def _asks(pid: int, other: int, facts: Facts) -> bool:
    """True if a process waits for files of which `other` may hold the other end."""
    stack = facts.stack(facts.main(pid))
    way = None if stack is None else _way(stack)
    opened = facts.observed.files.get(pid, ())
    return way is not None and any(other in link.peers for link in opened if _fits(link, way))


def _way(stack: ThreadStack) -> Way | None:
    """The action of the innermost functions, those of the system; Python's own name theirs."""
    tip = stack.frames[: frame_names.tip(stack.frames)]
    names = [frame_names.name(frame) for frame in tip]
    return next((way for name in names for way in Way if way.value.match(name)), None)


def _fits(link: Link, way: Way) -> bool:
    if link.kind in ("file", "device", "udp"):
        return False  # nothing tells whether they are ready, or who is at the other end
    if way in (Way.RECEIVES, Way.SENDS) and link.kind not in _SOCKETS:
        return False
    reads = link.reads is not False and not link.queued
    if link.unseen and link.reads is None:
        return True
    # Who writes to a pipe waits only where it is full. Of a socket that is not told.
    writes = link.reads is not True and (link.kind in _SOCKETS or bool(link.queued))
    if way is Way.POLLS:
        return reads or (link.kind not in _SOCKETS and writes)
    return reads if way in (Way.READS, Way.RECEIVES) else writes and link.kind != "terminal"
