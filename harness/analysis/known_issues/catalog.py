"""The list of known issues, which `known_issues.toml` beside this module holds as data."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import msgspec

from harness.model import Outcome
from harness.model.enums import TextEnum

FILE = Path(__file__).with_name("known_issues.toml")


class Kind(TextEnum):
    """Whose fault it is."""

    BUG = "bug"
    """A fault of the library."""
    PITFALL = "pitfall"
    """A use that the library does not support, or a limit that it has by design."""


class System(TextEnum):
    """An operating system."""

    LINUX = "linux"
    MACOS = "macos"


class Backend(TextEnum):
    """A device that MLX computes on. Every machine has the CPU as well."""

    CPU = "cpu"
    CUDA = "cuda"
    METAL = "metal"


class KnownIssue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One public bug or pitfall: how it shows, in which releases, and its cure."""

    id: str
    """Repository and number, such as `mlx#4100`."""
    title: str
    """The end of a sentence: no capital at its start, no full stop."""
    url: str
    package: str
    """The distribution whose version counts: `mlx` or `mlx-lm`."""
    kind: Kind = Kind.BUG
    since: str | None = None
    """The first release that has it; None: not known, and all before `fixed` count."""
    fixed: str | None = None
    """The first release without it; None: there is none yet."""
    systems: tuple[System, ...] = ()
    """The operating systems that have it; empty: all."""
    backends: tuple[Backend, ...] = ()
    """The devices that have it; empty: all."""
    outcomes: tuple[Outcome, ...]
    """The outcomes in which it shows."""
    wait_site: tuple[str, ...] = ()
    """Patterns of frames, all of which are on the stack of one thread."""
    error: str | None = None
    """A pattern of the last error: exception, message and the lines of its traceback."""
    cure: str
    """Sentences that tell a user what to do."""


class Catalog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    issue: tuple[KnownIssue, ...]


@cache
def load() -> tuple[KnownIssue, ...]:
    """The known issues, in the order of the file."""
    return msgspec.toml.decode(FILE.read_bytes(), type=Catalog).issue


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of the catalog, whose `^` and `$` match at each line."""
    return re.compile(pattern, re.MULTILINE)
