"""`harness investigate`: from a hang to its cause, one file and the guilty release."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import cells, help, options
from harness.errors import Exit
from harness.text import invocation

if TYPE_CHECKING:
    from harness.investigate.model import Investigation
    from harness.model import Outcome
    from harness.releases.plan import Plan


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "investigate",
        "Find out all that can be found out about a training that hangs, diverges or crashes: run "
        "it, change its environment, try other releases of MLX, and make one small file of it. "
        "One report has the draft of an issue.",
        usage=cells.USAGE,
        examples=(
            "harness investigate my_scenario.py",
            "harness investigate --within 10m -- python train.py",
            "harness investigate --continue reports/20260101-120000-ab12",
        ),
        exits={
            Exit.OK: "something was found out, or nothing is wrong",
            Exit.VERDICT: "it fails, and nothing was found out about it",
            Exit.USAGE: help.WRONG,
            Exit.INTERNAL: help.FAILED,
            Exit.INTERRUPTED: "interrupted; the partial report is written, and --continue goes on",
        },
    )
    cells.add_target(parser, "investigation")
    group = parser.add_argument_group("question")
    group.add_argument(
        "--within", type=options.span, default="30m", metavar="TIME",
        help="end after TIME, such as 10m or 1h, with what is known then (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--repeat", type=options.positive, default=3, metavar="N",
        help="run the training as it is N times first (default: %(default)s)",
    )  # fmt: skip
    cells.add_cells(
        parser, {"help": "Python of the environments of releases (default: the one that runs it)"}
    )
    cells.add_runs(parser, "a fortieth of --within, from 5 to 60")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from harness.investigate import judgment, stages
    from harness.releases import folder as folders
    from harness.session.folder import locked

    lines = cells.Lines(arguments.quiet)
    lines.width = 28
    if arguments.earlier is not None:
        cells.check_continued(arguments)
        with folders.opened(arguments.earlier, "investigate") as (plan, _):
            return _carry_out(plan, arguments.earlier, arguments, lines)
    plan = _plan(arguments)
    stages.check(plan)
    flips = len(stages.ladder_for(plan).flips)
    lines.note(judgment.forecast(arguments.within, flips))
    folder = folders.begin(plan, arguments.out)
    with locked(folder):
        return _carry_out(plan, folder, arguments, lines)


def _plan(arguments: argparse.Namespace) -> Plan:
    from harness.releases import plan, versions

    cells.take_script(arguments)
    request = plan.InvestigateRequest(
        within=arguments.within,
        repeat=arguments.repeat,
        python=arguments.python,
        more=tuple(versions.requirement(text) for text in arguments.more),
    )
    what = cells.target(arguments, any_python=True)
    if arguments.patience is None:
        arguments.patience = min(60.0, max(5.0, arguments.within / 40))
    return cells.begun(arguments, "investigate", what, (), investigate=request)


def _carry_out(plan: Plan, folder: Path, arguments: argparse.Namespace, lines: cells.Lines) -> int:
    from harness.investigate import chain, report

    def told(name: str, text: str, outcome: Outcome) -> None:
        lines.ran(name, text, outcome, "")

    made = chain.carry_out(plan, folder, ["harness", *sys.argv[1:]], lines.note, told)
    _answer(made, folder, lines)
    if made.interrupted:
        lines.suggest("interrupted; to go on, run:",
                      invocation.command("investigate", "--continue", str(folder)))  # fmt: skip
    lines.say(f"report: {folder / report.REPORT}")
    if arguments.json:
        print(json.dumps(json.loads((folder / report.NAME).read_bytes()), indent=2))
    if made.interrupted:
        return Exit.INTERRUPTED
    return Exit.OK if made.found or made.healthy else Exit.VERDICT


def _answer(made: Investigation, folder: Path, lines: cells.Lines) -> None:
    """Print the end of each stage, and the whole answer."""
    from harness.investigate import report

    for one in made.stages:
        lines.say(f"{one.stage.words + ':':<28} {report.STATES[one.status]}{one.summary}")
    lines.say(made.answer)
    for one in made.stages:
        if one.file is not None:
            lines.say(f"file: {folder / one.file}")
    if (folder / report.ISSUE).is_file():
        lines.say(f"draft of an issue: {folder / report.ISSUE}")
