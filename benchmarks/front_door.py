"""The time that the short commands take: what a person waits for at a prompt.

    python benchmarks/front_door.py [--quick] [--out FILE.json]

Each command is started anew, as a shell does. A Tab is done as argcomplete does it: the command,
with the line in its environment. The first start is left out: it compiles what nobody has compiled.

Measure: help and completion 0.2 s, doctor 1.5 s.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import ROOT, figures, machine, save, shown, table

TAB = "<Tab>"
COMMANDS = {
    "harness --help": 0.2,
    "harness run --help": 0.2,
    f"harness selft{TAB}": 0.2,
    f"harness run baseline_u{TAB}": 0.2,
    "harness doctor": 1.5,
}
"""The commands, and the most seconds that each may take."""


def start(words: list[str], **variables: str) -> float:
    """The seconds of one start, without a terminal."""
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - began


def tab(line: str, answer: Path) -> float:
    """The seconds from a Tab at the end of `line` to the words that go on with it."""
    seconds = start(
        ["harness"],
        _ARGCOMPLETE="1",
        _ARGCOMPLETE_IFS="\n",
        _ARGCOMPLETE_STDOUT_FILENAME=str(answer),
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
    )
    if line.split()[-1] not in answer.read_text():
        raise SystemExit(f"nothing goes on with: {line}")
    return seconds


def measured(name: str, runs: int) -> list[float]:
    """The seconds of each of `runs` starts."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer"
        seconds = [
            tab(name.removesuffix(TAB), answer) if name.endswith(TAB) else start(name.split())
            for _ in range(runs + 1)
        ]
    return seconds[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="three starts of each")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    runs = 3 if arguments.quick else 30
    results = {name: figures(measured(name, runs)) for name in COMMANDS}
    rows = [
        [name, str(COMMANDS[name]), *map(shown, seconds.values())]
        for name, seconds in results.items()
    ]
    print(table(("command", "at most s", "median s", "p95", "max"), rows))
    print(f"on {machine()}")
    save(
        arguments.out,
        "front_door",
        [
            {"command": name, "runs": runs, "at_most": COMMANDS[name], "seconds": seconds}
            for name, seconds in results.items()
        ],
    )


if __name__ == "__main__":
    main()
