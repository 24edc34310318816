"""Memory over the steps of the original report's variations: the table and figure of its chapter.

    python benchmarks/original_report.py [--out FILE.json]

Runs scenarios/cases/original_report twice: with room for three times the parameters, in which some
die, and without a limit worth the name, which shows what those would have needed. Needs matplotlib
(pip install '.[figures]').
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, put, save, shown, table
from harness.beats import record

ROOT = Path(__file__).resolve().parents[1]
CASE = ROOT / "scenarios" / "cases" / "original_report"
FIGURE = ROOT / "docs" / "figures" / "original_report.svg"
CHAPTER = ROOT / "docs" / "internals" / "original-report.md"
ROOM, PLENTY = 3, 30
DRAWN = {
    "baseline_update": "the report's step",
    "eval_after_update": "evaluated after the update",
    "update_without_grad": "update only",
    "grad_evaluated_without_update": "gradients evaluated, no update",
    "sgd_step": "SGD",
    "grad_without_update": "the report's Test 2",
}


def measure(room: float) -> dict[str, dict[str, Any]]:
    """By scenario: outcome, last step, and the peak inside each step that returned, in P."""
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run(
            [sys.executable, "-m", "harness", "run", str(CASE), "--json", "--out", out],
            cwd=ROOT,
            env={**os.environ, "ROOM": str(room)},
            stdout=subprocess.PIPE,
        )
        (folder,) = Path(out).iterdir()
        results = json.loads(done.stdout)["results"]
        return {one["scenario"]: _measured(one, folder) for one in results}


def _measured(result: dict[str, Any], folder: Path) -> dict[str, Any]:
    seen = record.load(folder / result["scenario"] / "0")
    unit = seen.model.trainable_bytes if seen.model else 1
    return {
        "outcome": result["outcome"],
        "reason": result["reason"],
        "last_step": result["last_step"],
        "peak_p": [peak / unit for peak in seen.peak],
        "active_p": [active / unit for active in seen.active],
    }


def chapter(rows: list[list[str]]) -> str:
    """The table as markdown."""
    head = "| scenario | with room for 3 P | step 0 | step 1 | without a limit: step 0 | step 1 |"
    lines = [f"| `{name}` | {' | '.join(cells)} |" for name, *cells in rows]
    where = f"*Highest active memory inside the step, on {machine()}.*"
    return "\n".join(["", head, "| :-- | :-- | --: | --: | --: | --: |", *lines, "", where, ""])


def draw(limited: dict[str, Any], free: dict[str, Any], path: Path) -> None:
    """Lines: peaks without a limit. Dots: the steps that pass under it. Crosses: the deaths."""
    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"svg.hashsalt": "original_report", "font.size": 10})
    figure, axes = pyplot.subplots(figsize=(8, 4.6))
    for index, (name, label) in enumerate(DRAWN.items()):
        color = f"C{index}"
        peaks = free[name]["peak_p"]
        axes.plot(range(len(peaks)), peaks, color=color, alpha=0.5, linewidth=1.5, label=label)
        passed = limited[name]["peak_p"]
        axes.plot(range(len(passed)), passed, "o", color=color)
        if limited[name]["outcome"] != "completed":
            step = limited[name]["last_step"]
            axes.plot([step], [ROOM], "x", color=color, markersize=11, markeredgewidth=3)
    axes.axhline(ROOM, color="black", linestyle="--", linewidth=1)
    axes.annotate("room for 3 P", (3, ROOM), (2.5, ROOM + 0.08))
    axes.set(xlabel="step", ylabel="peak of active memory, in P", xticks=range(4), ylim=(0, None))
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    limited, free = measure(ROOM), measure(PLENTY)
    rows = [
        [
            name,
            one["outcome"],
            *(_peak(one, i) for i in (0, 1)),
            *(_peak(free[name], i) for i in (0, 1)),
        ]
        for name, one in limited.items()
    ]
    print(table(("scenario", "with 3 P", "step 0", "step 1", "free: step 0", "step 1"), rows))
    print(f"on {machine()}")
    draw(limited, free, FIGURE)
    CHAPTER.write_text(put(chapter(rows), CHAPTER.read_text(), "measured"))
    save(arguments.out, "original_report", {"limited": limited, "free": free})


def _peak(one: dict[str, Any], step: int) -> str:
    peaks = one["peak_p"]
    return (
        f"{shown(peaks[step])} P"
        if step < len(peaks)
        else "dies"
        if step == one["last_step"]
        else "–"
    )


if __name__ == "__main__":
    main()
