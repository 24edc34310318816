"""`harness list`: the shipped scenarios."""

from __future__ import annotations

import argparse
import json
import sys

from harness.cli import help
from harness.errors import Exit
from harness.model import ScenarioInfo
from harness.scenario import load

TITLES = {"control": "controls (known verdicts, used by selftest)"}
SUMMARIES = {"ladder": "variation", "control": "behavior"}


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "list",
        "List the shipped scenarios: the ladder, which run-all runs, and the controls, which "
        "selftest runs.",
        usage="",
        examples=("harness list", "harness list --json"),
        exits={
            Exit.OK: "the scenarios were listed",
            Exit.USAGE: help.WRONG,
            Exit.INTERNAL: help.FAILED,
        },
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from rich.text import Text

    from harness.cli import consoles

    groups = {"ladder": load.ladder(), "control": load.controls()}
    if arguments.json:
        scenarios = [_document(kind, info) for kind, infos in groups.items() for info in infos]
        print(json.dumps({"scenarios": scenarios}, indent=2))
        return Exit.OK
    for kind, infos in groups.items():
        if infos:
            console = consoles.console(sys.stdout)
            consoles.say(console, Text(TITLES.get(kind, kind), style="bold"))
            rows = [(info.name, info.summary) for info in infos]
            consoles.pairs(console, rows, ("scenario", SUMMARIES[kind]))
    return Exit.OK


def _document(kind: str, info: ScenarioInfo) -> dict[str, object]:
    return {
        "name": info.name,
        "kind": kind,
        "summary": info.summary,
        "path": info.path,
        "expects": list(info.expects),
        "settings": info.settings,
    }
