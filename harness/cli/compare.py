"""`harness compare`: two runs, outcome by outcome and figure by figure."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from harness.cli import help
from harness.errors import Exit, UsageError


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "compare",
        "Compare two runs, for example of two versions of MLX, two machines or two settings.",
        usage="RUN_A RUN_B",
        examples=("harness compare reports/20260101-120000-ab12 reports/20260101-130000-cd34",),
        exits={
            Exit.OK: "the runs were compared, with or without differences",
            Exit.VERDICT: "RUN_B is worse by more than --fail-on-regression",
            Exit.USAGE: "the command line is wrong, or an argument is not a run folder",
            Exit.INTERNAL: help.FAILED,
        },
    )
    group = parser.add_argument_group("arguments")
    group.add_argument("a", type=Path, metavar="RUN_A", help="folder of the first run")
    group.add_argument("b", type=Path, metavar="RUN_B", help="folder of the second run")
    group = parser.add_argument_group("results")
    group.add_argument(
        "--fail-on-regression", type=share, metavar="PERCENT",
        help="make the exit code 1 if RUN_B is slower, needs more memory or ends at a higher loss "
        "by more than PERCENT, such as 5%%, or completes fewer of its runs (default: never)",
    )  # fmt: skip
    parser.set_defaults(command=run)


def share(text: str) -> float:
    """A percentage such as `5%` or `5`, as a share of 1, for argparse."""
    try:
        value = float(text.strip().removesuffix("%")) / 100
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a percentage such as 5%, not {text}")
    return value


def run(arguments: argparse.Namespace) -> int:
    import msgspec

    from harness.analysis import regressions
    from harness.analysis.compare import compare
    from harness.cli import comparison
    from harness.report import runjson

    compared = compare(runjson.read(arguments.a), runjson.read(arguments.b))
    least = arguments.fail_on_regression
    worse = [] if least is None else regressions.regressions(compared, least)
    if arguments.json:
        document = {
            "headline": regressions.headline(compared),
            **msgspec.to_builtins(compared),
            "regressions": msgspec.to_builtins(worse),
        }
        print(json.dumps(runjson.storable(document), indent=2, allow_nan=False))
    else:
        comparison.show(compared)
    if least is not None:
        comparison.show_regressions(worse, least)
        if not regressions.common(compared):
            raise UsageError("the two runs have no scenario in common: no regression can be seen")
    return Exit.VERDICT if worse else Exit.OK
