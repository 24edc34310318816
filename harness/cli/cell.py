"""`harness cell`: one run of a plan, on this host."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from harness.cli import cells, help
from harness.errors import Exit, UsageError


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "cell",
        "Carry out one run of a plan that `harness matrix --plan` or `harness bisect --plan` made, "
        "as a job of Slurm does.",
        usage="FOLDER --number N",
        examples=(
            "harness cell reports/20260101-120000-ab12 --number 3",
            "harness cell reports/20260101-120000-ab12 --number 3 --out parts",
        ),
        exits={
            Exit.OK: "the run completed",
            Exit.VERDICT: "it did not complete, or its environment could not be installed",
            Exit.USAGE: help.WRONG,
            Exit.INTERNAL: help.FAILED,
            Exit.INTERRUPTED: help.INTERRUPTED,
        },
    )
    group = parser.add_argument_group("arguments")
    group.add_argument("folder", type=Path, metavar="FOLDER", help="the folder with plan.json")
    group = parser.add_argument_group("run")
    group.add_argument("--number", type=_number, metavar="N",
        help="the number of the run, from 0 (default: none, it must be given)")  # fmt: skip
    group.add_argument("--out", type=Path, metavar="DIR",
        help="make the record and the run folder in DIR (default: FOLDER)")  # fmt: skip
    group.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    parser.set_defaults(command=run)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, not {text}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    from harness.model import Outcome
    from harness.releases import folder as folders
    from harness.releases import part
    from harness.releases import plan as plans

    if arguments.number is None:
        raise UsageError("cell needs --number N")
    lines = cells.Lines(arguments.quiet)
    plan = part.plan_of(arguments.folder)
    out = arguments.folder if arguments.out is None else arguments.out
    ran = part.run(plan, arguments.number, out.resolve(), ["harness", *sys.argv[1:]])
    if ran.interrupted:
        return Exit.INTERRUPTED
    first = ran.symptoms[0]
    if arguments.json:
        print(json.dumps(folders.publishable(ran, plan.full), indent=2, allow_nan=False))
    lines.ran(plans.label(plan, arguments.number), first.summary, first.outcome, "")
    return Exit.OK if first.outcome is Outcome.COMPLETED else Exit.VERDICT
