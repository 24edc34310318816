"""`--memory-limit` and what belongs to it: the bound on the memory of a command."""

from __future__ import annotations

import argparse
import re
from typing import Any

from harness.cli.options import bytes_of
from harness.errors import UsageError
from harness.model.settings import MemoryLimit


def add(group: Any) -> None:
    """Add the options that bound the memory of a command."""
    group.add_argument(
        "--memory-limit", type=_bound, metavar="SIZE|PERCENT",
        help="end the command when its processes hold more memory than this, such as 24GiB or 80%% "
        "of what may be used; at 90%% of it a warning is printed (default: no limit)",
    )  # fmt: skip
    group.add_argument(
        "--on-memory-signal", type=_signal, metavar="NAME",
        help="with --memory-limit: at 90%% of it, send this signal (USR1, USR2, HUP, INT or TERM) "
        "to the processes that handle it, so that they save a checkpoint (default: send none)",
    )  # fmt: skip


def of(arguments: argparse.Namespace) -> MemoryLimit | None:
    """The bound that was given. Raises UsageError for a signal without a bound."""
    bound: MemoryLimit | None = arguments.memory_limit
    signal: str = arguments.on_memory_signal or ""
    if bound is None:
        if signal:
            raise UsageError("--on-memory-signal needs --memory-limit")
        return None
    return MemoryLimit(size=bound.size, share=bound.share, signal=signal)


def _bound(text: str) -> MemoryLimit:
    """A size, or a percentage of the memory that may be used, for argparse."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text.strip(), re.ASCII)
    if found is None:
        return MemoryLimit(size=bytes_of(text))
    if not 0 < float(found[1]) <= 100:
        raise argparse.ArgumentTypeError(f"{text} is no share: give more than 0%, 100% at most")
    return MemoryLimit(share=float(found[1]) / 100)


def _signal(text: str) -> str:
    """The name of a signal that a program may handle by saving, without `SIG`."""
    name = text.upper().removeprefix("SIG")
    if name not in ("USR1", "USR2", "HUP", "INT", "TERM"):
        raise argparse.ArgumentTypeError(f"cannot use {text}; use USR1, USR2, HUP, INT or TERM")
    return name
