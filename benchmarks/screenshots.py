"""Makes the pictures of report.html in docs/figures/, of a real run in which something hangs.

    python benchmarks/screenshots.py [RUN]

RUN is the folder of a run that is there already. Needs a headless Chromium, and Pillow, which the
extra `figures` brings.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image

from benchmarks import browser

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures"
SCENARIOS = (
    "baseline_update",
    "compiled_step",
    "rebuild_compiled",
    "sgd_step",
    "half_precision_overflow",
    "two_locks",
    "fork_deadlock",
)
WIDTH, HEIGHT = 1120, 4000
"""The size of the window. All that is taken is in it: what lies beyond would be taken without the
cursor."""
COLORS = 256
"""Enough for text and lines; half of the bytes."""
MARGIN = 12
TOP = "document.getElementById({!r}).getBoundingClientRect().top + scrollY"
BOTTOM = "document.getElementById({!r}).getBoundingClientRect().bottom + scrollY"


def real_run(out: Path) -> Path:
    """The folder of a run of SCENARIOS; the harness exits with 1, since some of them hang."""
    command = [sys.executable, "-m", "harness", "run", *SCENARIOS, "--steps", "60"]
    subprocess.run([*command, "--out", str(out)], cwd=ROOT)
    (folder,) = out.glob("*-*")
    return folder


def take(page: browser.Page, file: Path, first: str | None, last: str) -> None:
    """Take the page from its top, or from that of the section `first`, to the bottom of the section
    `last`."""
    top = page.evaluate(TOP.format(first)) - MARGIN if first else 0
    bottom = page.evaluate(BOTTOM.format(last)) + MARGIN
    page.screenshot(file, (0, top, WIDTH, bottom - top))
    with Image.open(file) as image:
        fewer = image.convert("RGB").quantize(COLORS, Image.Quantize.MAXCOVERAGE)
    fewer.save(file, optimize=True)


def shoot(report: Path) -> None:
    executable = browser.find()
    if executable is None:
        raise SystemExit(f"needs one of {', '.join(browser.NAMES)}")
    FIGURES.mkdir(exist_ok=True)
    with browser.opened(executable) as page:
        for theme in ("light", "dark"):
            page.window(WIDTH, HEIGHT, dark=theme == "dark")
            page.open(report)
            # The cursor stands where the numbers of all charts are to be read.
            area = "document.querySelector('#chart-time .u-over').getBoundingClientRect()"
            x, y = page.evaluate(f"[{area}.x + {area}.width * 0.19, {area}.y + 6]")
            page.mouse("mouseMoved", x, y)
            page.settle()
            take(page, FIGURES / f"report-{theme}.png", None, "charts")
            take(page, FIGURES / f"report-hang-{theme}.png", "timeline", "stacks")
        if page.problems:
            raise SystemExit("\n".join(page.problems))


def main() -> None:
    if len(sys.argv) > 1:
        shoot(Path(sys.argv[1]) / "report.html")
        return
    with tempfile.TemporaryDirectory() as out:
        shoot(real_run(Path(out)) / "report.html")


if __name__ == "__main__":
    main()
