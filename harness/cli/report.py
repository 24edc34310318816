"""`harness report`: make a run's reports anew from what is in its folder."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from harness import recover
from harness.cli import options
from harness.errors import Exit
from harness.execute import concluded, save
from harness.privacy.personal import recall
from harness.report import runjson, write_all


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "report",
        "rebuild the reports of a run from its folder",
        "harness report reports/20260101-120000-ab12",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    options.add_full(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    folder = arguments.run
    read = runjson.read(folder)
    result = concluded(recover.complete(read, folder))
    if result is not read or (read.full and not arguments.full):
        save(msgspec.structs.replace(result, full=arguments.full), folder, recall(folder))
    write_all(folder, arguments.full)
    if arguments.json:
        print(runjson.text(folder), end="")
    else:
        print(folder / "report.md")
    return Exit.OK
