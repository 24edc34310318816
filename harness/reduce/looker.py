"""Runs programs for as long as it takes to see where they stand, without a verdict."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.reduce import glance
from harness.reduce.glance import Pose
from harness.reduce.symptom import DIED, Symptom, raised
from harness.supervise import launch, scheduler

TICK_S = 0.03
LEAST_S, LATER = 0.8, 1.7
"""A program is given up after this many seconds, and this many times the time of those before."""


class Seen(NamedTuple):
    """The answer of one run."""

    stands: bool
    seconds: float
    """The time until it was known."""


class Look(NamedTuple):
    """What is asked of one run."""

    argv: Sequence[str]
    variables: dict[str, str]
    folder: Path
    """An empty folder, for what it prints."""
    stacks: Path
    """The file to which it prints its stacks."""
    program: str


class StoppedError(Exception):
    """The user asked to stop, or the time is over."""


class _Glanced:
    """One run under way."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.began = time.monotonic()
        self.launched = launch.Launched(look.argv, look.folder, {**os.environ, **look.variables})
        self._told = 0
        self.times: list[tuple[float, Pose]] = []

    @property
    def ended(self) -> bool:
        self.launched.listen()
        return self.launched.quiet or self.launched.status is not None

    def poses(self) -> list[Pose]:
        try:
            text = self._look.stacks.read_text(errors="replace")
        except OSError:
            text = ""
        found = glance.poses(text, self._look.program)
        at = time.monotonic() - self.began
        self.times += [(at, one) for one in found[len(self.times) :]]
        return found

    def printed(self) -> str:
        try:
            return (self._look.folder / "stderr.log").read_text(errors="replace")
        except OSError:
            return ""


def first(look: Look, wanted: Symptom, limit: float, over: Callable[[], bool]
) -> tuple[Pose, float] | None:  # fmt: skip
    """The pose of the whole program in its hang and when it was there; None if it is not seen."""
    found: list[tuple[Pose, float] | None] = [None]

    def decided(run: _Glanced) -> bool | None:
        run.poses()
        found[0] = glance.wanted(run.times, wanted)
        return True if found[0] else None

    _together([look], decided, limit, over)
    return found[0]


def stand(
    looks: Sequence[Look], pose: Pose, wanted: Symptom, limit: float, over: Callable[[], bool]
) -> list[Seen]:
    """Run all of them side by side until each is seen to stand in `pose`, or ends, or is late.

    The threads that die in the symptom must have died.
    """
    died = {part for part in wanted.parts if part.startswith(DIED)}

    def decided(run: _Glanced) -> bool | None:
        stands = glance.stands(run.poses(), pose)
        return True if stands and died <= raised(run.printed()) else None

    return _together(looks, decided, limit, over)


def _together(
    looks: Sequence[Look], decided: Callable[[_Glanced], bool | None], limit: float,
    over: Callable[[], bool],
) -> list[Seen]:  # fmt: skip
    runs: list[_Glanced] = []
    answers: dict[_Glanced, tuple[bool, float]] = {}
    with scheduler.requests() as interrupts:
        try:
            runs += map(_Glanced, looks)
            while len(answers) < len(runs):
                if interrupts.count or over():
                    raise StoppedError
                for run in runs:
                    if run not in answers:
                        seconds = time.monotonic() - run.began
                        answer = False if run.ended or seconds > limit else decided(run)
                        if answer is not None:
                            answers[run] = answer, seconds
                            run.launched.reap(0.0)
                time.sleep(TICK_S)
        finally:
            for run in runs:
                run.launched.reap(0.0)
            for run in runs:
                while not run.launched.quiet:
                    run.launched.listen()
                    time.sleep(0.005)
                run.launched.close(keep_kernels=False)
    return [Seen(*answers[run]) for run in runs]
