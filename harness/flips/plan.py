"""The variants of an environment ladder: those flips that this machine can try. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from harness.flips.table import CPU, FLIPS, METAL, Flip
from harness.model import FlipLeftOut, ScenarioInfo, Settings
from harness.session.plan import PlannedRun

FIRST = 3
"""Runs of the plain training before the first flip."""
LIMIT = 10
"""The most runs of each flip, where the user names no number."""
_ON = {METAL: "Metal", CPU: "the CPU backend", "cuda": "CUDA"}


class Ladder(NamedTuple):
    """The plain training, the flips beside it, and those that were left out."""

    plain: ScenarioInfo
    flips: tuple[Flip, ...]
    left_out: tuple[FlipLeftOut, ...]
    limit: int = LIMIT

    def infos(self) -> tuple[ScenarioInfo, ...]:
        """The plain training and each flip, as what is run."""
        return (self.plain, *(variant(self.plain, flip) for flip in self.flips))


def ladder(
    plain: ScenarioInfo,
    environ: Mapping[str, str],
    backend: str,
    chosen: Iterable[str] | None = None,
    limit: int = LIMIT,
) -> Ladder:
    """The ladder of `plain` on a machine with `backend`, whose variables are `environ`.

    `chosen` are the names of the flips to try, if not all of them.
    """
    names = None if chosen is None else set(chosen)
    wanted = [flip for flip in FLIPS if names is None or flip.name in names]
    reasons = {flip.name: reason for flip in wanted if (reason := _useless(flip, environ, backend))}
    return Ladder(
        plain,
        tuple(flip for flip in wanted if flip.name not in reasons),
        tuple(
            FlipLeftOut(name=flip.name, change=flip.change, reason=reasons[flip.name])
            for flip in wanted
            if flip.name in reasons
        ),
        limit,
    )


def _useless(flip: Flip, environ: Mapping[str, str], backend: str) -> str:
    """The reason why it can change nothing here; empty if it can."""
    if flip.backends and backend not in flip.backends:
        places = " and ".join(_ON[name] for name in flip.backends)
        return f"it is for {places}; this machine has {_ON[backend]}"
    if flip.variable and flip.variable in environ:
        return f"it is set to {environ[flip.variable] or 'nothing'} already"
    return ""


def variant(plain: ScenarioInfo, flip: Flip) -> ScenarioInfo:
    """`plain` with one flip: its name, its reason and its variables."""
    command = plain.command
    if command is not None:
        variables = command.variables | flip.variables
        command = msgspec.structs.replace(command, variables=variables)
        return msgspec.structs.replace(plain, name=flip.name, summary=flip.why, command=command)
    return msgspec.structs.replace(
        plain, name=flip.name, summary=flip.why, variables=plain.variables | flip.variables
    )


def runs(made: Ladder, settings: Settings | None) -> tuple[PlannedRun, ...]:
    """All runs that the ladder may take, in their order; a judge leaves out what tells no more.

    The plain training comes first, as often as it takes to show something. Then follow rounds of
    one run of each flip, and one more of the plain training.
    """
    first = [_planned(made.plain, settings, repeat) for repeat in range(made.limit)]
    rounds = [
        _planned(info, settings, repeat + (made.limit if info is made.plain else 0))
        for repeat in range(made.limit)
        for info in (*made.infos()[1:], made.plain)
    ]
    return (*first, *rounds)


def least(made: Ladder) -> int:
    """The number of runs that a ladder takes at least, where the plain training shows something."""
    return min(FIRST, made.limit) + len(made.flips)


def _planned(info: ScenarioInfo, settings: Settings | None, repeat: int) -> PlannedRun:
    return PlannedRun(info=info, settings=settings, repeat=repeat)
