"""macOS's reports of crashes of programs, which it writes for each.

Their form is that of Apple's article "Interpreting the JSON format of a crash report": a line of
JSON for the head, whose `bug_type` is 309, then the report as one JSON document. The folder is that
of the user, or that of the machine. It has never been read on a Mac.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from harness.observe.macos.jetsam import FOLDER

_FOLDERS = (Path("Library/Logs/DiagnosticReports"), FOLDER)
"""Below the home, and that of the machine."""
_BUG_TYPE = "309"
WAIT_S = 3.0
"""A report comes some time after the crash."""
_PAUSE_S = 0.25
_MOST = 16 << 20


def body(text: str, pids: Collection[int]) -> str:
    """The second document of a report of a crash of one of `pids`; empty of any other. Pure."""
    head, _, rest = text.partition("\n")
    try:
        about, report = json.loads(head), json.loads(rest)
    except ValueError:
        return ""
    if not isinstance(about, dict) or not isinstance(report, dict):
        return ""
    return rest if about.get("bug_type") == _BUG_TYPE and report.get("pid") in pids else ""


def wait_for(pids: Collection[int], since: float, home: Path, wait_s: float = WAIT_S) -> str:
    """The report that macOS writes of a crash of one of `pids`; empty if none comes.

    `since` is the start of the process, in seconds since 1970.
    """
    until = time.monotonic() + wait_s
    while True:
        for text in _new(since, home):
            if found := body(text, pids):
                return found
        if time.monotonic() >= until:
            return ""
        time.sleep(_PAUSE_S)


def _new(since: float, home: Path) -> Iterator[str]:
    for folder in _FOLDERS:
        try:
            files = sorted((home / folder).glob("*.ips"))
        except OSError:
            continue
        for file in files:
            try:
                state = file.stat()
                if since <= state.st_mtime and state.st_size < _MOST:
                    yield file.read_text("utf-8", "replace")
            except OSError:
                continue
