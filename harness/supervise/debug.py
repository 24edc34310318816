"""The debug log: why each observation was or was not called a hang.

`--debug` and HARNESS_DEBUG=1 turn it on. `harness.detect` names the logger of judgments and of
what the detectors say, `harness.supervise` that of stages and doubts, and `harness.attach` that of
`harness attach`. The detectors are pure: who asks them logs what they say.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.detect import deadlock
from harness.detect.deadlock import Reason
from harness.detect.tree import Tree
from harness.detect.watchdog import Judgment, State
from harness.model import Snapshot
from harness.text.units import duration

VARIABLE = "HARNESS_DEBUG"
FILE = "debug.log"
"""In the folder of a run whose command has the terminal for itself."""
_FORMAT = "%(asctime)s %(name)s: %(message)s"
DETECT = logging.getLogger("harness.detect")
SUPERVISE = logging.getLogger("harness.supervise")
ATTACH = logging.getLogger("harness.attach")


@contextlib.contextmanager
def writing(wanted: bool, file: Path | None = None) -> Iterator[None]:
    """As long as this lasts, write the log to `file`, or to stderr, if `wanted` or HARNESS_DEBUG
    asks for it. A program that has set up logging itself gets the records in its own handlers."""
    top = logging.getLogger("harness")
    if not wanted and os.environ.get(VARIABLE, "") in ("", "0"):
        yield
        return
    handler: logging.Handler | None = None
    if file is not None:
        handler = logging.FileHandler(file, encoding="utf-8")
    elif not top.hasHandlers():
        handler = _Stderr()
    level = top.level
    top.setLevel(logging.DEBUG)
    if handler is not None:
        handler.setFormatter(logging.Formatter(_FORMAT))
        top.addHandler(handler)
    try:
        yield
    finally:
        top.setLevel(level)
        if handler is not None:
            top.removeHandler(handler)
            handler.close()


class _Stderr(logging.Handler):
    """Writes to what sys.stderr is at the moment: a live table puts itself in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        # A terminal that went away is no reason to end the run.
        with contextlib.suppress(OSError, ValueError):
            print(self.format(record), file=sys.stderr, flush=True)


class RunLog:
    """The log of one run. Whatever is as it was at the call before is not written again."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._before: dict[str, Any] = {}

    def stage(self, text: str, *values: object) -> None:
        """Write a change of the run's stage, or of a doubt."""
        SUPERVISE.debug(f"%s: {text}", self._name, *values)

    def failed(self, error: Exception) -> None:
        """Write that a look has failed, and where."""
        SUPERVISE.debug(f"{self._name}: a look failed", exc_info=error)

    def judged(self, judgment: Judgment, snapshot: Snapshot) -> None:
        """Write why the watchdog calls a look overdue or not."""
        if not DETECT.isEnabledFor(logging.DEBUG):
            return
        kind, text = _judgment(judgment, snapshot)
        self._changed("judged", kind, text)

    def refused(self, reasons: Sequence[Reason]) -> None:
        """Write why a tree in which nothing moves is not proven to be dead."""
        if not DETECT.isEnabledFor(logging.DEBUG):
            return
        codes = tuple(sorted(reason.code for reason in reasons))
        self._changed("refused", codes, f"no proven deadlock: {deadlock.describe(reasons)}")

    def inspected(self, tree: Tree, alive: bool) -> None:
        """Write what every detector said of each process."""
        if not DETECT.isEnabledFor(logging.DEBUG):
            return
        verdict = "not a hang, it goes on by itself" if alive else "possible hang"
        DETECT.debug("%s: inspected: %s: %s", self._name, verdict, tree.summary)
        write_tree(DETECT, tree, f"{self._name}: ")

    def ranks(self, code: str | None, summary: str) -> None:
        """Write what is said of the ranks of a job."""
        if DETECT.isEnabledFor(logging.DEBUG):
            self._changed("ranks", code, f"ranks: {code or 'not a hang'}: {summary}")

    def _changed(self, topic: str, kind: Any, text: str) -> None:
        if self._before.get(topic) != kind:
            self._before[topic] = kind
            DETECT.debug("%s: %s", self._name, text)


def write_tree(log: logging.Logger, tree: Tree, prefix: str = "") -> None:
    """Write what became of every detector, process by process."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    for judged in tree.processes:
        for detector, outcome in judged.outcomes:
            log.debug("%sprocess %d: detector %s: %s", prefix, judged.pid, detector, outcome)


def _judgment(judgment: Judgment, snapshot: Snapshot) -> tuple[Any, str]:
    """The key of a judgment, which stays as long as it is the same, and the judgment in words."""
    if judgment.last_progress == snapshot.t:
        return "progress", "not a hang: beats come"
    if not judgment.allowed:
        reason = judgment.reason or "the process or the harness could not run"
        return ("paused", judgment.state, reason), f"this time does not count: {reason}"
    lasted, limit = duration(judgment.lasted), duration(judgment.allowed)
    moves = judgment.reason or ("nothing moves" if judgment.still else "something moves")
    place = f"{judgment.phase} has lasted {lasted}, limit {limit}; {moves}"
    kind = judgment.phase, judgment.state, judgment.overdue, judgment.still, moves
    if judgment.overdue:
        return kind, f"overdue, to be inspected: {place}"
    if judgment.state is State.STOPPED:
        return kind, f"stopped: {place}"
    return kind, f"not a hang: {place}"
