"""The detection of a thread that uses the CPU and gets nowhere: it is in one place at every look.
Pure.

One look at a stack cannot tell a loop from work. Many can, since work goes from function to
function, reads, writes or takes new memory, and changes its variables. One call of a library that
takes minutes looks like a loop for as long as it takes, and so does a loop that counts. These must
be seen for much longer before they are called one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from harness.detect.chain.facts import Facts
from harness.detect.chain.links import Node
from harness.detect.observation import Observation
from harness.detect.policy import Policy
from harness.stacks import wait_site
from harness.stacks.parse import ThreadStack
from harness.stacks.parse.frames import UNKNOWN, bare_name
from harness.stacks.wait_rules import Category

_NOT_A_LOOP = frozenset((Category.IDLE, Category.COLLECTIVE, Category.GIL, Category.SLEEP))
_WAITS = re.compile(r"spin|yield|relax|try_?lock|cmpxchg|compare_exchange")
"""Functions that do nothing but wait for another thread."""
_SYSTEM_SHARE = 0.3
"""One long call of a library spends less of its time in the kernel than this."""
_EVALUATES = ("_PyEval", "PyEval", "_PyObject", "PyObject", "_PyFunction", "PyNumber", "Py_")
"""Begins of functions of the interpreter through which every loop of Python goes."""
LONG_S = 120.0
"""One call of a library, and a loop whose variables change, are believed to work for so long."""


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """A thread that was in one place at each capture of one inspection."""

    place: str
    """The functions that it was in, innermost first."""
    where: str
    """In words: the innermost one of the user's."""
    library: bool
    """True if it was in one and the same call of a library, or of the interpreter."""


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """The threads that stayed in one place, at one time."""

    t: float
    stays: Mapping[int, Stay]
    values: Mapping[int, str] = {}
    """A digest of the local variables of a thread, by thread; missing where they cannot be read."""


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
    if pace is None or not (pace.cpu >= facts.policy.poll_cpu_share or pace.runnable):
        return None
    number = len(facts.observed.stacks.get(node.pid, ()))
    stacks = [stack for i in range(number) if (stack := facts.stack(node, -1 - i)) is not None]
    if len(stacks) < 2 or not all(stack.native for stack in stacks):
        return None
    if any(wait_site.wait_site(stack).category in _NOT_A_LOOP for stack in stacks):
        return None
    places = {wait_site.functions(stack) for stack in stacks}
    if len(places) > 1:
        return None
    site = wait_site.wait_site(stacks[-1])
    return Stay(
        place=places.pop(),
        where=site.python_frame or site.function or "code without names",
        library=(pace.system or 0.0) < _SYSTEM_SHARE * pace.cpu
        and bool(frozenset.intersection(*map(_calls, stacks))),
    )


def _calls(stack: ThreadStack) -> frozenset[str]:
    """The native functions below the innermost one of Python: what that one has called."""
    names = []
    for frame in stack.frames:
        if frame.python:
            break
        names.append(bare_name(frame.function))
    named = [name for name in names if name != UNKNOWN]
    if named and _WAITS.search(named[0]):
        return frozenset()
    return frozenset(name for name in named if not name.startswith(_EVALUATES))


def spins(history: Sequence[Inspection], policy: Policy) -> dict[int, str]:
    """The threads of which the inspections of one stall say that they are in a loop: the places.

    The last inspections must agree: two of them where loops are called soon, else for `loop_s`.
    Of one call of a library, or of a thread whose variables change, they must agree for LONG_S.
    """
    if len(history) < 2:
        return {}
    found = {}
    for tid, last in history[-1].stays.items():
        since, agreeing = history[-1].t, 1
        for earlier in reversed(history[:-1]):
            stay = earlier.stays.get(tid)
            if stay is None or stay.place != last.place:
                break
            since, agreeing = earlier.t, agreeing + 1
        lasted = history[-1].t - since
        values = {earlier.values.get(tid) for earlier in history[-agreeing:]}
        works = last.library or len(values) > 1
        wanted = LONG_S if works else 0.0 if policy.loops else policy.loop_s
        if agreeing >= 2 and lasted >= wanted:
            found[tid] = last.where
    return found
