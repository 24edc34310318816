"""The cost of report.html for a run of many steps: to make, to keep, to open.

    python benchmarks/report_html.py [--steps 1000000] [--times 5] [--out FILE.json]

The run is written to disk as a worker would have written it (benchmarks/scale.py). Opening is timed
in a headless Chromium of its own each time, from the start of the navigation to the second frame
after all scripts have run. Without a Chromium that part is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import browser
from benchmarks.common import figures, machine, save, table
from benchmarks.scale import reported, write_run
from harness.report import html
from harness.report.input import load_run

OPENED = "[performance.now(), performance.getEntriesByType('navigation')[0].loadEventEnd]"
HIGHEST = """(({steps, scenarios}) => {
  const curve = scenarios[0].curves.find(c => c.quantity === "whole step");
  const at = curve.values.indexOf(Math.max(...curve.values));
  return [steps[curve.steps][at], curve.values[at]];
})(JSON.parse(document.getElementById("data").textContent))"""


def made(folder: Path, times: int) -> dict[str, Any]:
    """Seconds for the page alone, its record at hand, and what the whole command takes."""
    whole = [reported(folder) for _ in range(times)]
    data = load_run(folder)
    (result,) = data.run.results
    record = data.record(result)
    alone = []
    for _ in range(times):
        began = time.process_time()
        page = html.render(data)
        alone.append(time.process_time() - began)
    at = record.seconds.index(max(record.seconds))
    return {
        "render_cpu_s": figures(alone),
        "report_s": figures([one["s"] for one in whole]),
        "report_cpu_s": figures([one["cpu_s"] for one in whole]),
        "report_rss": figures([one["rss"] for one in whole]),
        "bytes": len(page.encode()),
        "highest_step": [record.step[at], record.seconds[at]],
    }


def opened(file: Path, times: int) -> dict[str, Any] | None:
    """Seconds until the page is loaded, and until it is painted."""
    executable = browser.find()
    if executable is None:
        return None
    loaded, painted, highest, problems = [], [], [], []
    for _ in range(times):
        with browser.opened(executable) as page:
            page.window(1280, 900)
            page.open(file)
            now, load = page.evaluate(OPENED)
            painted.append(now / 1e3)
            loaded.append(load / 1e3)
            highest = page.evaluate(HIGHEST)
            problems += page.problems
    return {
        "loaded_s": figures(loaded),
        "painted_s": figures(painted),
        "highest_step": highest,
        "problems": problems,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5, help="how often each figure is taken")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_run(folder, arguments.steps)
        reported(folder)  # nobody has judged it yet
        result = made(folder, arguments.times)
        browsed = opened(folder / "report.html", arguments.times)
    rss = {name: value / 2**20 for name, value in result["report_rss"].items()}
    shown = [
        ("the page alone, CPU s", result["render_cpu_s"]),
        ("harness report, s", result["report_s"]),
        ("harness report, CPU s", result["report_cpu_s"]),
        ("harness report, MiB", rss),
    ]
    if browsed:
        shown += [("loaded, s", browsed["loaded_s"]), ("painted, s", browsed["painted_s"])]
    rows = [[what, *(f"{values[k]:.2f}" for k in ("median", "max"))] for what, values in shown]
    print(table((f"{arguments.steps:,} steps", "median", "max"), rows))
    print(f"report.html: {result['bytes'] / 1e6:.2f} MB; on {machine()}")
    if browsed:
        print(f"longest step {json.dumps(result['highest_step'])}, "
              f"in the page {json.dumps(browsed['highest_step'])}")  # fmt: skip
        print(f"problems the browser saw: {browsed['problems'] or 'none'}")
    save(arguments.out, "html", {"steps": arguments.steps, **result, "browser": browsed})


if __name__ == "__main__":
    main()
