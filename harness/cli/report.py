"""`harness report`: make a run's reports anew from what is in its folder."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from harness import privacy, recover, scenario
from harness.cli import options
from harness.errors import Exit
from harness.execute import concluded, save
from harness.privacy.personal import recall
from harness.report import files, issue, runjson, write_all
from harness.report.input import groups, load_run


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "report",
        "rebuild the reports of a run from its folder",
        "harness report reports/20260101-120000-ab12",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument(
        "--issue", action="store_true",
        help="write issue.md as well, a draft for MLX's issue tracker, and print it",
    )  # fmt: skip
    options.add_full(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    folder = arguments.run
    read = runjson.read(folder)
    result = concluded(recover.complete(read, folder))
    if result is not read or (read.full and not arguments.full):
        save(msgspec.structs.replace(result, full=arguments.full), folder, recall(folder))
    write_all(folder, arguments.full)
    if arguments.issue:
        draft = _issue(folder, arguments.full)
    if arguments.json:
        print(runjson.text(folder), end="")
    elif arguments.issue:
        print(draft, end="")
    else:
        print(folder / "report.md")
    return Exit.OK


def _issue(folder: Path, full: bool) -> str:
    data = load_run(folder, full)
    about = issue.chosen(groups(data.run))
    siblings = scenario.siblings(about.info) if about and about.info else {}
    draft = issue.draft(data, siblings if full else privacy.cleaned(siblings, recall(folder)))
    files.replace(folder / "issue.md", draft.encode())
    return draft
