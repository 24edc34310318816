"""The last words of a process, read from the logs of its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.death import choice, last_words
from harness.inject.processes import Told
from harness.model import Ending

WENT_ON_S = 2.0
"""An output is no last word if the process did something else so long after it."""


def complete(
    ending: Ending,
    files: Sequence[Path],
    heard: Sequence[float] = (),
    stepped: float = 0.0,
    told: Sequence[Told] = (),
) -> Ending:
    """`ending` with the words in `files`, one for each output; the last is where errors go.

    `heard` says when each was last heard, and `stepped` when the last step was reported.
    """
    if ending.exit_code == 0 or (ending.exit_code is None and ending.signal is None):
        return ending
    latest = max((*heard, stepped), default=0.0)
    stale = [latest - at > WENT_ON_S for at in heard] or [False] * len(files)
    printed = [
        last_words.read(_end(file), went_on) for file, went_on in zip(files, stale, strict=True)
    ]
    facts = choice.complete(ending.facts, ending.exit_code, ending.signal, printed, told)
    return msgspec.structs.replace(ending, facts=facts)


def _end(file: Path) -> bytes:
    """The end of a log; empty where it cannot be read."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - last_words.MOST))
            return stream.read()
    except OSError:
        return b""
