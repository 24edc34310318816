"""Bisects with a known answer.

    python benchmarks/bisects.py [bugs] [speed] [simulated] [real] [--runs 20] [--minutes M]
                                [--out FILE.json]

bugs: six public bugs of MLX, each as one file in benchmarks/bisected/, with the release at which
it came or went by MLX's own change log. Measure: the right release in six of six.

speed: a proven hang among 22 releases. Measure: under 30 s with the environments cached, under
75 s without; the downloads of uv are cached in the first and not in the second.

simulated: 1,000 searches for a hang of probability 0.3 among 22 releases, 95 % asked. Measure: at
most 7 % wrong.

real: as many bisects as --runs says of such a hang, each run a process, among the releases of the
last two minor versions. Measure: 17 of 20 right.

The index must be reachable. Times depend on its answers and on the load, which is written down.
"""

from __future__ import annotations

import sys
from pathlib import Path

# In place of this folder, in which the standard library would find this file as `bisect`.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.common import machine, save, table
from harness.releases.search import Answer, Observation, Probe, Seen, next_step

FOLDER = Path(__file__).with_name("bisected")
RELEASES = (
    "0.26.5", "0.27.1", "0.28.0", "0.29.0", "0.29.1", "0.29.2", "0.29.3", "0.29.4", "0.30.0",
    "0.30.1", "0.30.3", "0.30.4", "0.30.5", "0.30.6", "0.31.0", "0.31.1", "0.31.2", "0.32.0",
    "0.32.1", "0.32.2", "0.32.3", "0.32.4",
)  # fmt: skip
"""The releases of MLX for Linux that the measures are about."""
LATE = RELEASES[RELEASES.index("0.31.0") :]


class Bug(NamedTuple):
    """A public bug, and where it came or went."""

    file: str
    kind: str
    good: str
    bad: str
    boundary: str
    """The first release without it, or the first one with it where it came."""
    source: str
    more: tuple[str, ...] = ()


BUGS = (
    Bug("stream_of_main", "hang", "0.26.5", "0.32.4", "0.32.0", "mlx#3727, #3537"),
    Bug("unindexed_update", "crash", "0.32.4", "0.26.5", "0.29.0", "mlx#2503, #2514"),
    Bug("masked_row", "NaN", "0.32.4", "0.28.0", "0.29.2", "mlx#2406, #2608"),
    Bug("kept_inputs", "leak", "0.32.4", "0.26.5", "0.31.2", "mlx#3290"),
    Bug("causal_mask", "slow", "0.32.4", "0.28.0", "0.29.3", "mlx#2644",
        ("--when", "step_s > 2x")),
    # A loop in native code may be work, and is believed for two minutes: the longest one.
    Bug("integer_power", "hang", "0.32.4", "0.31.0", "0.32.1", "mlx#4100", ("--patience", "5")),
)  # fmt: skip
PROBABILITY, CERTAINTY = 0.3, 0.95


def bisect(*words: str, **variables: str) -> tuple[dict[str, Any], float]:
    """The document of `harness bisect`, and its seconds."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as out:
        answer = subprocess.run(
            [sys.executable, "-m", "harness", "bisect", "--json", "--quiet", "--out", out, *words],
            stdout=subprocess.PIPE, text=True, env={**os.environ, **variables},
        )  # fmt: skip
    document: dict[str, Any] = json.loads(answer.stdout or "{}")
    return document, time.monotonic() - began


def found(document: dict[str, Any]) -> str | None:
    """The release that an answer names."""
    return document.get("first_good") or document.get("first_bad")


def bugs(arguments: argparse.Namespace) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []

    def found_so_far() -> dict[str, Any]:
        return {"right": sum(row["right"] for row in rows), "of": len(rows), "bugs": rows}

    for bug in BUGS:
        load = os.getloadavg()[0]
        document, seconds = bisect(
            str(FOLDER / f"{bug.file}.py"), "--good", bug.good, "--bad", bug.bad, *bug.more
        )
        rows.append(
            {
                "bug": bug.file, "kind": bug.kind, "source": bug.source,
                "releases": len(document.get("releases", ())),
                "runs": len(document.get("runs", ())),
                "found": found(document), "right": found(document) == bug.boundary,
                "change": document.get("change"), "when": document.get("when"),
                "seconds": round(seconds, 1), "load": round(load, 1),
            }
        )  # fmt: skip
        print(rows[-1], file=sys.stderr)
        save(arguments.out, "bisect", {"machine": machine(), "bugs": found_so_far()})
    print(table(("bug", "kind", "change", "found", "right", "runs", "seconds"),
                [[str(row[name]) for name in ("bug", "kind", "change", "found", "right", "runs",
                                              "seconds")] for row in rows]))  # fmt: skip
    return found_so_far()


def speed(_: argparse.Namespace) -> dict[str, Any]:
    words = (str(FOLDER / "stream_of_main.py"), "--good", RELEASES[0], "--bad", RELEASES[-1])
    rows = {}
    with tempfile.TemporaryDirectory() as cold:
        caches = {"XDG_CACHE_HOME": cold, "UV_CACHE_DIR": f"{cold}/uv"}
        for name in ("nothing cached", "environments cached"):
            load = os.getloadavg()[0]
            document, seconds = bisect(*words, **caches)
            rows[name] = {
                "seconds": round(seconds, 1), "load": round(load, 1), "found": found(document),
                "releases": len(document["releases"]), "runs": len(document["runs"]),
                "prepared_s": round(sum(run["prepared_s"] for run in document["runs"]), 1),
                "ran_s": round(sum(run["ran_s"] for run in document["runs"]), 1),
            }  # fmt: skip
            print(name, rows[name], file=sys.stderr)
    return rows


def simulated(arguments: argparse.Namespace) -> dict[str, Any]:
    generator = random.Random(arguments.seed)
    wrong, runs = 0, []
    for _ in range(1000):
        begins = generator.randrange(1, len(RELEASES))
        seen: list[Observation] = []
        while isinstance(step := next_step(len(RELEASES), seen, CERTAINTY), Probe):
            hangs = step.release >= begins and generator.random() < PROBABILITY
            seen.append((step.release, Seen.SHOWN if hangs else Seen.ABSENT))
        wrong += not isinstance(step, Answer) or step.shown != begins
        runs.append(len(seen))
    runs.sort()
    return {"searches": 1000, "wrong": wrong, "median_runs": runs[500], "p95_runs": runs[950]}


def real(arguments: argparse.Namespace) -> dict[str, Any]:
    generator = random.Random(arguments.seed)
    end = time.monotonic() + 60 * arguments.minutes
    rows: list[dict[str, Any]] = []
    while len(rows) < arguments.runs and time.monotonic() < end:
        begins = LATE[generator.randrange(1, len(LATE))]
        document, seconds = bisect(
            str(FOLDER / "now_and_then.py"), "--good", LATE[0], "--bad", LATE[-1],
            "--when", "hung", "--certainty", "95%", BEGINS=begins,
        )  # fmt: skip
        rows.append(
            {
                "begins": begins, "found": found(document), "sure": document.get("sure"),
                "runs": len(document.get("runs", ())), "seconds": round(seconds, 1),
            }
        )  # fmt: skip
        print(rows[-1], file=sys.stderr)
    return {
        "right": sum(row["begins"] == row["found"] for row in rows),
        "of": len(rows),
        "load": round(os.getloadavg()[0], 1),
        "bisects": rows,
    }


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "bugs": bugs,
    "speed": speed,
    "simulated": simulated,
    "real": real,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = {name: PARTS[name](arguments) for name in arguments.parts or PARTS}
    print(json.dumps(results, indent=1))
    save(arguments.out, "bisect", {"machine": machine(), **results})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
