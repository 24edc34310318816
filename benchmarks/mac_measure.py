"""One summary of what was measured on the simulated Mac, from the results of its parts.

    python benchmarks/mac_measure.py FOLDER [--out FILE.json]

FOLDER has results of `controls.py --mac`, `situations.py --mac`, both also with `--refuse`,
`macos_lies.py` and `macos_refused.py`. A part is what was refused, or a kind of lie. Results of one
part are put together.

Measures: nothing healthy is ended. Each hanging control is called, for what it declares. Where a
source is refused, nothing healthy is ended either, and what cannot be seen is said.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import macos_refused, simulated_mac
from benchmarks.common import save, table

HEAD = ("part", "programs", "right", "healthy ended", "blind said", "wrong")


def part(document: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The name of the part that a result belongs to, and a row for each of its programs."""
    kind, result = document["benchmark"], document["result"]
    refused = result.get("refused", ())
    whole = set(simulated_mac.SOURCES) <= set(refused)
    without = f" without {'all' if whole else ' '.join(refused)}" if refused else ""
    if kind == "selftest":
        return f"controls{without}", [_control(one) for one in result["controls"]]
    if kind == "situations":
        return f"situations{without}", [_situation(one) for one in result["programs"]]
    if kind == "macos_lies":
        return "lies", [_lie(one) for one in result["runs"]]
    if kind == "macos_refused":
        return "refused", [_refused(one) for one in result["runs"]]
    raise SystemExit(f"a result of {kind} is no part of this measure")


def _control(one: dict[str, Any]) -> dict[str, Any]:
    skipped = one["got"].get("skipped", 0)
    ended = one["expected"] == "completed" and any("hung" in got for got in one["got"])
    return {
        "program": one["control"],
        "wanted": one["expected"],
        "got": " ".join(one["got"]),
        "right": None if skipped == one["runs"] else one["right"] + skipped == one["runs"],
        "ended": ended,
    }


def _situation(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "program": one["program"],
        "wanted": one["wanted"],
        "got": " ".join(one["got"]),
        "end": " ".join(one["ends"]),
        "right": one["right"] == one["runs"],
        "ended": bool(one["ended"]),
        "blind": bool(one["blind"]),
    }


def _lie(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "program": f"{one['lie']} {one['program']}",
        "wanted": "completed",
        "got": one["outcome"],
        "right": one["outcome"] == "completed",
        "ended": one["outcome"] == "hung",
        "blind": "blind" in one["says"],
    }


def _refused(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "program": f"{one['program']} without {one['source']}",
        "wanted": "completed" if one["healthy"] else "hung",
        "got": one["outcome"],
        "right": macos_refused.right(one),
        "ended": one["healthy"] and one["outcome"] == "hung",
        "blind": one["blind"],
    }


def line(name: str, rows: Iterable[dict[str, Any]]) -> list[str]:
    """A part in one line."""
    known = [row for row in rows if row["right"] is not None]
    wrong = [f"{row['program']} ({row['got']})" for row in known if not row["right"]]
    counts = (len(known), *(sum(row.get(key, False) for row in known) for key in
                            ("right", "ended", "blind")))  # fmt: skip
    return [name, *map(str, counts), ", ".join(wrong)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for file in sorted(arguments.folder.glob("*.json")):
        name, rows = part(json.loads(file.read_text()))
        parts[name] += rows
    print(table(HEAD, [line(name, rows) for name, rows in sorted(parts.items())]))
    save(arguments.out, "simulated_mac", {"parts": dict(sorted(parts.items()))})


if __name__ == "__main__":
    main()
