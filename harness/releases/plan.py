"""The plan of a matrix or a bisect: cells that do not depend on each other, as data.

plan.json has it. Whoever has the file can run any cell of it. Each run of a cell has a number, by
which another host is told what to run: all cells have their first run before any has its second.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import PurePath

import msgspec

from harness.errors import UsageError
from harness.model import Patience, ScenarioInfo, Settings
from harness.releases import symptoms, versions

SCHEMA = 1
NAME = "plan.json"
EXTRAS = {"cpu": "mlx[cpu]", "cuda": "mlx[cuda13]", "metal": "mlx"}
"""The requirement of MLX by the extra of our own distribution."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One environment in which the target runs."""

    name: str
    """Unique in the plan, and a name for a folder: `mlx-0.31.2`."""
    python: str
    """A version such as 3.12, or the path of a Python."""
    own: bool = False
    """True if that path is an environment of the user's own, which is used as it is."""
    packages: dict[str, str] = {}
    """Package to version, of the axes."""
    requirements: tuple[str, ...] = ()
    """All that is installed, as pip and uv read it."""


class BisectRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The question of a bisect. The cells go from the good end to the bad end."""

    package: str
    good: str
    bad: str
    when: str | None = None
    """The text of --when; None for what the bad end showed."""
    certainty: float | None = None

    @property
    def repeats(self) -> bool:
        """True if a release may run more than once."""
        return self.certainty is not None or (
            self.when is not None and symptoms.is_time(symptoms.parse(self.when))
        )

    @property
    def mends(self) -> bool:
        """True if the good end is the newer one: the release is looked for that mended it."""
        return versions.parse(self.good) > versions.parse(self.bad)


class InvestigateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The question of an investigation."""

    within: float
    """Seconds that it may take."""
    repeat: int
    """Runs of the training as it is."""
    python: str | None = None
    """The Python that environments of releases are made from; None: that of the target."""
    more: tuple[str, ...] = ()
    """The packages that each of them gets too."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """plan.json."""

    schema: int = SCHEMA
    kind: str
    """`matrix`, `bisect` or `investigate`."""
    harness_version: str
    cwd: str
    """The folder that the target is run in, and that its path is relative to."""
    target: ScenarioInfo
    settings: Settings | None
    """None for a command."""
    cells: tuple[Cell, ...]
    file: str | None = None
    """The text of --requirements."""
    repeat: int = 1
    """Runs of each cell."""
    budget: float = 600.0
    """Seconds for one run."""
    patience: Patience | None = None
    cold: bool = False
    full: bool = False
    bisect: BisectRequest | None = None
    investigate: InvestigateRequest | None = None

    @property
    def runs(self) -> range:
        """The numbers of all runs: of a bisect, one of each release."""
        return range(self.repeat * len(self.cells))


def cell_of(plan: Plan, number: int) -> Cell:
    """The cell whose run has the `number`. Raises UsageError when there is none.

    A bisect with a certainty, or for a time, has as many runs of each release as it takes. Pure.
    """
    endless = plan.bisect is not None and plan.bisect.repeats
    if number not in plan.runs and not (endless and number >= 0):
        last = plan.runs[-1] if plan.runs else 0
        raise UsageError(f"the plan has no run {number}; give a number from 0 to {last}")
    return plan.cells[number % len(plan.cells)]


def label(plan: Plan, number: int) -> str:
    """The name of a run for people: its cell, and which run of it if there are several. Pure."""
    name, repeat = cell_of(plan, number).name, number // len(plan.cells)
    return f"{name} #{repeat}" if repeat or plan.repeat > 1 else name


def digest(plan: Plan) -> str:
    """A word that tells this plan from others. Pure."""
    # As it is read: a budget of 3 is one of 3.0 then.
    read = msgspec.json.decode(msgspec.json.encode(plan), type=Plan)
    return hashlib.sha256(msgspec.json.encode(read)).hexdigest()[:16]


def axes(
    packages: Mapping[str, Sequence[str]],
    pythons: Sequence[str],
    more: Sequence[str],
    own_python: str,
    extra: str,
    worker: bool = True,
) -> tuple[Cell, ...]:
    """The cells of all combinations of versions and Pythons, the first axis slowest.

    `packages` has the versions of each package, and `more` what is installed in every cell. A path
    in `pythons` is the environment itself where no package is given. A `worker` needs MLX in each
    of them. Pure.
    """
    names = list(packages)
    cells: list[Cell] = []
    for *chosen, python in itertools.product(*packages.values(), pythons or [own_python]):
        pinned = dict(zip(names, chosen, strict=True))
        own = not names and "/" in python
        if own and more:
            raise UsageError(
                f"{python} is used as it is: install what it needs there, and omit --with and "
                "--requirements"
            )
        parts = [f"{name}-{version}" for name, version in pinned.items()]
        if len(pythons) > 1 or not parts:
            parts.append(f"python-{_short(python)}")
        cells.append(
            Cell(
                name=_unique("_".join(parts), cells),
                python=python,
                own=own,
                packages=pinned,
                requirements=() if own else requirements(pinned, more, extra, worker),
            )
        )
    return tuple(cells)


def requirements(
    pinned: Mapping[str, str], more: Sequence[str], extra: str, worker: bool = True
) -> tuple[str, ...]:
    """The requirements of a cell. A worker needs MLX, and mlx-lm that with the right extra."""
    named = {EXTRAS[extra] if name == "mlx" else name: v for name, v in pinned.items()}
    lines = [f"{name}=={version}" for name, version in named.items()]
    given = [*pinned, *map(versions.name_of, more)]
    if "mlx" not in given and (worker or "mlx-lm" in given):
        lines.append(EXTRAS[extra])
    return (*lines, *more)


def _short(python: str) -> str:
    """The version, or of a path the environment's folder: `envs/old/bin/python` is `old`."""
    path = PurePath(python)
    return path.parent.parent.name if path.parent.name == "bin" else path.name


def _unique(text: str, cells: Sequence[Cell]) -> str:
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in text).strip("-.")
    taken = {cell.name for cell in cells}
    return next(n for n in itertools.chain([name], (f"{name}-{i}" for i in itertools.count(2)))
                if n not in taken)  # fmt: skip
