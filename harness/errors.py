"""The errors before and around a run, each with its exit code."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of all commands; other programs read them."""

    OK = 0
    VERDICT = 1
    """A run hung, diverged, crashed or stayed unfinished."""
    USAGE = 2
    """The command line or a scenario file is wrong."""
    INTERNAL = 3
    """The harness itself failed: its output folder, its disk, its own code."""
    INTERRUPTED = 130


class HarnessError(Exception):
    """An error with a message for the user: one line, no traceback."""

    exit = Exit.INTERNAL


class UsageError(HarnessError):
    """An error that the user can correct: an option, a scenario file, a model folder."""

    exit = Exit.USAGE


class SkipError(Exception):
    """Raised in a worker whose scenario cannot run here; the message says why."""
