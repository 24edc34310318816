"""`harness selftest`: a proof of the harness on this machine, by scenarios of known verdict."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence

from harness.cli import github, help, options
from harness.errors import Exit, UsageError
from harness.model import ScenarioInfo, ScenarioResult, Settings
from harness.scenario import load
from harness.session import plan
from harness.session.plan import Options
from harness.text import invocation

BUDGET_S = 180.0
"""The limit of one control: several times the duration of the longest one on two cores."""


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "selftest",
        "Run the controls, whose verdicts are known, and check that each one gets its verdict on "
        "this machine.",
        usage="[NAME|FILE.py ...]",
        examples=(
            "harness selftest --jobs 2",
            "harness selftest fork_deadlock long_validation --repeat 10",
        ),
        exits={
            Exit.OK: "every control got its expected verdict",
            Exit.VERDICT: "a control got another verdict",
            Exit.USAGE: help.WRONG,
            Exit.INTERNAL: help.FAILED,
            Exit.INTERRUPTED: help.INTERRUPTED,
        },
    )
    options.add_scenarios(
        parser, "*", metavar="NAME|FILE.py", help="controls to run (default: all of them)"
    )
    group = parser.add_argument_group("runs")
    group.add_argument("--repeat", type=options.positive, default=1, metavar="N",
        help="run each control N times (default: %(default)s)")  # fmt: skip
    group.add_argument("--jobs", type=options.positive, default=1, metavar="N",
        help="runs at the same time (default: %(default)s)")  # fmt: skip
    group = parser.add_argument_group("results")
    options.add_out(group)
    options.add_debug(group)
    github.add(group)
    group.add_argument("-q", "--quiet", action="store_true", help="print the verdicts only")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    import msgspec

    from harness.analysis import controls
    from harness.cli import control_table
    from harness.cli.console import screen
    from harness.cli.outcome import Executed
    from harness.report.github import missed
    from harness.session.execute import execute

    runs = plan.make(_controls(arguments.scenario), Settings(), arguments.repeat)
    how = Options(out=arguments.out, jobs=arguments.jobs, budget=BUDGET_S, debug=arguments.debug)
    with screen(len(runs), quiet=arguments.quiet) as observer:
        observer.expected = _compared(runs)
        command = ["harness", *sys.argv[1:]]
        done = Executed(lambda: execute(runs, Settings(), how, observer, command), observer)
    result = done.result
    rows = controls.rows(result)
    matrix = controls.matrix(rows)
    if arguments.json:
        document = {
            "controls": msgspec.to_builtins(rows),
            "matrix": matrix,
            "run": json.loads(done.document),
        }
        print(json.dumps(document, indent=2))
    else:
        control_table.show(rows, matrix)
    done.annotate(arguments, lambda run, root: missed(run, controls.rows(run), root))
    if result.interrupted:
        return Exit.INTERRUPTED
    return Exit.OK if controls.passed(rows) else Exit.VERDICT


def _compared(
    runs: Sequence[plan.PlannedRun],
) -> Callable[[ScenarioResult], tuple[bool | None, str]]:
    """The comparison of a result with the verdict that its control must get."""
    from harness.analysis import controls
    from harness.observe import environment

    here = environment.gather()
    verdicts = {run.info.name: run.info.verdict for run in runs}

    def compared(result: ScenarioResult) -> tuple[bool | None, str]:
        expected = verdicts[result.scenario]
        assert expected is not None  # it is a control
        row = controls.row(result, expected, here)
        return row.ok, "; ".join(row.wrong)

    return compared


def _controls(words: Sequence[str]) -> Sequence[ScenarioInfo]:
    infos = load.find(words) if words else load.controls()
    for info in infos:
        if info.verdict is None:
            command = invocation.command("run", info.name)
            raise UsageError(f"{info.name} is not a control: it has no VERDICT; use: {command}")
    return infos
