"""What can go wrong before or around a run, each with the exit code it ends in."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes every command keeps to; other programs read them."""

    OK = 0
    VERDICT = 1
    """Some run hung, diverged, crashed or stayed unfinished."""
    USAGE = 2
    """The command line or a scenario file is wrong."""
    INTERNAL = 3
    """The harness itself failed: its output folder, its disk, its own code."""
    INTERRUPTED = 130


class HarnessError(Exception):
    """An error with a message for the user: one line, no traceback."""

    exit = Exit.INTERNAL


class UsageError(HarnessError):
    """The user can mend this: an option, a scenario file, a model folder."""

    exit = Exit.USAGE


class SkipError(Exception):
    """Raised in a worker: the scenario cannot run here; the message says why."""
