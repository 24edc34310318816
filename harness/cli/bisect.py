"""`harness bisect`: the release that broke a training, or the one that mended it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import cells, help
from harness.errors import Exit, UsageError
from harness.text import invocation

if TYPE_CHECKING:
    from harness.releases.bisect import BisectResult
    from harness.releases.plan import Plan
    from harness.releases.probe import Ran
    from harness.releases.search import Seen

MARKS = {"shown": "bad", "absent": "good", "unusable": "skipped"}


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "bisect",
        "Find the release of MLX, or of another package, that broke a training or mended it. Each "
        "release gets an environment of its own, and a verdict decides.",
        usage=cells.USAGE,
        examples=(
            "harness bisect my_scenario.py --good 0.31.2 --bad 0.32.0",
            "harness bisect --good 0.31.2 --bad 0.32.4 -- python train.py",
            "harness bisect --continue reports/20260101-120000-ab12",
        ),
        exits={
            Exit.OK: "one release was found",
            Exit.VERDICT: "no release was found, or several are left that cannot be used",
            Exit.USAGE: help.WRONG,
            Exit.INTERNAL: help.FAILED,
            Exit.INTERRUPTED: "interrupted; --continue goes on",
        },
    )
    cells.add_target(parser, "bisect")
    group = parser.add_argument_group("question")
    add = group.add_argument
    add(
        "--good",
        metavar="VERSION",
        help="a release without the problem (default: that of --continue)",
    )
    add(
        "--bad",
        metavar="VERSION",
        help="a release with it, older or newer (default: that of --continue)",
    )
    add("--package", default="mlx", metavar="NAME",
        help="package whose releases are tried (default: %(default)s)")  # fmt: skip
    add("--when", metavar="SYMPTOM",
        help="the problem: hung, diverged, crashed, fingerprint, the code of a finding, or a "
        "figure such as 'step_s > 2x' (default: what the bad release shows)")  # fmt: skip
    add("--certainty", type=certainty, metavar="PERCENT",
        help="for a problem that comes now and then: repeat runs until the answer is that "
        "sure, such as 95%% (default: one run of each release)")  # fmt: skip
    add("--pre", action="store_true", help="try pre-releases too")
    cells.add_cells(parser, {"help": "Python of the environments (default: that of harness)"})
    cells.add_runs(parser)
    parser.set_defaults(command=run)


def certainty(text: str) -> float:
    """A percentage such as `95%` or `95`, as a share of 1, for argparse."""
    try:
        value = float(text.strip().removesuffix("%")) / 100
    except ValueError:
        value = 0.0
    if not 0.5 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be a percentage from 50% to 99.9%, not {text}")
    return value


def run(arguments: argparse.Namespace) -> int:
    from harness.releases import folder as folders
    from harness.session.folder import locked

    lines = cells.Lines(arguments.quiet)
    if arguments.earlier is not None:
        cells.check_continued(arguments)
        with folders.opened(arguments.earlier, "bisect") as (plan, runs):
            return _search(plan, runs, arguments.earlier, arguments, lines)
    plan = _plan(arguments, lines)
    folder = folders.begin(plan, arguments.out)
    with locked(folder):
        return _search(plan, (), folder, arguments, lines)


def _plan(arguments: argparse.Namespace, lines: cells.Lines) -> Plan:
    """The plan with all releases between the two ends as cells, from the good one on."""
    from harness.observe import installation
    from harness.releases import plan, probe, symptoms, versions

    if not arguments.good or not arguments.bad:
        raise UsageError("bisect needs --good VERSION and --bad VERSION")
    package = versions.package(arguments.package)
    request = plan.BisectRequest(
        package=package,
        good=str(versions.parse(arguments.good)),
        bad=str(versions.parse(arguments.bad)),
        when=arguments.when,
        certainty=arguments.certainty,
    )
    if arguments.when is not None:
        symptoms.parse(arguments.when)  # a mistake is told before anything is installed
    versions.between((), request.good, request.bad)
    python = [] if arguments.python is None else [arguments.python]
    more = [versions.requirement(text) for text in arguments.more]

    what = cells.target(arguments)
    worker = what[1] is not None
    extra = installation.backend()

    def made(releases: tuple[str, ...]) -> plan.Plan:
        axes = plan.axes({package: releases}, python, more, sys.executable, extra, worker)
        return cells.begun(arguments, "bisect", what, axes, bisect=request)

    first = made((request.good,))
    lines.note(f"asking the index for the releases of {package}")
    found = probe.listed(first, first.cells[0], request, arguments.pre)
    whole = made(found[::-1] if request.mends else found)
    lines.note(
        f"{len(found)} releases from {found[0]} to {found[-1]}; "
        f"looking for the one that {'mended' if request.mends else 'broke'} it"
    )
    return whole


def _search(
    plan: Plan, runs: tuple[Ran, ...], folder: Path, arguments: argparse.Namespace,
    lines: cells.Lines,
) -> int:  # fmt: skip
    import msgspec

    from harness.releases import bisect, probe
    from harness.releases import folder as folders

    request = plan.bisect
    assert request is not None
    release = {cell.name: cell.packages[request.package] for cell in plan.cells}

    def told(ran: Ran, text: str, seen: Seen | None) -> None:
        mark = MARKS[seen.value] if seen is not None else "end"
        lines.ran(release[ran.cell], text, ran.symptoms[0].outcome, mark)

    result = bisect.carry_out(plan, folder, runs, ["harness", *sys.argv[1:]], told)
    if result.change is not None:
        old, new = bisect.ends(result)
        known = probe.pages(plan, plan.cells[0], request.package)
        result = msgspec.structs.replace(
            result,
            changes=bisect.address(known, old, new),
            known_issues=bisect.matches(plan, result, folder),
        )
    document = folders.publish(result, bisect.NAME, folder, plan.full)
    _answer(plan, result, folder, lines)
    if arguments.json:
        print(json.dumps(document, indent=2, allow_nan=False))
    if result.interrupted:
        return Exit.INTERRUPTED
    return Exit.OK if result.found else Exit.VERDICT


def _answer(plan: Plan, result: BisectResult, folder: Path, lines: cells.Lines) -> None:
    """Print the answer, each of its two releases with its run, and where the changes are told."""
    from harness.releases import bisect

    if result.interrupted:
        lines.suggest("interrupted; to go on, run:",
                      invocation.command("bisect", "--continue", str(folder)))  # fmt: skip
        return
    if result.problem is not None:
        lines.say(f"no release found: {result.problem}")
    else:
        for line in bisect.sentences(plan, result):
            lines.say(line)
    lines.say(f"result: {folder / bisect.NAME}")
