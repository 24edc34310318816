"""`harness matrix`: a training on several releases, side by side."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from harness.cli import cells, consoles, help, options
from harness.errors import Exit, UsageError
from harness.text import invocation
from harness.text.units import duration, number

if TYPE_CHECKING:
    from harness.releases.matrix import MatrixResult, Row
    from harness.releases.plan import Plan
    from harness.releases.probe import Ran


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "matrix",
        "Run a training on several releases of MLX, mlx-lm or Python, each in an environment of "
        "its own, and show the verdicts side by side.",
        usage=cells.USAGE,
        examples=(
            "harness matrix my_scenario.py --mlx 0.31.2,0.32.0,0.32.4",
            "harness matrix --mlx 0.31.2,0.32.4 --python 3.11,3.13 -- python train.py",
        ),
        exits={
            Exit.OK: "every cell completed",
            Exit.VERDICT: "a cell did not complete, or could not be installed",
            Exit.USAGE: help.WRONG,
            Exit.INTERNAL: help.FAILED,
            Exit.INTERRUPTED: "interrupted; --continue goes on",
        },
    )
    cells.add_target(parser, "matrix")
    group = parser.add_argument_group("axes")
    for package in ("mlx", "mlx-lm"):
        group.add_argument(f"--{package}", type=several, default=[], metavar="VERSION,...",
            help=f"releases of {package} to try (default: the newest that fits)")  # fmt: skip
    cells.add_cells(parser, {
        "type": several, "action": "extend", "default": [],
        "help": "Pythons to try, with commas; a path without --mlx and --mlx-lm is an environment "
        "of your own, which is used as it is (default: that of harness)",
    })  # fmt: skip
    cells.add_runs(parser)
    group = parser.add_argument_group("cells")
    group.add_argument("--repeat", type=options.positive, default=1, metavar="N",
        help="run each cell N times (default: %(default)s)")  # fmt: skip
    group.add_argument("--jobs", type=options.positive, default=1, metavar="N",
        help="cells at the same time (default: %(default)s)")  # fmt: skip
    cells.add_elsewhere(parser)
    parser.set_defaults(command=run)


def several(text: str) -> list[str]:
    """Words with commas between them, for argparse."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise argparse.ArgumentTypeError("must be one or more, with commas between them")
    return words


def run(arguments: argparse.Namespace) -> int:
    from harness.releases import folder as folders
    from harness.session.folder import locked

    lines = cells.Lines(arguments.quiet)
    if arguments.hosts is not None and arguments.jobs > 1:
        raise UsageError(
            "--jobs is for this machine: to run several cells on a host of --hostfile, name the "
            "host as many times"
        )
    cells.check_elsewhere(arguments)
    if arguments.earlier is not None:
        cells.check_continued(arguments, "--jobs", "--hostfile")
        with folders.opened(arguments.earlier, "matrix") as (plan, runs):
            return _fill(plan, runs, arguments.earlier, arguments, lines)
    plan = _plan(arguments)
    folder = folders.begin(plan, arguments.out)
    if arguments.plan:
        return cells.planned(plan, folder, lines)
    with locked(folder):
        return _fill(plan, (), folder, arguments, lines)


def _plan(arguments: argparse.Namespace) -> Plan:
    from harness.observe import installation
    from harness.releases import plan, versions

    axes = {
        name: versions.ordered(given)
        for name, given in (("mlx", arguments.mlx), ("mlx-lm", arguments.mlx_lm))
        if given
    }
    if not axes and not arguments.python:
        raise UsageError("name what varies: --mlx, --mlx-lm or --python")
    more = [versions.requirement(text) for text in arguments.more]
    what = cells.target(arguments)
    made = plan.axes(
        axes, arguments.python, more, sys.executable, installation.backend(), what[1] is not None
    )
    if arguments.requirements is not None and any(cell.own for cell in made):
        raise UsageError("an environment of your own is used as it is; omit --requirements")
    return cells.begun(arguments, "matrix", what, made, repeat=arguments.repeat)


def _fill(
    plan: Plan,
    runs: tuple[Ran, ...],
    folder: Path,
    arguments: argparse.Namespace,
    lines: cells.Lines,
) -> int:
    from harness.releases import matrix
    from harness.releases import plan as plans

    lines.width = max(len(plans.label(plan, number)) for number in plan.runs)

    def told(ran: Ran) -> None:
        name = ran.cell if ran.number is None else plans.label(plan, ran.number)
        where = f" (on {ran.host})" if ran.host else ""
        lines.ran(name, ran.symptoms[0].summary + where, ran.symptoms[0].outcome, "")

    command = ["harness", *sys.argv[1:]]
    with cells.crew(arguments, plan, folder, lines) as crew:
        result = matrix.carry_out(plan, folder, runs, command, arguments.jobs, told, crew)
    return tell(plan, result, folder, arguments, lines)


def tell(
    plan: Plan,
    result: MatrixResult,
    folder: Path,
    arguments: argparse.Namespace,
    lines: cells.Lines,
) -> int:
    """Write and print the result; returns the exit code."""
    from harness.releases import folder as folders
    from harness.releases import matrix

    document = folders.publish(result, matrix.NAME, folder, plan.full, cells.hosts(result.runs))
    _show(result)
    if result.interrupted:
        lines.suggest("interrupted; to go on, run:",
                      invocation.command("matrix", "--continue", str(folder)))  # fmt: skip
    lines.say(f"result: {folder / matrix.NAME}")
    if arguments.json:
        print(json.dumps(document, indent=2, allow_nan=False))
    if result.interrupted:
        return Exit.INTERRUPTED
    completed = all(set(row.outcomes) == {"completed"} for row in result.rows)
    return Exit.OK if completed and not result.missing else Exit.VERDICT


def _show(result: MatrixResult) -> None:
    """Print the table. What is not as in the release before is marked."""
    from harness.releases.matrix import FIGURES

    console = consoles.console(sys.stderr, highlight=False)
    if not console.is_terminal:
        console.width = 160  # rich takes 80 for a pipe
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in ("cell", "outcome", *FIGURES):
        table.add_column(title, no_wrap=True)
    table.add_column("finding")
    for row in result.rows:
        figures = [_figure(row, name) for name in FIGURES.values()]
        finding = _marked(row, "finding", row.finding)
        table.add_row(Text(row.cell), _outcome(row), *figures, finding)
    console.print(table)
    if any(row.changed for row in result.rows):
        cells.Lines(False).note("*: not as in the release before")


def _outcome(row: Row) -> Text:
    total = sum(row.outcomes.values())
    parts = [
        outcome if total == 1 else f"{count}/{total} {outcome}"
        for outcome, count in row.outcomes.items()
    ]
    return _marked(row, "outcome", ", ".join(parts))


def _figure(row: Row, name: str) -> Text:
    value = row.figures.get(name)
    if value is None:
        return Text("")
    text = duration(value) if name.endswith("_s") else f"{number(value, 3)} P"
    return _marked(row, name, text)


def _marked(row: Row, name: str, text: str) -> Text:
    changed = name in row.changed
    return Text(f"{text or 'none'} *" if changed else text, style="bold yellow" if changed else "")
