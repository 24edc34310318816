"""`harness report`: the reports of a run, made again from its folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.cli import help, options
from harness.errors import Exit, UsageError
from harness.text import invocation


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "report",
        "Make the reports of a run again from its folder, also after the harness was killed.",
        usage="RUN",
        examples=(
            "harness report reports/20260101-120000-ab12",
            "harness report --issue reports/20260101-120000-ab12",
            "harness report --panics",
        ),
        exits={
            Exit.OK: "the reports were written",
            Exit.USAGE: "the command line is wrong, or RUN is not a run folder",
            Exit.INTERNAL: help.FAILED,
        },
    )
    group = parser.add_argument_group("arguments")
    group.add_argument(
        "run", type=Path, metavar="RUN", nargs="?",
        help="folder of the run (with --panics, default: the newest one in reports that never "
        "ended)",
    )  # fmt: skip
    group = parser.add_argument_group("results")
    group.add_argument(
        "--issue", action="store_true",
        help="also write issue.md, a draft for the issue tracker of MLX, and print it",
    )  # fmt: skip
    group.add_argument(
        "--panics", action="store_true",
        help="on macOS after a reboot: find the panic report that belongs to the last beat of the "
        "run (default: do not look for one)",
    )  # fmt: skip
    group.add_argument(
        "--panic-reports", type=Path, metavar="DIR",
        help="folder of the panic reports, with --panics (default: that of macOS)",
    )  # fmt: skip
    options.add_full(group)
    parser.set_defaults(command=run)


def reports_of_panics(arguments: argparse.Namespace) -> Path | None:
    """The folder of the panic reports; None where they are not asked for."""
    if arguments.panics:
        from harness.observe.macos import panics

        return arguments.panic_reports or panics.FOLDER
    if arguments.panic_reports is not None:
        raise UsageError("--panic-reports needs --panics")
    return None


def found_run(arguments: argparse.Namespace) -> Path:
    """The folder of the run that was named, or else the newest one that never ended."""
    given: Path | None = arguments.run
    if given is not None:
        return given
    if not arguments.panics:
        raise UsageError(f"report needs a run: {invocation.command('report', 'RUN')}")
    from harness.session import plan
    from harness.session.panics import newest_unfinished

    return newest_unfinished(plan.Options().out)


def run(arguments: argparse.Namespace) -> int:
    import msgspec

    from harness.cli import issue_draft
    from harness.privacy.personal import recall
    from harness.report import runjson, write_all
    from harness.session import recover
    from harness.session.conclude import conclude
    from harness.session.folder import save

    panics = reports_of_panics(arguments)
    folder = found_run(arguments)
    read = runjson.read(folder)
    whole = recover.complete(read, folder)
    if panics is not None:
        from harness.session.panics import join

        whole, told = join(whole, folder, panics)
        print(told, file=sys.stderr)
    result = conclude(whole, folder)
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
