"""macOS's reports of kills for want of memory, which it calls jetsam.

Their form is that of Apple's article "Identifying high-memory use with jetsam event reports": a
line of JSON for the head, then the report as one JSON document.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

from harness.model.death import EndFacts
from harness.text.units import size

FOLDER = Path("/Library/Logs/DiagnosticReports")
_REASONS = {
    "per-process-limit": "it went beyond the limit for one process",
    "vm-pageshortage": "the machine had too few free pages",
    "vm-compressor-space-shortage": "the compressor had no space left",
    "highwater": "it went beyond its high-water mark",
    "fc-thrashing": "the machine read its files in again and again",
    "jettisoned": "macOS gave no other reason",
}


def parse(text: str, pid: int) -> str:
    """The word of the report `text` on the process `pid`, as a clause; empty without a word.
    Pure."""
    _, _, body = text.partition("\n")
    try:
        report = json.loads(body)
        page = int(report.get("memoryStatus", {}).get("pageSize", 16384))
        processes = report["processes"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    for process in processes if isinstance(processes, list) else []:
        if isinstance(process, dict) and process.get("pid") == pid and "reason" in process:
            reason = str(process["reason"])
            used = process.get("rpages")
            held = f", with {size(used * page)} in use" if isinstance(used, int) else ""
            return f"{_REASONS.get(reason, reason)}{held}"
    return ""


_COARSE_S = 1.0
"""The time of a file may be so much earlier than that of the clock which a program reads."""


class Witness:
    """Knows which reports are new."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._began = time.time() - _COARSE_S

    def look(self, pids: Iterable[int]) -> None:
        pass

    def tell(self, pid: int) -> EndFacts:
        """The word of the reports since the start on `pid`."""
        try:
            files = [
                file
                for file in self._folder.glob("JetsamEvent-*.ips")
                if file.stat().st_mtime >= self._began
            ]
            told = [parse(file.read_text("utf-8", "replace"), pid) for file in sorted(files)]
        except OSError:
            told = []
        return EndFacts(pid=pid, jetsam=next(filter(None, told), ""))
