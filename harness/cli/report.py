"""`harness report`: make a run's reports anew from what is in its folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness import recover
from harness.cli import options
from harness.errors import Exit
from harness.execute import concluded
from harness.report import runjson, write_all


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "report",
        "rebuild the reports of a run from its folder",
        "harness report reports/20260101-120000-ab12",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    read = runjson.read(arguments.run)
    result = concluded(recover.complete(read, arguments.run))
    if result is not read:
        runjson.write(result, arguments.run)
    write_all(arguments.run)
    if arguments.json:
        print(json.dumps(runjson.document(result), indent=2))
    else:
        print(arguments.run / "report.md")
    return Exit.OK
