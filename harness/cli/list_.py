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
    from rich.table import Table

    from harness.cli import consoles

    groups = {"ladder": load.ladder(), "control": load.controls()}
    if arguments.json:
        scenarios = [_document(kind, info) for kind, infos in groups.items() for info in infos]
        print(json.dumps({"scenarios": scenarios}, indent=2))
        return Exit.OK
    for kind, infos in groups.items():
        table = Table(
            box=None,
            title=TITLES.get(kind, kind),
            title_justify="left",
            title_style="bold",
            padding=(0, 2, 0, 0),
        )
        table.add_column("scenario", no_wrap=True)
        table.add_column(SUMMARIES[kind])
        for info in infos:
            table.add_row(info.name, info.summary)
        if infos:
            consoles.console(sys.stdout).print(table)
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
