"""Waits for pipes, sockets, terminals, locks and files: who is at the other end. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from harness.detect.chain.facts import Facts
from harness.detect.chain.groups import together
from harness.detect.chain.helpers import (
    OF_SEVERAL,
    TAKES_A_SIGNAL,
    answering,
    children,
    for_a_signal,
    from_outside,
    noticed,
)
from harness.detect.chain.links import End, Ends, Node, Wait
from harness.model import Thread
from harness.model.world import Link

_STREAMS = frozenset(("tcp", "socket", "pipe", "fifo", "local_socket"))
_EVENTS = frozenset(("signalfd", "io_uring", "udp", "other", "device"))
_SENDS = frozenset(("write", "writev", "sendto", "sendmsg"))
_RECEIVES = frozenset(("read", "readv", "recvfrom", "recvmsg"))
_PRINTS = {"pipe": _SENDS | OF_SEVERAL, "terminal": _SENDS}
"""The calls in which a thread may wait until its output is taken, by what it prints to. A server in
our own process, as a test has one, is at the other end of a socket."""
_NETWORK_FS = ("nfs", "cifs", "smb", "9p", "fuse", "ceph", "lustre", "afs", "gpfs")
_OF_PROCESSES = {"lock": "a lock that is held by", "pidfd": "the end of"}
"""What is waited for of the processes at the other end, where it is nothing that has a name."""
_FUSE_WAIT = "request_wait_answer"
_OF_A_RING = "io_uring_enter"
"""What is awaited in an io_uring is not shown: any process may be at its other end. The ring may be
given by its place among those that are registered: the file of that number is another one then."""


def file_wait(node: Node, thread: Thread, call: str, facts: Facts) -> Wait | None:
    """The wait of a thread for one or several files; None where it waits for none."""
    links = facts.link(node)
    if not links:
        if thread.wchan == _FUSE_WAIT:
            detail = "waits for a file system whose program does not answer"
            return _only(End(kind=Ends.FILE_SYSTEM, detail=detail), "file_system")
        if call in _RECEIVES and _is_fed(node, thread, links, facts):
            end = End(kind=Ends.WORKS, detail="is given data again and again", sure=False)
            return _only(end, "data")
        return None
    if _is_fed(node, thread, links, facts):
        end = End(kind=Ends.WORKS, detail=f"exchanges data over {links[0].told}", sure=False)
        return _only(end, "data")
    if call in _SENDS:
        links = tuple(_full(link) for link in links)
    wait = of_links(node, thread, call, links, facts)
    return msgspec.structs.replace(wait, ends=(*wait.ends, *_own_timeout(node, links, facts)))


def _full(link: Link) -> Link:
    """The wait of a thread that writes: who reads the other end is to make room."""
    if link.kind not in _STREAMS:
        return link
    return msgspec.structs.replace(link, told=f"room in {link.told}")


def _own_timeout(node: Node, links: tuple[Link, ...], facts: Facts) -> tuple[End, ...]:
    """The clock of a wait for a socket with a timeout of its own, which began before it was looked
    at. It is believed once, and once more where it has waked: a signal may have made it
    wait anew, as a look sends one."""
    did = facts.observed.doings.get(node.tid)
    passed, waits = (did.seconds, 1 + bool(did.wakes)) if did is not None else (0.0, 1)
    left = [
        min(one.left_s, waits * one.left_s - passed)
        for one in links
        if one.timed and one.left_s is not None
    ]
    rings = (one for one in left if 0 < one <= facts.policy.believed_s)
    detail = f"waits for {links[0].told}, with a timeout"
    return tuple(End(kind=Ends.CLOCK, detail=detail, left_s=one, sure=False) for one in rings)


def of_links(node: Node, thread: Thread, call: str, links: tuple[Link, ...], facts: Facts) -> Wait:
    """The wait of a thread for each of `links`, of which there is at least one."""
    below = _noticed(node, links, facts)
    if not below and all(link.kind == "signalfd" for link in links):
        return for_a_signal(node, TAKES_A_SIGNAL, facts)
    # A signal may be the end of a child.
    told = [link for link in links if link.kind != "signalfd"] if below else list(links)
    waits = [_one(node, thread, call, link, facts) for link in told]
    if len(waits) == 1 and not below:
        return waits[0]
    telling = [wait for wait in waits if wait.code != "own"] or waits
    at_ends = together(node, *(wait.on for wait in telling))
    ends = tuple(dict.fromkeys(end for wait in telling for end in wait.ends))
    if at_ends:
        # Who passes on what is typed, as `script` does, waits for its children, and for nobody.
        ends = tuple(end for end in ends if end.kind is not Ends.PERSON)
    what = ", ".join(dict.fromkeys(link.told for link in links[:4]))
    return Wait(
        code="poll",
        detail=f"waits for {what}",
        on=together(node, at_ends, below),
        known=all(wait.known for wait in telling),
        may=together(node, *(wait.may for wait in telling)),
        ends=ends,
    )


def _noticed(node: Node, links: tuple[Link, ...], facts: Facts) -> tuple[Node, ...]:
    """The children whose end its process notices: by a file of signals, as `script` does, or by a
    handler that writes into a pipe of its own, as a loop of events of node does, or gdb."""
    if any(link.kind == "signalfd" for link in links):
        return children(node, facts)
    to_itself = len(links) > 1 or all(link.only_own for link in links)
    return noticed(node, facts) if to_itself else ()


def _is_fed(node: Node, thread: Thread, links: tuple[Link, ...], facts: Facts) -> bool:
    """True if it is woken again and again where only data can have woken it."""
    pace = facts.pace(node)
    woken = pace is not None and (pace.sleeps or 0) > 0
    if node.tid in facts.observed.vain and facts.interrupted(node):
        return False
    if not woken or thread.wakes_in is not None or any(link.kind not in _STREAMS for link in links):
        return False
    every = facts.motion(node.pid).seconds / max(pace.sleeps or 0, 1) if pace else 0.0
    # One that wakes as often as the timeout of its socket rings is given nothing.
    return all(
        not one.timed or (one.left_s or 0.0) > facts.policy.early_ring * every for one in links
    )


def _only(end: End, code: str) -> Wait:
    return Wait(code=code, detail=end.detail, ends=(end,))


def _one(node: Node, thread: Thread, call: str, link: Link, facts: Facts) -> Wait:
    if call == _OF_A_RING:
        return from_outside(node, "waits for an io_uring", "io_uring", facts)
    if facts.observed.relay in link.peers and call in _PRINTS.get(link.kind, ()):
        # We only pass it on. A pager that shows a page takes no more, nor a terminal after Ctrl-S.
        taken = End(kind=Ends.PERSON, detail="waits until somebody takes its output from us")
        return _only(taken, link.kind)
    if link.kind == "terminal":
        return _terminal(link)
    if link.unseen:
        return _only(End(kind=Ends.UNSEEN, detail=f"waits for {link.told}"), link.kind)
    if link.kind == "local_socket" and call == "connect" and not link.peers:
        return from_outside(node, "waits to be connected to a local socket", "socket", facts)
    if link.reopenable and not link.peers and link.kind in ("tcp", "local_socket", "udp"):
        # Who has connected before is served by another thread, or by a child.
        kind = Ends.NETWORK if link.kind == "tcp" else Ends.OUTSIDE
        return from_outside(node, f"waits for {link.told}", "socket", facts, kind)
    if link.kind in ("tcp", "socket") and (link.remote or not (link.peers or link.only_own)):
        return _network(link)
    if link.kind == "timerfd":
        return _timer(node, link, facts)
    if link.kind == "file":
        return _file(thread, link, facts)
    if link.kind == "inotify":
        return from_outside(node, f"waits for {link.told}", link.kind, facts)
    if link.kind in _EVENTS and not link.peers:
        return _only(End(kind=Ends.OUTSIDE, detail=f"waits for {link.told}"), link.kind)
    return _peers(node, link, facts)


def _timer(node: Node, link: Link, facts: Facts) -> Wait:
    """A timer that rings once is a clock, unless it was armed anew again and again."""
    again = facts.observed.rearmed.get(node.tid, 0) >= facts.policy.rearmed
    left = link.left_s
    if left is None or again or left > facts.policy.believed_s:
        return _only(End(kind=Ends.POLLS, detail="waits for a timer", sure=False), "timer")
    return _only(End(kind=Ends.CLOCK, detail="waits for a timer", left_s=left), "timer")


def _terminal(link: Link) -> Wait:
    if link.person:
        return _only(End(kind=Ends.PERSON, detail="waits for a person to type"), "terminal")
    return _only(End(kind=Ends.OUTSIDE, detail=f"waits for {link.told}"), "terminal")


def _network(link: Link) -> Wait:
    if link.remote:
        more = f", which was sent data {link.retransmits} times" if link.retransmits else ""
        end = End(kind=Ends.NETWORK, detail=f"waits for {link.remote}{more}")
    else:
        end = End(kind=Ends.NETWORK, detail=f"waits for {link.told}")
    return _only(end, "socket")


def _file(thread: Thread, link: Link, facts: Facts) -> Wait:
    remote = bool(link.fs) and any(word in str(link.fs) for word in _NETWORK_FS)
    where = f" on {link.mount} ({link.fs})" if link.fs else ""
    if link.peers:
        names = " and ".join(facts.observed.name(pid) for pid in link.peers[:2])
        where += f", which {names} serves"
    kind = Ends.FILE_SYSTEM
    detail = f"waits for {link.told}{where}"
    if remote or thread.state == "D" or thread.wchan == _FUSE_WAIT:
        return _only(End(kind=kind, detail=detail), "file_system")
    return _only(End(kind=kind, detail=detail, sure=False), "file")


def _peers(node: Node, link: Link, facts: Facts) -> Wait:
    """Processes hold the other end: those of the tree are followed, others end the chain."""
    code = link.kind
    own = facts.others(node)
    if link.kind == "fifo" and not (link.only_own or link.peers):
        # A process of the tree may be about to open it.
        told = "" if "nobody" in link.told else ", which nobody has open"
        return from_outside(node, f"waits for {link.told}{told}", code, facts)
    if link.only_own or not link.peers:
        return _nobody(link, own, code)
    inside = [pid for pid in link.peers if pid in facts.processes and pid != node.pid]
    outside = [pid for pid in link.peers if pid not in facts.processes]
    answers = facts.candidates if code in _OF_PROCESSES else partial(answering, facts=facts)
    on = tuple(n for pid in inside for n in answers(pid))
    names = " and ".join(facts.observed.name(pid) for pid in (inside or outside)[:2])
    what = _OF_PROCESSES.get(code, f"{link.told} to")
    ends = tuple(
        End(kind=Ends.PROGRAM, detail=f"waits for {facts.observed.name(pid)}, another program")
        for pid in outside[:4]
        if not inside
    )
    detail, may = f"waits for {what} {names}", _may(node, link, inside, facts)
    return Wait(code=code, detail=detail, on=on, may=may, ends=ends)


def _may(node: Node, link: Link, inside: Sequence[int], facts: Facts) -> Sequence[Node]:
    """The threads that hold the other end of a file as well as those that are followed: all that
    are at work of each process. Who ends a process is another thing."""
    if link.kind == "pidfd":
        return ()
    pids = (*inside, *((node.pid,) if link.also_own else ()))
    return together(node, *(facts.at_work(pid) for pid in pids))


def _nobody(link: Link, own: Sequence[Node], code: str) -> Wait:
    """No other process holds the other end."""
    if link.reopenable or not (link.only_own or code in ("eventfd", "pidfd")):
        nobody = ", which nobody else has open" if link.only_own else ", which nobody has open"
        if code in ("pipe", "local_socket") and not link.reopenable:
            # To wait for an end that nobody has is to be told so: it may be on its way to another
            # process, or with one that may not be looked into.
            nobody = ", and who has its other end is not seen"
        nobody = "" if "nobody" in link.told else nobody
        end = End(kind=Ends.OUTSIDE, detail=f"waits for {link.told}{nobody}")
        return _only(end, code)
    if own:
        return Wait(
            code="own",
            detail=f"waits for {link.told} of its own process",
            on=own,
            known=False,
        )
    return _only(
        End(kind=Ends.DEAD, detail=f"waits for {link.told}, which nobody else has open"), code
    )
