"""`harness list`: the shipped scenarios."""

from __future__ import annotations

import argparse
import json

from rich.console import Console
from rich.table import Table

from harness.cli import options
from harness.errors import Exit
from harness.model import ScenarioInfo
from harness.scenario import load

TITLES = {"control": "controls (known verdicts, used by selftest)"}
SAYS = {"ladder": "what it varies", "control": "what happens"}


def add(commands: options.Commands) -> None:
    parser = options.command(commands, "list", "list the shipped scenarios", "harness list")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    groups = {"ladder": load.ladder(), "control": load.controls()}
    if arguments.json:
        found = [_document(kind, info) for kind, infos in groups.items() for info in infos]
        print(json.dumps({"scenarios": found}, indent=2))
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
        table.add_column(SAYS[kind])
        for info in infos:
            table.add_row(info.name, info.summary)
        if infos:
            Console().print(table)
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
