"""An investigation with a known answer: from a hang to one file and the guilty release.

    python benchmarks/investigates.py [--within 5m] [--out FILE.json]

The program is benchmarks/bisected/stream_of_main.py: a proven hang that came with MLX 0.32.0
(mlx#3727). Measure: the right release, and a file that shows it by itself, in under 5 minutes.

The index must be reachable. Times depend on its answers and on the load, which is written down.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, save, table

FILE = Path(__file__).with_name("bisected") / "stream_of_main.py"
RELEASE = "0.32.0"


def measure(within: str) -> dict[str, Any]:
    """One investigation: its stages, with their seconds, and the load before and after it."""
    load, began = os.getloadavg()[0], time.monotonic()
    with tempfile.TemporaryDirectory() as out:
        answer = subprocess.run(
            [sys.executable, "-m", "harness", "investigate", "--json", "--out", out,
             "--within", within, str(FILE)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        document = json.loads(answer.stdout or "{}")
    stages = document.get("stages", ())
    told = {one["stage"]: one["summary"] for one in stages}
    return {
        "program": FILE.stem,
        "within": within,
        "seconds": round(time.monotonic() - began, 1),
        "load_before": round(load, 1),
        "load_after": round(os.getloadavg()[0], 1),
        "right_release": f"mlx {RELEASE} broke it" in told.get("releases", ""),
        "file_shows_it": any(one["found"] for one in stages if one["stage"] == "reduce"),
        "stages": [
            {"stage": one["stage"], "answer": one["summary"], "seconds": round(one["seconds"], 1)}
            for one in stages
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--within", default="5m")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    measured = measure(arguments.within)
    rows = [[one["stage"], one["answer"], str(one["seconds"])] for one in measured["stages"]]
    print(table(["stage", "answer", "seconds"], rows))
    print({name: value for name, value in measured.items() if name != "stages"})
    save(arguments.out, "investigate", {"machine": machine(), **measured})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
