"""`harness attach`: the state of a process that the harness did not start."""

from __future__ import annotations

import argparse
import importlib
import sys
import threading
from datetime import datetime, timezone

from harness.cli import help, options
from harness.errors import Exit, HarnessError, UsageError

LOOK_S = 2.0
"""Seconds for which a process is observed."""
_LATER = ("harness.attach.result", "harness.report.html", "harness.session.conclude")


def add(commands: help.Commands) -> None:
    parser = help.command(
        commands,
        "attach",
        "Find out if a running process is stuck, and what it waits for. The process continues.",
        usage="PID | --name NAME",
        examples=("harness attach 12345", "harness attach --name mlx_lm.lora"),
        exits={
            Exit.OK: "the process makes progress, or its wait can end",
            Exit.VERDICT: "the process is stuck",
            Exit.USAGE: "the command line is wrong, or there is no such process",
            Exit.INTERNAL: help.FAILED,
            Exit.INTERRUPTED: "interrupted",
        },
    )
    add = parser.add_argument_group("process").add_argument
    add("pid", nargs="?", type=options.positive, metavar="PID",
        help="ID of the process; its child processes are observed too")  # fmt: skip
    add("--name", metavar="NAME",
        help="name of the program, script or module that your process runs "
        "(default: use PID)")  # fmt: skip
    add("--for", dest="seconds", type=options.positive_seconds, default=LOOK_S, metavar="SECONDS",
        help="observe the process for about SECONDS (default: %(default)g)")  # fmt: skip
    add("--signal-stacks", action="store_true",
        help="if no tool can read the stacks, send SIGUSR1 to a process that has a handler of "
        "Python's faulthandler for it")  # fmt: skip
    group = parser.add_argument_group("results")
    options.add_out(group)
    options.add_full(group)
    options.add_debug(group)
    group.add_argument("-q", "--quiet", action="store_true", help="print the answer only")
    parser.set_defaults(command=run)


def _load() -> None:
    """Import what the answer and the reports need, while the process is observed: that waits."""
    for name in _LATER:
        importlib.import_module(name)


def run(arguments: argparse.Namespace) -> int:
    import msgspec
    from rich.text import Text

    from harness.attach import observe, target
    from harness.cli import consoles
    from harness.observe import process_names, processes
    from harness.session import plan
    from harness.session.folder import explain, new_folder, save_first
    from harness.supervise import debug

    processes.check()
    if (arguments.pid is None) == (arguments.name is None):
        raise UsageError("attach needs a process: give either a PID or --name NAME")
    pid = target.by_pid(arguments.pid) if arguments.pid else target.by_name(arguments.name)
    argv = process_names.named(pid) or (f"process {pid}",)
    name = plan.name_of(argv)
    console = consoles.console(sys.stderr, highlight=False)
    if not arguments.quiet:
        consoles.say(console, Text(f"observing process {pid} ({' '.join(argv)})"), "  ")
    began = datetime.now(timezone.utc)
    folder = new_folder(arguments.out)
    loads = threading.Thread(target=_load)
    loads.start()
    try:
        home = folder / name / "0"
        home.mkdir(parents=True)
        with debug.writing(arguments.debug):
            watched = observe.watch(pid, arguments.seconds, home, arguments.signal_stacks)
        loads.join()
        from harness.attach import result
        from harness.report import runjson, write_all
        from harness.session.conclude import conclude

        (home / "state.json").write_bytes(result.state(watched))
        seen = result.run(watched, name, argv, began, ["harness", *sys.argv[1:]])
        run_result = conclude(result.compared(seen, home), folder)
        save_first(msgspec.structs.replace(run_result, full=arguments.full), folder)
        write_all(folder, arguments.full)
    except OSError as error:
        raise HarnessError(explain(error, folder)) from error
    for line in result.lines(watched.tree, watched)[: 2 if arguments.quiet else None]:
        consoles.say(console, Text(line), "  " if line.startswith(" ") else "")
    for line in result.known_issues(run_result):
        consoles.say(console, Text(line, style="cyan"))
    if not arguments.quiet:
        console.print(f"report: {folder / 'report.md'}", soft_wrap=True, markup=False)
    if arguments.json:
        print(runjson.text(folder), end="")
    return Exit.OK if watched.tree.good else Exit.VERDICT
