"""The runs of one plan from several folders."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from harness.model import Outcome
from harness.releases import part
from harness.releases.folder import read_runs
from harness.releases.part import plan_of as plan_of
from harness.releases.plan import Plan
from harness.releases.probe import Ran


class Joined(NamedTuple):
    """The runs, one for each number, and the numbers of which there were several."""

    runs: tuple[Ran, ...]
    twice: tuple[int, ...]


def join(plan: Plan, folders: Sequence[Path]) -> Joined:
    """The runs of `plan` that lie in `folders`, of which the first has the plan itself.

    Raises UsageError when a record cannot be read or is of another plan.
    """
    home = folders[0]
    try:
        runs = list(read_runs(home))
    except (OSError, ValueError, msgspec.ValidationError):
        runs = []  # a copy of the plan alone is enough
    for folder in dict.fromkeys(one.resolve() for one in folders):
        for _, record in part.read(folder, plan):
            ran = record.ran
            if ran.run is not None:
                ran = msgspec.structs.replace(ran, run=os.path.relpath(folder / ran.run, home))
            runs.append(msgspec.structs.replace(ran, host=ran.host or record.host))
    return chosen(runs)


def chosen(runs: Sequence[Ran]) -> Joined:
    """One run for each number: the first that was not skipped. Pure."""
    known: dict[int, Ran] = {}
    twice: dict[int, None] = {}
    for ran in runs:
        if ran.number is None:
            continue
        if ran.number in known:
            twice[ran.number] = None
        if ran.number not in known or is_skipped(known[ran.number]):
            known[ran.number] = ran
    whole = [ran for ran in runs if ran.number is None]
    return Joined((*whole, *(known[number] for number in sorted(known))), tuple(sorted(twice)))


def is_skipped(ran: Ran) -> bool:
    """Check whether a run was not carried out. Pure."""
    return all(one.outcome is Outcome.SKIPPED for one in ran.symptoms)


def skipped(runs: Sequence[Ran]) -> list[str]:
    """The cells that could not be run, each once. Pure."""
    return list(dict.fromkeys(ran.cell for ran in runs if is_skipped(ran)))


def spans(numbers: Sequence[int]) -> str:
    """Numbers as Slurm's `--array` takes them. Pure.

    >>> spans([0, 1, 2, 5, 7, 8])
    '0-2,5,7-8'
    """
    ordered = sorted(numbers)
    groups = itertools.groupby(enumerate(ordered), lambda pair: pair[1] - pair[0])
    ends = [[number for _, number in group] for _, group in groups]
    return ",".join(str(g[0]) if len(g) == 1 else f"{g[0]}-{g[-1]}" for g in ends)
