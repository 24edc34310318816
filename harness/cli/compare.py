"""`harness compare`: two runs, outcome by outcome and figure by figure."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness.cli import help
from harness.errors import Exit


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "compare",
        "Compare two runs, for example of two versions of MLX, two machines or two settings.",
        usage="RUN_A RUN_B",
        examples=("harness compare reports/20260101-120000-ab12 reports/20260101-130000-cd34",),
        exits={
            Exit.OK: "the runs were compared, with or without differences",
            Exit.USAGE: "the command line is wrong, or an argument is not a run folder",
            Exit.INTERNAL: help.FAILED,
        },
    )
    group = parser.add_argument_group("arguments")
    group.add_argument("a", type=Path, metavar="RUN_A", help="folder of the first run")
    group.add_argument("b", type=Path, metavar="RUN_B", help="folder of the second run")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    import msgspec

    from harness.analysis.compare import compare
    from harness.cli import comparison
    from harness.report import runjson

    compared = compare(runjson.read(arguments.a), runjson.read(arguments.b))
    if arguments.json:
        print(
            json.dumps(runjson.storable(msgspec.to_builtins(compared)), indent=2, allow_nan=False)
        )
    else:
        comparison.show(compared)
    return Exit.OK
