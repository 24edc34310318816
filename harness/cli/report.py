"""`harness report`: the reports of a run, made again from its folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.cli import help, options
from harness.errors import Exit


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "report",
        "Make the reports of a run again from its folder, also after the harness was killed.",
        usage="RUN",
        examples=(
            "harness report reports/20260101-120000-ab12",
            "harness report --issue reports/20260101-120000-ab12",
        ),
        exits={
            Exit.OK: "the reports were written",
            Exit.USAGE: "the command line is wrong, or RUN is not a run folder",
            Exit.INTERNAL: help.FAILED,
        },
    )
    group = parser.add_argument_group("arguments")
    group.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    group = parser.add_argument_group("results")
    group.add_argument(
        "--issue", action="store_true",
        help="also write issue.md, a draft for the issue tracker of MLX, and print it",
    )  # fmt: skip
    options.add_full(group)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    import msgspec

    from harness.cli import issue_draft
    from harness.privacy.personal import recall
    from harness.report import runjson, write_all
    from harness.session import recover
    from harness.session.conclude import conclude
    from harness.session.folder import save

    folder = arguments.run
    read = runjson.read(folder)
    result = conclude(recover.complete(read, folder), folder)
    if result is not read or (read.full and not arguments.full):
        save(msgspec.structs.replace(result, full=arguments.full), folder, recall(folder))
    write_all(folder, arguments.full)
    if arguments.issue:
        draft = issue_draft.write(folder, arguments.full)
    if arguments.json:
        print(runjson.text(folder), end="")
    elif arguments.issue:
        print(draft, end="")
        # The text itself goes to where it can be piped.
        print(folder / issue_draft.FILE, file=sys.stderr)
    else:
        print(folder / "report.md")
    return Exit.OK
