"""Makes reports/samples/run-all/ anew by `harness run-all`, and puts its beginning into README.md.

python benchmarks/sample.py
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import put

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "reports" / "samples" / "run-all"
SHOWN = (
    "baseline_update",
    "compiled_step",
    "compiled_step_initialized",
    "eval_after_update",
    "grad_evaluated_without_update",
    "grad_without_update",
    "lora_step",
    "rebuild_compiled",
    "sgd_step",
    "tiny_model",
)


def excerpt(report: str) -> str:
    """The headline and the first table's rows of SHOWN."""
    lines = report.splitlines()
    title = lines[0].removeprefix("# ")
    start = next(index for index, line in enumerate(lines) if line.startswith("|"))
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[start:])
    head, marks, *rows = table
    shown = [row for row in rows if row.split("`")[1] in SHOWN]
    return "\n".join([f"> **{title}**", "", head, marks, *shown])


def main() -> None:
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "harness", "run-all", "--out", out]
        subprocess.run(command, cwd=ROOT, check=True)
        (folder,) = Path(out).iterdir()
        SAMPLE.mkdir(parents=True, exist_ok=True)
        for name in ("report.md", "run.json", "junit.xml"):
            text = (folder / name).read_text().replace(out, "reports").replace(str(ROOT) + "/", "")
            (SAMPLE / name).write_text(text)
    readme = ROOT / "README.md"
    shown = excerpt((SAMPLE / "report.md").read_text())
    readme.write_text(put(shown, readme.read_text(), "sample"))


if __name__ == "__main__":
    main()
