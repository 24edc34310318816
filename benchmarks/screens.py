"""Pictures of the first screen, made by real runs: `python benchmarks/screens.py`.

Runs a control of each kind in a terminal of 80 columns, and saves what that shows as SVG in
docs/figures/. Takes a minute; no browser is needed.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures"
COLUMNS = 80
SCREENS = {
    "deadlock": "two_locks",
    "loader": "loader_never_yields",
    "ranks": "rank_skips_collective",
    "leak": "retained_gradients",
    "nan": "half_precision_overflow",
}
_FONT = re.compile(r"@font-face \{\{.*?\}\}\n?", re.DOTALL)
"""Rich's fonts come from a server: a picture that is shown here asks none."""


def shown(scenario: str, folder: str) -> str:
    """What a terminal shows of a run, with its colors."""
    command = [sys.executable, "-m", "harness", "run", scenario, "--out", "reports"]
    # On CI no table is drawn, which a picture could not show.
    environment = {**os.environ, "CI": "1", "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=environment
    )
    os.close(slave)
    pieces = []
    while True:
        try:
            piece = os.read(master, 1 << 16)
        except OSError:  # the last process that had it open has ended
            break
        if not piece:
            break
        pieces.append(piece)
    process.wait()
    os.close(master)
    return b"".join(pieces).decode().replace("\r\n", "\n")


def picture(scenario: str, text: str) -> str:
    """The text as an SVG. Raises ValueError for a line that is too long for the terminal."""
    long = [line for line in Text.from_ansi(text).plain.splitlines() if len(line) > COLUMNS]
    if long:
        raise ValueError(f"{scenario}: over {COLUMNS} columns: {long[0]}")
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ harness run {scenario}"))
    console.print(Text.from_ansi(text.rstrip()))
    template = _FONT.sub("", CONSOLE_SVG_FORMAT)
    return console.export_svg(title="harness", code_format=template, unique_id=scenario)


def main() -> None:
    FIGURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, scenario in SCREENS.items():
            file = FIGURES / f"screen-{name}.svg"
            file.write_text(picture(scenario, shown(scenario, folder)), encoding="utf-8")
            print(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
