"""The detection of a thread that uses the CPU and gets nowhere: it is in one place at every look.
Pure.

One look at a stack cannot tell a loop from work. Many can, since work goes from function to
function, reads, writes or takes new memory, and changes its variables. One call of a library that
takes minutes looks like a loop for as long as it takes, and so does a loop that counts, or whose
variables cannot be seen. These must be seen for much longer before they are called one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from harness.detect.chain.facts import Facts
from harness.detect.chain.links import Node
from harness.detect.observation import Observation
from harness.detect.policy import STANDARD, Policy
from harness.stacks import frame_names, turns, wait_site
from harness.stacks.wait_rules import Category

_NOT_A_LOOP = frozenset((Category.IDLE, Category.COLLECTIVE, Category.SLEEP))


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """A thread that was in one place at each capture of one inspection."""

    place: str
    """The functions that it was in, innermost first."""
    where: str
    """In words: the innermost one of the user's."""
    library: bool
    """True if it was in one and the same call of a library, or of the interpreter."""
    waits: bool | None = False
    """True if it was in a native function that does nothing but wait for another thread; None if
    the captures do not agree, or saw it only wait for its turn in the interpreter."""
    unseen: bool = False
    """True if it was in code of Python whose lines are not seen, and called nobody."""
    yields: bool = False
    """True if it did nothing but yield, in lines of Python that are not seen: it may work between
    two times."""
    backtracks: bool = False
    """True if it searched with a regular expression, which may take for ever."""


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """The threads that stayed in one place, at one time."""

    t: float
    stays: Mapping[int, Stay]
    values: Mapping[int, str] = {}
    """A digest of the local variables of a thread, by thread; missing where they tell nothing."""


def inspect(observed: Observation, policy: Policy | None = None) -> Inspection:
    """The threads that use the CPU and stay in one place, as far as one observation shows."""
    facts = Facts(observed, policy or Policy())
    stays: dict[int, Stay] = {}
    for pid in facts.processes:
        moved = facts.motion(pid)
        faults = (moved.minor or 0) > facts.policy.few_faults
        if faults or moved.io or moved.major or moved.came_or_went:
            continue
        for node in facts.threads(pid):
            stay = _stay(node, facts)
            if stay is not None:
                stays[node.tid] = stay
    return Inspection(t=observed.last.t, stays=stays)


def _stay(node: Node, facts: Facts) -> Stay | None:
    pace = facts.pace(node)
    if pace is None:
        return None
    # On a machine without a free core a loop gets little. Who goes to wait by itself is in none.
    starved = pace.runnable and not pace.sleeps
    if not (pace.cpu >= facts.policy.poll_cpu_share or starved):
        return None
    number = len(facts.observed.stacks.get(node.pid, ()))
    stacks = [stack for i in range(number) if (stack := facts.stack(node, -1 - i)) is not None]
    if len(stacks) < 2 or not all(stack.native for stack in stacks):
        return None
    unseen = any(map(wait_site.lines_unseen, stacks))
    yields = unseen and all(map(turns.yields, stacks))
    unseen = unseen and not yields
    # Code whose lines are not seen may go anywhere. That which calls nobody may be a loop.
    if unseen and facts.motion(node.pid).calls != 0:
        return None
    if any(
        wait_site.places(stack) > 1 or wait_site.wait_site(stack).category in _NOT_A_LOOP
        for stack in stacks
    ):
        return None
    places = {frame_names.functions(stack) for stack in stacks}
    if len(places) > 1:
        return None
    site = wait_site.wait_site(stacks[-1])
    told = {turns.only_waits(stack) for stack in stacks} - {None}
    waits = True if yields else None if len(told) != 1 else told.pop()
    # A call within an interpreter without symbols is not known: it may be one that takes long.
    unnamed = all(map(turns.unnamed, stacks))
    one_call = unnamed or bool(set.intersection(*map(turns.of_libraries, stacks)))
    in_kernel = (pace.system or 0.0) >= STANDARD.system_share * pace.cpu
    nameless = "Python, in lines that are not seen" if unseen else "code without names"
    return Stay(
        place=places.pop(),
        where=site.place or (site.function if not unseen else None) or nameless,
        library=not waits and one_call and not in_kernel,
        waits=waits,
        unseen=unseen,
        yields=yields,
        backtracks=all(map(turns.backtracks, stacks)),
    )


def stands_still(stay: Stay, digests: Sequence[str | None]) -> bool:
    """True if what a thread stays in does not work, as far as its variables tell.

    `digests`: of its variables, at one look each; None where they tell nothing.
    """
    same = None not in digests and len(set(digests)) == 1
    return not stay.library and not stay.unseen and (stay.waits is True or same)


def spins(history: Sequence[Inspection], policy: Policy) -> dict[int, str]:
    """The threads of which the inspections of one stall say that they are in a loop: the places.

    The last inspections must agree: two of them where loops are called soon, or where a thread does
    nothing but wait for another one; else for `loop_s`. Of one call of a library, or of a thread
    whose variables are not seen to stand still, they must agree for `call_believed_s`; of one
    whose lines are not seen, for `unseen_loop_s`. A search with a regular expression is told as a
    loop is, for it may take for ever.
    """
    if len(history) < 2:
        return {}
    found = {}
    for tid, last in history[-1].stays.items():
        agreeing = _agreeing(tid, history)
        soon = policy.loops or _altogether(tid, agreeing).waits
        told = last.backtracks or _still(tid, agreeing)
        wanted = (0.0 if soon else policy.loop_s) if told else policy.call_believed_s
        wanted = policy.unseen_loop_s if last.unseen else wanted
        if len(agreeing) >= 2 and _lasted(agreeing) >= wanted:
            found[tid] = last.where
    return found


def may_work(history: Sequence[Inspection]) -> dict[int, float]:
    """The threads that search with a regular expression, or yield in lines that are not seen, which
    are told and believed to work all the same: the seconds for which they still are."""
    stays = history[-1].stays if history else {}
    believed = {
        tid: STANDARD.yield_believed_s if stay.yields else STANDARD.search_believed_s
        for tid, stay in stays.items()
        if stay.yields or stay.backtracks
    }
    left = {tid: all_s - _lasted(_agreeing(tid, history)) for tid, all_s in believed.items()}
    return {tid: seconds for tid, seconds in left.items() if seconds > 0}


def only_wait(history: Sequence[Inspection]) -> frozenset[int]:
    """The threads in one place that do nothing but wait for another one, by all inspections of one
    stall: they live as that one does."""
    stays = history[-1].stays if history else {}
    return frozenset(tid for tid in stays if _altogether(tid, _agreeing(tid, history)).waits)


def may_spin(history: Sequence[Inspection]) -> bool:
    """True if a thread is in one place and nothing changes in it, as far as was seen: another
    inspection may show that it is in a loop."""
    if not history:
        return False
    return any(
        stay.backtracks or _still(tid, _agreeing(tid, history))
        for tid, stay in history[-1].stays.items()
    )


def _agreeing(tid: int, history: Sequence[Inspection]) -> Sequence[Inspection]:
    """The last inspections in a row at which a thread was in the same place."""
    last, number = history[-1].stays[tid], 1
    for earlier in reversed(history[:-1]):
        stay = earlier.stays.get(tid)
        if stay is None or stay.place != last.place:
            break
        number += 1
    return history[-number:]


def _lasted(agreeing: Sequence[Inspection]) -> float:
    return agreeing[-1].t - agreeing[0].t


def _still(tid: int, agreeing: Sequence[Inspection]) -> bool:
    digests = [one.values.get(tid) for one in agreeing]
    return stands_still(_altogether(tid, agreeing), digests)


def _altogether(tid: int, agreeing: Sequence[Inspection]) -> Stay:
    """The last stay. It only waits if that was seen at most of them: between two calls it is caught
    in the interpreter now and then, by chance."""
    counts = Counter(one.stays[tid].waits for one in agreeing)
    waits = counts[True] > STANDARD.mostly * counts[False]
    return msgspec.structs.replace(agreeing[-1].stays[tid], waits=waits)
