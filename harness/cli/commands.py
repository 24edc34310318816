"""The table of commands: where each is implemented, its summary, and its page of docs/."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """One command of the command line."""

    module: str
    """The module of `harness.cli` that has its `add(commands)` and `run(arguments)`."""
    summary: str
    """The line about it in `harness --help`."""
    page: str
    """The page of docs/ that tells more."""


COMMANDS = {
    "run-all": Command(
        "run_all", "run the training step in every variation and compare", "guide/scenarios.md"
    ),
    "run": Command(
        "run", "run some scenarios, or a scenario file of your own", "guide/scenarios.md"
    ),
    "watch": Command(
        "watch", "run any command and detect a hang or a divergence", "guide/watch.md"
    ),
    "attach": Command("attach", "find out if a running process is stuck", "guide/attach.md"),
    "list": Command("list_", "list the scenarios and the controls", "reference/scenarios.md"),
    "report": Command("report", "make the reports of a run again", "guide/issues.md"),
    "compare": Command("compare", "compare two runs", "guide/compare.md"),
    "matrix": Command("matrix", "run a training on several releases", "guide/bisect.md"),
    "bisect": Command(
        "bisect", "find the release that broke a training, or mended it", "guide/bisect.md"
    ),
    "reduce": Command(
        "reduce", "make one small file that still fails as a program does", "guide/reduce.md"
    ),
    "investigate": Command(
        "investigate",
        "find the cause, the guilty release and one small file, in one go",
        "guide/investigate.md",
    ),
    "selftest": Command(
        "selftest", "run the controls and check that each gets its verdict", "reference/controls.md"
    ),
    "doctor": Command(
        "doctor",
        "show what works on this machine and project a training's memory",
        "guide/memory.md",
    ),
    "completion": Command(
        "completion", "print the script that completes words in a shell", "guide/terminal.md"
    ),
}


def page(name: str) -> str:
    """The path of the page that tells more about the command `name`."""
    return f"docs/{COMMANDS[name].page}"
