"""Threads that go on beside a wait, and by all that is seen have nothing to do with it. Pure.

A heartbeat that hears from a server, two monitors that hand items to one another, the writer of a
log: each is given something again and again. Of a lock without an owner any of them may be the one
that releases it, so all are believed at first. One that uses next to nothing of the CPU, and was
seen in the same beat for so long, is believed by nobody who only may wait for it. Where all others
of its process wait for locks, it is not believed at all, and delays no doubt.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from harness.detect.chain.facts import Facts
from harness.detect.chain.handing import Beats, in_vain, quick
from harness.detect.chain.links import Node
from harness.detect.chain.paced import Record
from harness.detect.chain.waits import wait_of
from harness.detect.observation import Doings, Observation
from harness.detect.policy import Policy
from harness.stacks.values import Variables

GIVEN = frozenset(("given", "given_slowly", "data"))
"""Waits of a thread that is given something, by whoever it is."""
_KEPT = 64
"""Looks that are kept: more than there are while a beat is believed."""


class History:
    """The beats that the inspections of a process tree have seen since the last step."""

    def __init__(self) -> None:
        self._quick: list[Beats] = []
        self._given: list[Beats] = []
        self._record = Record()

    def learn(
        self,
        t: float,
        observed: Observation,
        policy: Policy,
        variables: Mapping[int, Variables] | None = None,
    ) -> None:
        """Take an inspection that began at `t`, in seconds, and the variables of some of its
        processes, by pid."""
        facts = Facts(observed, policy)
        self._record.learn(observed, variables or {})
        self._quick = [*self._quick, quick(t, facts)][-_KEPT:]
        self._given = [*self._given, beats(t, facts)][-_KEPT:]

    @property
    def vain(self) -> frozenset[int]:
        """The threads that have waked quickly for so long that it is no sign of work any more."""
        return in_vain(self._quick)

    @property
    def bystanders(self) -> frozenset[int]:
        """The threads that nobody who only may wait for them is believed to wait for."""
        return in_vain(self._given, share=0.0)

    @property
    def doings(self) -> dict[int, Doings]:
        """The doings of each thread, by thread."""
        return self._record.doings


def beats(t: float, facts: Facts) -> Beats:
    """The threads that are given something with next to no CPU at this look, and those that do
    more."""
    given: set[int] = set()
    better: set[int] = set()
    for pid in facts.processes:
        for tid, pace in facts.motion(pid).threads.items():
            if pace.wanted >= facts.policy.cpu_share or pace.runnable:
                better.add(tid)
            elif pace.sleeps:
                node = Node(pid, tid)
                code = wait_of(node, facts).code
                if code == "evaluation" or (code == "data" and _brings_work(node, facts)):
                    better.add(tid)
                elif code in GIVEN:
                    given.add(tid)
    return Beats(t, frozenset(given), frozenset(better))


def at_once(observed: Observation, policy: Policy | None = None) -> Observation:
    """`observed` for who looks once: threads that only exchange messages are bystanders in it.

    Who waits for a lock gets nothing of them. Of a queue or an event any of them may be the one
    that brings it about, so that they are believed.
    """
    facts = Facts(observed, policy or Policy())
    exchange = _exchange(facts)
    seconds = facts.motion(observed.root).seconds
    doings = {
        node.tid: Doings(seconds=seconds, wakes=pace.sleeps or 0, varied=True)
        for node in exchange - _beside_locks(exchange, facts)
        if (pace := facts.pace(node)) is not None
    }
    return msgspec.structs.replace(
        observed,
        bystanders=observed.bystanders | {node.tid for node in exchange},
        doings=observed.doings | doings,
    )


def beside_locks(observed: Observation, policy: Policy) -> frozenset[int]:
    """The threads, by number, that only exchange messages in a process that waits for a lock: they
    delay no doubt."""
    facts = Facts(observed, policy)
    return frozenset(node.tid for node in _beside_locks(_exchange(facts), facts))


def _exchange(facts: Facts) -> frozenset[Node]:
    """The threads that are given something with next to no CPU, in processes that move no bytes to
    speak of."""
    beating = beats(facts.observed.last.t, facts).beating
    quiet = (pid for pid in facts.processes if not facts.motion(pid).io)
    return frozenset(node for pid in quiet for node in facts.threads(pid) if node.tid in beating)


def _beside_locks(exchange: frozenset[Node], facts: Facts) -> frozenset[Node]:
    pids = {node.pid for node in exchange}
    waiting = {
        pid: [node for node in facts.candidates(pid) if node not in exchange] for pid in pids
    }
    locked = {pid for pid, nodes in waiting.items() if nodes and all(map(facts.at_lock, nodes))}
    return frozenset(node for node in exchange if node.pid in locked)


def _brings_work(node: Node, facts: Facts) -> bool:
    """True if its data come from the tree itself, or in more pieces than a heartbeat has."""
    peers = (peer for link in facts.link(node) for peer in link.peers)
    inside = any(peer != node.pid and peer in facts.processes for peer in peers)
    return inside or facts.in_pieces(node)
