"""The rank of a process in its job, as the launcher names it."""

from __future__ import annotations

from collections.abc import Mapping

import psutil

from harness.inject.inside.writer import RANKS


def rank_of(pid: int) -> int | None:
    """The rank that process `pid` was started as; None when it is none, or cannot be asked.

    What a rank starts inherits the variable: only the uppermost of a tree is the rank.
    """
    try:
        return among(psutil.Process(pid).environ())
    except (psutil.Error, OSError):
        return None


def among(variables: Mapping[str, str]) -> int | None:
    """The rank that these variables name."""
    numbers = [variables[name] for name in RANKS if variables.get(name, "").isdecimal()]
    return int(numbers[0]) if numbers else None
