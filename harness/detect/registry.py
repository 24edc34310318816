"""All detectors in the order in which they are asked: the first that has something to say decides.

`run`, `watch`, `attach`, ranks and the far side of ssh all judge by this list. A detector is a pure
function of an observation. It names what it requires. Where this machine cannot show that, the
detector is skipped and said to be skipped, for what was not seen is not gone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.detect import deadlock
from harness.detect.activity import has_ended, process_at
from harness.detect.chain import turnstiles
from harness.detect.chain.closure import closed
from harness.detect.chain.facts import Facts
from harness.detect.chain.follow import follow
from harness.detect.chain.links import ALIVE, LOST, Chain, End, Ends, Node
from harness.detect.chain.waits import wait_of
from harness.detect.compilers import COMPILERS
from harness.detect.no_switch import no_switch
from harness.detect.verdicts import GOOD_ENDS, OF_END, Answer, DetectorOutcome, Says
from harness.model.world import World
from harness.stacks.wait_rules import Category
from harness.text import units

_DEEP = 8
"""Wrappers around one another, at most."""
_GOES_ON = ALIVE | {Ends.POLLS, Ends.SPINS, Ends.STOPPED, Ends.TRACED}
_NO_START = "no thread is known from which its waits could be followed"
SYSTEM_CALLS, THREADS = "system calls", "threads"
"""The things that a detector may require of an observation."""


@dataclass(frozen=True)
class Subject:
    """One process of an observation, which is to be judged."""

    facts: Facts
    pid: int

    def starts(self) -> tuple[tuple[Node, ...], str]:
        """The threads that the chain starts from, and why these."""
        trains = self.facts.observed.trains
        if trains is not None and trains[0] == self.pid:
            node = Node(*trains)
            if self.facts.thread(node) is not None:
                return (node,), "it reports the steps"
        nodes = self.facts.candidates(self.pid)
        if len(nodes) > 1:
            return nodes, f"not known which thread trains: all {len(nodes)} candidates"
        if nodes and not self.facts.is_main(nodes[0]):
            return nodes, "the only thread that is left"
        return nodes, "the main thread"


class Detector(NamedTuple):
    """A named rule."""

    name: str
    requires: frozenset[str]
    detect: Callable[[Subject], Says | str]
    """The rule itself. It returns its answer, or the reason why it has none."""


class Decision(NamedTuple):
    """The answers of the detectors about a process, and the way to the decision."""

    says: Says
    by: str
    outcomes: tuple[DetectorOutcome, ...]


def decide(subject: Subject, detectors: Collection[Detector] | None = None) -> Decision:
    """Ask the detectors in their order."""
    shown = shows(subject)
    outcomes: list[DetectorOutcome] = []
    for detector in DETECTORS if detectors is None else detectors:
        missing = detector.requires - shown
        if missing:
            outcomes.append(
                DetectorOutcome(detector.name, f"skipped: {', '.join(sorted(missing))} not shown")
            )
            continue
        says = detector.detect(subject)
        if isinstance(says, Says):
            outcomes.append(DetectorOutcome(detector.name, f"{says.answer.value}: {says.summary}"))
            return Decision(says, detector.name, tuple(outcomes))
        outcomes.append(DetectorOutcome(detector.name, f"says nothing: {says}"))
    blind = Says(answer=Answer.ALIVE, summary="cannot be looked into", good=True, sure=False)
    return Decision(blind, "none", tuple(outcomes))


def shows(subject: Subject) -> frozenset[str]:
    """The things that the observation shows of the process."""
    process = process_at(subject.facts.observed.last, subject.pid)
    if process is None or has_ended(process):
        return frozenset((SYSTEM_CALLS, THREADS))
    shown = set()
    if process.threads:
        shown.add(THREADS)
    if any(thread.syscall is not None for thread in process.threads if thread.state == "S"):
        shown.add(SYSTEM_CALLS)
    return frozenset(shown)


def _ended(subject: Subject) -> Says | str:
    if not has_ended(process_at(subject.facts.observed.last, subject.pid)):
        return "it has not ended"
    return Says(answer=Answer.ENDED, summary="has ended", good=True)


def _held(subject: Subject) -> Says | str:
    process = subject.facts.processes[subject.pid]
    observed = subject.facts.observed
    if process.state == "T":
        text = "is stopped by a signal, or frozen with its container"
        return _end(Ends.STOPPED, text, Answer.STOPPED)
    if process.state == "t":
        world = observed.last.worlds.get(observed.root)
        around = world.surroundings.get(subject.pid) if world else None
        tracer = around.tracer if around else None
        by = f", process {tracer}" if tracer else ""
        return _end(Ends.TRACED, f"is held by a debugger{by}", Answer.TRACED)
    return "nobody holds it"


def _end(kind: Ends, text: str, answer: Answer) -> Says:
    chain = Chain(links=(), end=End(kind=kind, detail=text))
    return Says(answer=answer, summary=text, good=False, chain=chain)


def unasked(subject: Subject) -> frozenset[int]:
    """The processes to be asked for their timers: where a proof lacks nothing else, and where only
    a timer could end the wait."""
    starts, _ = subject.starts()
    if not starts:
        return frozenset()
    reasons = [reason for looks in _enough(subject) for reason in _against(subject, starts, looks)]
    return deadlock.unasked(reasons) | _may_ring(subject, starts)


def _may_ring(subject: Subject, starts: tuple[Node, ...]) -> frozenset[int]:
    """The processes of a chain that is lost else, or that ends in a signal, whose timers may ring
    at any time."""
    facts = subject.facts
    arounds = {
        pid: facts.surroundings(pid) for pid in facts.processes.keys() - facts.observed.rings.keys()
    }
    armed = {pid for pid, one in arounds.items() if one is not None and (one.alarm or one.timers)}
    if not armed:
        return frozenset()
    chain = follow(starts, facts)
    signaled = bool(chain.links) and chain.links[-1].wait == "signal"
    if chain.end.kind not in LOST and chain.end.seen and not signaled:
        return frozenset()
    return frozenset(armed & {subject.pid, *(link.pid for link in chain.links), *chain.on})


def _enough(subject: Subject) -> list[list[World]]:
    """The looks of each window that is long enough for a proof."""
    observed, policy = subject.facts.observed, subject.facts.policy
    windows = [
        [look.worlds[observed.root] for look in window if observed.root in look.worlds]
        for window in observed.windows
    ]
    return [
        looks
        for looks in windows
        if len(looks) >= policy.proof_looks and looks[-1].t - looks[0].t >= policy.proof_s
    ]


def _against(
    subject: Subject, starts: tuple[Node, ...], looks: list[World]
) -> tuple[deadlock.Reason, ...]:
    inner = _below_wrappers(starts, subject.facts)
    # Who only waits for children goes on when these end.
    waited = {node.pid for node in inner if inner != starts}
    return closed(inner, looks, subject.facts.observed, waited)


def _moved(subject: Subject, starts: tuple[Node, ...]) -> bool:
    """True if one of the threads that are judged, or of those that they wait for as wrappers do,
    moved in any window: also in one that is too short for a proof, or in which the root ended."""
    observed = subject.facts.observed
    nodes = _below_wrappers(starts, subject.facts)
    for window in observed.windows:
        looks = [look.worlds[observed.root] for look in window if observed.root in look.worlds]
        if len(looks) < len(window):
            return True
        if any(reason.code == "moved" for reason in deadlock.still(looks, nodes)):
            return True
    return False


def _deadlock(subject: Subject) -> Says | str:
    """Proven by each window that is long enough for it, the last one included."""
    facts, observed = subject.facts, subject.facts.observed
    enough = _enough(subject)
    starts, followed = subject.starts()
    if not starts:
        return _NO_START
    if not enough:
        return "no window of looks is long enough for a proof"
    if _moved(subject, starts):
        return "not proven: a thread moved in one of the windows"
    for looks in enough:
        if against := _against(subject, starts, looks):
            return f"not proven: {deadlock.describe(against)}"
    chain = follow(starts, facts, followed)
    if going_on := [end for end in chain.all_ends if end.kind in _GOES_ON]:
        return f"not proven: its stack speaks against it, as of one that {going_on[0].detail}"
    told = {link.tid for link in chain.links}
    evidence = deadlock.shown(enough[-1], observed.arch, told)
    return Says(
        answer=Answer.DEADLOCK,
        summary=f"cannot go on: {chain.describe()}",
        good=False,
        chain=chain,
        evidence=evidence,
    )


def _by_turnstiles(chain: Chain, facts: Facts) -> Says | None:
    """A cycle that the kernel's own word proves: it names the owners."""
    shown = facts.observed.shows_waits or chain.end.kind is not Ends.CYCLE
    if shown or turnstiles.against(chain.links, facts):
        return None
    return Says(
        answer=Answer.DEADLOCK,
        summary=f"cannot go on: {chain.describe()}",
        good=False,
        chain=chain,
        evidence={"told_by": "the kernel's turnstiles, as spindump shows them"},
    )


def _below_wrappers(starts: tuple[Node, ...], facts: Facts) -> tuple[Node, ...]:
    """All threads of the processes that the starts wait for, where these only wait for children:
    `timeout`, `sh`. Each of them could end its process.

    When those are dead, so is the outermost of these, whatever timers and signals it may have of
    its own: it would only end. But who waits for an inner one with a timer, as a script for
    `timeout 60 test`, goes on when that rings.
    """
    outermost = {node.pid for node in starts}
    for _ in range(_DEEP):
        waits = [wait_of(node, facts) for node in starts]
        if not waits or not all(w.code == "child" and w.on and not w.ends for w in waits):
            break
        if not all(_starts_no_other(node, facts) for node in starts):
            break
        if any(_has_timer(node.pid, facts) for node in starts if node.pid not in outermost):
            break
        pids = dict.fromkeys(node.pid for wait in waits for node in wait.on)
        starts = tuple(node for pid in pids for node in facts.threads(pid))
    return starts


def _has_timer(pid: int, facts: Facts) -> bool:
    around = facts.surroundings(pid)
    return around is not None and bool(around.alarm or around.timers)


def _starts_no_other(node: Node, facts: Facts) -> bool:
    """True if no child that is yet to be started could end the wait of a thread for children."""
    if len(facts.threads(node.pid)) == 1:
        return True
    thread = facts.thread(node)
    if thread is None or len(thread.args) < 2:
        return False
    return deadlock.awaited(facts.call(thread), thread.args) is not None


def _chain(subject: Subject) -> Says | str:
    starts, followed = subject.starts()
    if not starts:
        return _NO_START
    chain = follow(starts, subject.facts, followed)
    if (proven := _by_turnstiles(chain, subject.facts)) is not None:
        return proven
    end = chain.end
    answer = OF_END[end.kind] if end.seen else Answer.STALLED
    summary = chain.describe()
    if end.kind is Ends.WORKS and _compiles(chain, subject.facts):
        answer = Answer.COMPILING
    evidence: dict[str, Any] = {} if end.left_s is None else {"wakes_in_s": round(end.left_s, 3)}
    if answer is Answer.STALLED and (stood := no_switch(subject.facts.observed)) is not None:
        evidence["no_switch"] = stood
    if end.kind is Ends.WORKS and not chain.on:
        moves = [part for part in _activity(subject) if part not in summary]
        summary = "; ".join([summary, *([", ".join(moves)] if moves else [])])
    return Says(
        answer=answer,
        summary=summary,
        good=end.seen and end.kind in GOOD_ENDS,
        sure=end.sure,
        chain=chain,
        evidence=evidence,
    )


def _compiles(chain: Chain, facts: Facts) -> bool:
    last = chain.links[-1].pid if chain.links else 0
    process = facts.processes.get(last)
    jit = facts.category(facts.main(last)) is Category.JIT
    return jit or (process is not None and process.name in COMPILERS)


def _activity(subject: Subject) -> list[str]:
    """The ways in which a process moves, as seen from outside."""
    moved = subject.facts.motion(subject.pid)
    parts = [f"uses {units.percent(moved.cpu)} of a core"]
    if moved.io:
        parts.append(f"reads and writes {units.size(moved.rate(moved.io))} a second")
    if moved.major:
        parts.append(f"pages in {units.count(moved.rate(moved.major))} times a second")
    if moved.came_or_went:
        parts.append("threads or children come and go")
    return parts


DETECTORS = (
    Detector("ended", frozenset(), _ended),
    Detector("held", frozenset(), _held),
    Detector("deadlock", frozenset((SYSTEM_CALLS, THREADS)), _deadlock),
    Detector("chain", frozenset((THREADS,)), _chain),
)
