"""The errors before and around a run, each with its exit code."""

from __future__ import annotations

import errno
from enum import IntEnum
from pathlib import Path
from typing import Any


class Exit(IntEnum):
    """The exit codes of all commands; other programs read them."""

    OK = 0
    VERDICT = 1
    """A run hung, diverged, crashed or stayed unfinished."""
    USAGE = 2
    """The command line or a scenario file is wrong."""
    INTERNAL = 3
    """The harness itself failed: its output folder, its disk, its own code."""
    MEMORY = 75
    """The memory of a watched command reached --memory-limit: the code that mlx-guard gives."""
    INTERRUPTED = 130


class HarnessError(Exception):
    """An error with a message for the user: one line, no traceback."""

    exit = Exit.INTERNAL


class NotWrittenError(HarnessError):
    """An error of the disk after the runs: their results are known, and the reports are not whole.

    `run` is the RunResult, `published` is what run.json would have of it, and `folder` is the place
    of what could be written.
    """

    def __init__(self, message: str, run: Any, published: Any, folder: Path) -> None:
        super().__init__(message)
        self.run = run
        self.published = published
        self.folder = folder


class UsageError(HarnessError):
    """An error that the user can correct: an option, a scenario file, a model folder."""

    exit = Exit.USAGE


class ScenarioError(Exception):
    """A mistake in a scenario's own code, in one sentence with its file and line."""


class SkipError(Exception):
    """Raised in a worker whose scenario cannot run here; the message says why."""


_FULL = "free some space, or name another folder with --out"
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "a file reached the limit for its size: raise `ulimit -f`",
    errno.EMFILE: "too few files may be open at once: raise `ulimit -n`",
    errno.ENFILE: "the machine has too many open files: end other programs",
    errno.EAGAIN: "no more processes may be started: raise `ulimit -u`, or end other programs",
    errno.ENOMEM: "the machine has too little memory: end other programs",
}


def remedy(error: OSError) -> str:
    """The way out of an error that a limit of the machine or of this user causes; else empty."""
    return _REMEDIES.get(error.errno or 0, "")


def with_remedy(error: OSError, message: str | None = None) -> str:
    """`message`, or else the error's own, and what to do about it where that is known."""
    way_out = remedy(error)
    if message is None:
        # Without a file, its number says nothing that the words do not say.
        plain = error.strerror if way_out and not error.filename else None
        named = f"{error.strerror}: {error.filename}" if error.filename else None
        message = plain or named or str(error)
    return f"{message}; {way_out}" if way_out else message
