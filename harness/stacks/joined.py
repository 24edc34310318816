"""Native stacks of a tool that knows no Python, joined with what others tell beside it. Pure.

A native stack has the functions of the interpreter in the place of Python's own. What lies inside
of the innermost of them is the wait. Python's functions follow, as faulthandler wrote them. They
are put into the stacks of threads that waited at each look alone: of one that runs, nobody knows
the lines that it was in. Those of one moment stand beside its stack.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from harness.stacks import frame_names
from harness.stacks.parse.frames import Frame, ThreadStack
from harness.text import late

_FARTHEST = 4096
"""Bytes at most from the beginning of a thread's record to what the kernel knows of it."""
_OWNED = late.compile(r"^_*(psynch_(mutexwait|rw_)|ulock_wait|os_unfair_lock)")
"""The innermost functions of such waits. A condition variable has no owner."""


def joined(
    native: Sequence[ThreadStack], python: Sequence[ThreadStack], handles: Mapping[int, int]
) -> tuple[ThreadStack, ...]:
    """`native`, with the frames of `python` in those threads that waited.

    `handles`: the kernel's number of a thread by what it has kept of its pthread. Without them the
    main thread alone is joined.
    """
    numbers = _numbers(python, handles)
    told = {numbers[one.tid]: one for one in python if one.tid in numbers}
    main = next((one for one in python if one.main), None)
    return tuple(_one(one, main if one.main else told.get(one.tid or 0)) for one in native)


def owned(native: Sequence[ThreadStack], told: Iterable[ThreadStack]) -> tuple[ThreadStack, ...]:
    """`native`, with the owners that another tool has `told`, in those threads that waited."""
    owners = {one.tid: one.owner for one in told}
    return tuple(
        msgspec.structs.replace(one, owner=owners.get(one.tid))
        if one.tid is not None and _waited(one)
        else one
        for one in native
    )


def may_have_owner(native: Iterable[ThreadStack]) -> bool:
    """True if a thread waits where the kernel may know an owner: a lock, the end of a thread."""
    return any(_waited(one) and _OWNED.match(one.frames[0].bare) for one in native)


def _waited(thread: ThreadStack) -> bool:
    """True if a thread waited at each look."""
    return bool(thread.shares) and not any(share.running for share in thread.shares)


def _numbers(
    python: Iterable[ThreadStack], handles: Mapping[int, int]
) -> dict[int | None, int | None]:
    """The kernel's numbers by those of pthread: all lie the same distance from what it has kept."""
    own = [one.tid for one in python if one.tid is not None]
    fits = distances(own, handles)
    if len(fits) != 1:
        return {}  # of two distances that fit, neither is known to be the right one
    (distance,) = fits
    return {tid: handles[tid + distance] for tid in own}


def distances(own: Sequence[int], handles: Collection[int]) -> set[int]:
    """The bytes that may lie between each of the pthreads `own` and what the kernel has kept of
    it."""
    if not own:
        return set()
    return {
        handle - own[0]
        for handle in handles
        if 0 <= handle - own[0] < _FARTHEST and all(tid + handle - own[0] in handles for tid in own)
    }


def _one(thread: ThreadStack, told: ThreadStack | None) -> ThreadStack:
    if told is None or not told.frames or not _in_python(thread):
        return thread
    change, python = msgspec.structs.replace, told.frames
    thread = change(thread, python=python, variables=told.variables)
    if not _waited(thread):
        return thread
    thread = change(thread, timeout_s=told.timeout_s)
    shares = tuple(change(share, frames=_merged(share.frames, python)) for share in thread.shares)
    return change(thread, frames=shares[0].frames, shares=shares)


def _in_python(thread: ThreadStack) -> bool:
    return any(map(frame_names.evaluates, thread.frames))


def _merged(native: tuple[Frame, ...], python: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """The wait, Python's functions, and what has called the interpreter, innermost first."""
    places = [place for place, frame in enumerate(native) if frame_names.evaluates(frame)]
    if not places:
        return native
    return (*native[: places[0]], *python, *native[places[-1] + 1 :])
