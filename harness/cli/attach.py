"""`harness attach`: what does a process do that was not started here?"""

from __future__ import annotations

import argparse
import sys
from datetime import datetime, timezone
from pathlib import Path

import msgspec
from rich.console import Console

from harness.cli import options
from harness.errors import Exit, HarnessError, UsageError
from harness.privacy import personal
from harness.report import runjson, write_all
from harness.session import plan
from harness.session.execute import concluded, new_folder, save, why
from harness.session.plan import Options

LOOK_S = 4.0


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "attach",
        "tell whether a running process is stuck, and what it is doing",
        "harness attach 12345\n  harness attach --name mlx_lm.lora",
    )
    add = parser.add_argument
    add("pid", nargs="?", type=options.positive, metavar="PID",
        help="of the process; all that descends from it is looked at as well")  # fmt: skip
    add("--name", metavar="NAME",
        help="the process of yours that runs this program, script or module")  # fmt: skip
    add("--for", dest="seconds", type=options.positive_seconds, default=LOOK_S, metavar="SECONDS",
        help="about how long to look (%(default)g)")  # fmt: skip
    add("--signal-stacks", action="store_true",
        help="if no tool can read its stacks, ask by SIGUSR1 for those of Python's faulthandler, "
        "where the process handles that signal")  # fmt: skip
    add("--out", type=Path, default=Options().out, metavar="DIR",
        help="where the folder with the report is made (%(default)s)")  # fmt: skip
    options.add_full(parser)
    add("-q", "--quiet", action="store_true", help="only the answer")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    # The other commands need none of this.
    from harness.attach import observe as look
    from harness.attach import result, target
    from harness.observe import process_names, processes

    processes.check()
    if (arguments.pid is None) == (arguments.name is None):
        raise UsageError("attach needs a process: a PID, or --name NAME")
    pid = target.by_pid(arguments.pid) if arguments.pid else target.by_name(arguments.name)
    argv = process_names.named(pid) or (f"process {pid}",)
    name = plan.name_of(argv)
    console = Console(file=sys.stderr, highlight=False, markup=False, soft_wrap=True)
    if not arguments.quiet:
        console.print(f"looking at process {pid} ({' '.join(argv)})")
    began = datetime.now(timezone.utc)
    folder = new_folder(arguments.out)
    try:
        home = result.home(folder, name)
        home.mkdir(parents=True)
        watched = look.watch(pid, arguments.seconds, home, arguments.signal_stacks)
        (home / "state.json").write_bytes(result.state(watched))
        told = concluded(result.run(watched, name, argv, began, ["harness", *sys.argv[1:]]), folder)
        known = personal.gather()
        personal.keep(known, folder)
        save(msgspec.structs.replace(told, full=arguments.full), folder, known)
        write_all(folder, arguments.full)
    except OSError as error:
        raise HarnessError(why(error, folder)) from error
    for line in result.lines(watched.tree, watched)[: 2 if arguments.quiet else None]:
        console.print(line)
    if not arguments.quiet:
        console.print(f"report: {folder / 'report.md'}")
    if arguments.json:
        print(runjson.text(folder), end="")
    return Exit.OK if watched.tree.good else Exit.VERDICT
