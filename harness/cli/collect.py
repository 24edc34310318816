"""`harness collect`: the runs of a plan that other hosts carried out, in one table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import bisect, cells, help, matrix
from harness.errors import Exit

if TYPE_CHECKING:
    from harness.releases.plan import Plan
    from harness.releases.probe import Ran


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "collect",
        "Join the runs of a plan that were carried out by `harness cell`, on whatever hosts, into "
        "one result.",
        usage="FOLDER [FOLDER ...]",
        examples=(
            "harness collect reports/20260101-120000-ab12",
            "harness collect reports/20260101-120000-ab12 from-host-1 from-host-2",
        ),
        exits={
            Exit.OK: "every run is there and completed; of a bisect, one release was found",
            Exit.VERDICT: "a run is missing or did not complete; of a bisect, no release was found",
            Exit.USAGE: help.WRONG,
            Exit.INTERNAL: help.FAILED,
        },
    )
    group = parser.add_argument_group("arguments")
    group.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="the folder with plan.json, then others that `harness cell --out` wrote to",
    )
    group = parser.add_argument_group("results")
    group.add_argument("-q", "--quiet", action="store_true", help="print the answer only")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from harness.releases import bisect as search
    from harness.releases import collect
    from harness.releases import matrix as table
    from harness.releases import plan as plans
    from harness.session.folder import locked

    lines = cells.Lines(arguments.quiet)
    home = arguments.folders[0]
    plan = collect.plan_of(home)
    with locked(home):
        joined = collect.join(plan, arguments.folders)
        twice = tuple(plans.label(plan, number) for number in joined.twice)
        if plan.kind == "bisect":
            found, needed = search.joined(plan, joined.runs, twice=twice)
            code = bisect.tell(plan, found, home, arguments, lines)
        else:
            result = table.joined(plan, joined.runs, twice=twice)
            needed = tuple(table.remaining(plan, joined.runs))
            code = matrix.tell(plan, result, home, arguments, lines)
    _notes(plan, joined.runs, twice, needed, lines)
    return code


def _notes(
    plan: Plan, runs: Sequence[Ran], twice: Sequence[str], needed: Sequence[int], lines: cells.Lines
) -> None:
    """Name the runs that have no result, several ones, or none that can be used."""
    from harness.releases import collect
    from harness.releases import plan as plans

    def names(numbers: Sequence[int]) -> str:
        return ", ".join(plans.label(plan, number) for number in numbers)

    if needed:
        lines.say(f"missing: {names(needed)}")
    if twice:
        lines.say(f"several results, of which one counts: {', '.join(twice)}")
    if skipped := collect.skipped(runs):
        lines.say(f"could not be run: {', '.join(skipped)}")
    if needed:
        lines.say(f"their numbers, for an array of jobs: {collect.spans(needed)}")
