"""Glances at a run: the stacks that a program prints of itself many times a second. Pure.

A verdict of the supervisor takes seconds. Where a program stands is known in half a second.
Most candidates stand elsewhere or end. Those that stand where the whole program does are judged
later.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from harness.reduce.symptom import Symptom
from harness.text import late

FEW = 3
"""Glances in a row that must show the same."""
STILL_S = 1.0
"""The time for which the whole program must stand where it is seen, and..."""
SHARE = 0.4
"""... the share of its time until then: work of one kind may take a while."""
Stack = tuple[str, ...]
"""The functions from the innermost one on to the first one of the program itself; the innermost
one alone of a thread that is in none of these."""


class Pose(NamedTuple):
    """The places of the threads of a program."""

    main: Stack
    others: tuple[Stack, ...]
    """Sorted; several threads may stand in one place."""


def poses(text: str, program: str) -> list[Pose]:
    """The poses in what faulthandler printed, from the first to the last whole one."""
    dumps = text.split("Timeout (")[1:]
    # The last one may be half written.
    return [_pose(dump, program) for dump in dumps[:-1]]


_FRAME = late.compile(r'^  File "(.*)", line \d+ in (.*)$', re.M)


def _pose(dump: str, program: str) -> Pose:
    # The main thread is the oldest one, and so the last.
    *others, main = [_stack(part, program) for part in re.split(r"^Thread 0x", dump, flags=re.M)]
    return Pose(main, tuple(sorted(filter(None, others))))


def _stack(part: str, program: str) -> Stack:
    found: list[str] = []
    for file, function in _FRAME.findall(part):
        name = file.replace("\\", "/").rpartition("/")[2]
        found.append(f"{name} {function}")
        if name == program:
            return tuple(found)
    # A thread of a library, such as one of a pool.
    return tuple(found[:1])


def wanted(times: Sequence[tuple[float, Pose]], symptom: Symptom) -> tuple[Pose, float] | None:
    """The pose of the whole program that hangs, and the seconds after which it was seen first.

    `times` has each pose with the seconds since the start. None while it may yet change, and where
    the main thread is in no function of the symptom. Of other threads those in one are wanted.
    """
    if not times:
        return None
    last, pose = times[-1]
    since = last
    for at, earlier in reversed(times):
        if earlier.main != pose.main:
            break
        since = at
    if last - since < max(STILL_S, SHARE * last) or not _is_in(pose.main, symptom):
        return None
    # Of the whole program some other threads may stand where they do not always stand.
    settled = Counter(pose.others)
    for at, one in times:
        if at >= since:
            settled &= Counter(one.others)
    others = sorted(one for one in settled.elements() if _is_in(one, symptom))
    return Pose(pose.main, tuple(others)), since


def _is_in(stack: Stack, symptom: Symptom) -> bool:
    return bool(stack) and any(
        part.endswith(f" in {stack[-1].partition(' ')[2]}") for part in symptom.parts
    )


def stands(seen: Sequence[Pose], pose: Pose) -> bool:
    """True if the last few glances show `pose`, which may have threads in other places as well."""
    last = seen[-FEW:]
    wanted = Counter(pose.others)
    return len(last) == FEW and all(
        one.main == pose.main
        and all(one.others.count(place) == number for place, number in wanted.items())
        for one in last
    )
