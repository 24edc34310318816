"""The clock of a wait itself: one that is shown or told, and one that nothing shows. Pure.

Where waits are not shown, a worker of ours tells the timeouts of its Python. Else the names around
a wait say at most that it has one. Who waits for files may have one, whatever its names are: an
event loop and `select` look alike with and without. Such a wait is believed, and not for ever.
"""

from __future__ import annotations

import math

import msgspec

from harness.detect.chain import open_files
from harness.detect.chain.facts import Facts
from harness.detect.chain.links import ALIVE, End, Ends, Node, Wait
from harness.model import Thread
from harness.stacks import frame_names, native_waits
from harness.stacks.wait_rules import Category
from harness.text import late, units

_TIMED = late.compile(
    r"^_*semaphore_timedwait\w*|^_*(pthread_)?cond_(timed|clock)wait\w*|^_*sem_(timed|clock)wait\w*"
    r"|__do_timed_wait$|::(\w+_)?(wait|try_lock|try_acquire)_(for|until)$"
    r"|::(park|wait|recv|send)_(timeout|deadline)\w*$|::park_until$|waitUntilDate:"
)
"""Functions that wait with a timeout, or lead to such a wait."""
_OF_SOCKETS = late.compile(r"^(internal_select|sock_\w+|PySSL_select|_ssl__SSLSocket_\w+)$")
"""Functions of Python that look whether a socket is ready only where it has a timeout:
`sock_call_ex` in its Modules/socketmodule.c, `PySSL_select` in its Modules/_ssl.c."""
_READY = late.compile(r"^_*(poll|select)(_nocancel|\$\w+)?$")
_MAY = (Category.LOCK, Category.QUEUE, Category.IO)


def with_clock(wait: Wait, node: Node, thread: Thread, facts: Facts) -> Wait:
    """`wait`, with the timeout that it has or may have."""
    if any(end.kind is Ends.CLOCK for end in wait.ends):
        return wait
    again = facts.observed.rearmed.get(node.tid, 0) >= facts.policy.rearmed
    if thread.wakes_in is not None:
        return wait if again else _ringing(wait, thread.wakes_in, facts, exact=True)
    alive = any(end.kind in ALIVE for end in wait.ends)
    if facts.observed.shows_waits or alive or facts.category(node) not in _MAY:
        return wait
    told = _told(node, facts)
    if again:
        if told == math.inf or facts.category(node) is Category.IO:
            return wait
        # A thread beside the main one may work between its waits, as one that sleeps may.
        how = "again and again with a timeout"
        return _hidden(wait, node, how, facts.policy.beat_believed_s, facts)
    if told is not None:
        return wait if math.isinf(told) else _ringing(wait, told, facts, exact=False)
    if _is_timed(node, facts):
        return _hidden(wait, node, "with a timeout", facts.policy.beat_believed_s, facts)
    if open_files.polls(node, facts) or _has_not_answered(node, facts):
        return _hidden(wait, node, "perhaps with a timeout", facts.policy.clock_believed_s, facts)
    return wait


def _told(node: Node, facts: Facts) -> float | None:
    """The timeout that a worker has told, at the last capture or, where it has not answered then,
    at the one before it."""
    told = facts.stack(node)
    # Who has answered, and tells none, waits in another place than before.
    if told is None or (told.timeout_s is None and frame_names.hides_python(told)):
        told = facts.stack(node, -2)
    return None if told is None else told.timeout_s


def _has_not_answered(node: Node, facts: Facts) -> bool:
    """True if a worker of ours, which tells its timeouts, has told nothing in time."""
    trains, stack = facts.observed.trains, facts.stack(node)
    ours = trains is not None and trains[0] == node.pid and facts.is_main(node)
    return ours and stack is not None and frame_names.hides_python(stack)


def _ringing(wait: Wait, seconds: float, facts: Facts, exact: bool) -> Wait:
    """`exact`: it rings in so many seconds, and not within them."""
    if seconds > facts.policy.believed_s:
        return wait
    long = "a timeout" if exact else f"a timeout of {units.duration(seconds)}"
    left = seconds if exact else None
    clock = End(kind=Ends.CLOCK, detail=f"{wait.detail}, with {long}", left_s=left)
    return msgspec.structs.replace(wait, ends=(*wait.ends, clock))


def _hidden(wait: Wait, node: Node, how: str, believed_s: float, facts: Facts) -> Wait:
    did = facts.observed.doings.get(node.tid)
    left = max(0.0, believed_s - (did.seconds if did is not None else 0.0))
    waits, _, what = wait.detail.partition(" ")
    told = f"{waits}, {how}, {what}" if waits == "waits" and what else f"{wait.detail}, {how}"
    ends = tuple(
        msgspec.structs.replace(end, detail=told) if end.detail == wait.detail else end
        for end in wait.ends
    )
    return msgspec.structs.replace(wait, detail=told, ends=ends, clock_believed_s=round(left, 1))


def _is_timed(node: Node, facts: Facts) -> bool:
    """True if the functions around its wait say that it has a timeout."""
    stack = facts.stack(node)
    names = []
    for frame in () if stack is None else native_waits.between(stack.frames):
        if frame.python or frame_names.evaluates(frame):
            break
        names.append(frame.bare)
    ready = bool(names) and _READY.match(names[0]) is not None
    return any(_TIMED.search(name) or (ready and _OF_SOCKETS.match(name)) for name in names)
