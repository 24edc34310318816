"""The common parts of `matrix` and `bisect`: the target, the options of cells, and their lines."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.text import Text

from harness import __version__
from harness.cli import consoles, continuing, options
from harness.errors import Exit, UsageError
from harness.model import Command, Hostfile, Outcome, ScenarioInfo, Settings
from harness.scenario import load
from harness.session import plan
from harness.text import invocation
from harness.text.units import plural

if TYPE_CHECKING:
    from harness.releases.crew import Crew
    from harness.releases.plan import Cell, Plan
    from harness.releases.probe import Ran

Target = tuple[ScenarioInfo, Settings | None]
"""A scenario with its settings, or a command, which has none."""
USAGE = "FILE.py|NAME|-- COMMAND [ARGUMENT ...]"
STYLES = {
    Outcome.COMPLETED: "green",
    Outcome.HUNG: "bold red",
    Outcome.DIVERGED: "red",
    Outcome.CRASHED: "red",
    Outcome.UNFINISHED: "yellow",
    Outcome.SKIPPED: "dim",
}


def add_target(parser: argparse.ArgumentParser, continued: str) -> None:
    """Add the arguments that say what is run, and the option that goes on with `continued`."""
    group = parser.add_argument_group("arguments")
    group.add_argument("target", nargs="*", metavar="FILE.py|NAME|COMMAND",
        help="one scenario; or a command, after --")  # fmt: skip
    group.add_argument(
        "--continue", dest="earlier", type=Path, metavar="FOLDER",
        help=f"go on with the {continued} in FOLDER, which was interrupted (default: begin anew)",
    )  # fmt: skip


def add_cells(parser: argparse.ArgumentParser, python: dict[str, Any]) -> None:
    """Add the options of the environments; `python` are the arguments of --python."""
    group = parser.add_argument_group("environments")
    add = group.add_argument
    add("--python", metavar="VERSION|PATH", **python)
    add("--with", dest="more", action="append", default=[], metavar="PACKAGE",
        help="install PACKAGE too, such as numpy==2.1; can be repeated "
        "(default: nothing)")  # fmt: skip
    add("--requirements", type=Path, metavar="FILE",
        help="install what FILE lists too (default: nothing)")  # fmt: skip


def add_elsewhere(parser: argparse.ArgumentParser) -> None:
    """Add the options by which runs are carried out on other hosts."""
    group = parser.add_argument_group("other hosts")
    group.add_argument(
        "--hostfile", dest="hosts", type=_hosts, metavar="FILE",
        help="carry out the runs on the hosts of FILE, one at a time on each, over ssh "
        "(default: on this machine)",
    )  # fmt: skip
    group.add_argument(
        "--plan", action="store_true",
        help="write plan.json and run nothing: `harness cell` carries out one run of it, and "
        "`harness collect` joins them",
    )  # fmt: skip


def check_elsewhere(arguments: argparse.Namespace) -> None:
    """Refuse the options of other hosts that contradict each other."""
    if arguments.plan and arguments.hosts is not None:
        raise UsageError("--plan runs nothing, so it needs no hosts; omit --hostfile")


def _hosts(path: str) -> Hostfile:
    from harness.session import hostfile

    return hostfile.read(path, least=1)


@contextmanager
def crew(
    arguments: argparse.Namespace, plan: Plan, folder: Path, lines: Lines
) -> Iterator[Crew | None]:
    """The crew of --hostfile, None without one."""
    from harness.releases.crew import Crew

    if arguments.hosts is None:
        yield None
        return
    with Crew(plan, folder.resolve(), arguments.hosts, lines.say) as made:
        yield made


def hosts(runs: Sequence[Ran]) -> list[str]:
    """The names of the hosts that `runs` were carried out on."""
    return sorted({run.host for run in runs if run.host is not None})


def planned(plan: Plan, folder: Path, lines: Lines) -> int:
    """Say what a plan that is not carried out is good for."""
    lines.say(f"{plural(len(plan.runs), 'run')}, numbered from 0: {folder / 'plan.json'}")
    for before, *words in (
        ("to carry one out, run:", "cell", str(folder), "--number", "0"),
        ("to join those that ran:", "collect", str(folder)),
    ):
        lines.suggest(before, invocation.command(*words))
    return Exit.OK


def add_runs(
    parser: argparse.ArgumentParser,
    patience: str = "that of harness run, or of harness watch for a command",
) -> None:
    """Add the options of the training and of each run; `patience` is the usual one, in words."""
    _add_training(parser)
    group = parser.add_argument_group("runs")
    group.add_argument(
        "--budget", "--timeout", type=options.positive_seconds, default=plan.Options().budget,
        metavar="SECONDS", help="time limit of one run (default: %(default)g)",
    )  # fmt: skip
    group.add_argument(
        "--patience", type=options.positive_seconds, metavar="SECONDS",
        help="how long a possible hang may last before it is called a hang without a proof "
        f"(default: {patience})",
    )  # fmt: skip
    group.add_argument("--cold", action="store_true",
        help="do not reuse kernels that earlier runs compiled")  # fmt: skip
    group = parser.add_argument_group("results")
    options.add_out(group)
    options.add_full(group)
    group.add_argument("-q", "--quiet", action="store_true", help="print the answer only")


def _add_training(parser: argparse.ArgumentParser) -> None:
    options.add_training(parser, hosts=False)


def target(arguments: argparse.Namespace, any_python: bool = False) -> Target:
    """The scenario or the command, with the settings of a scenario. Raises UsageError.

    A command that names its Python by a path is refused unless `any_python`.
    """
    words = list(arguments.words)
    if "--" in words:
        argv = words[words.index("--") + 1 :]
        if arguments.target[: len(arguments.target) - len(argv)]:
            raise UsageError("give a scenario or a command, not both")
        if not argv:
            raise UsageError("give a command after --")
        _check_command(argv, words[: words.index("--")], any_python)
        command = ScenarioInfo(
            name=plan.name_of(argv), path="", summary="", doc="", source="",
            command=Command(argv=tuple(argv)),
        )  # fmt: skip
        return command, None
    if len(arguments.target) != 1:
        raise UsageError(f"give one scenario, or a command: {USAGE}")
    infos = load.find(arguments.target)
    if len(infos) > 1:
        raise UsageError(f"{arguments.target[0]} has {len(infos)} scenarios; give one of them")
    settings = options.settings(arguments)
    plan.check(load.apply(settings, infos[0]))
    # A worker may run in another folder.
    path = str(Path(infos[0].path).resolve())
    return msgspec.structs.replace(infos[0], path=path), settings


def take_script(arguments: argparse.Namespace) -> None:
    """Take a file that is no scenario for a script: `train.py` is `-- python train.py`."""
    if "--" in arguments.words or len(arguments.target) != 1:
        return
    path = Path(arguments.target[0])
    if path.suffix != ".py" or not path.is_file():
        return
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        raise UsageError(f"{path} is no Python program: {error}") from None
    if not load.names(tree) & {"make_step"}:
        given = list(arguments.words)
        given.remove(arguments.target[0])
        arguments.target = [sys.executable, str(path)]
        arguments.words = [*given, "--", *arguments.target]


def check_continued(arguments: argparse.Namespace, *more: str) -> None:
    """Refuse all but --continue itself and the options `more`: the folder has its own."""
    allowed = ("--continue", "--json", "--quiet", "-q", *more)
    words = [word for word in arguments.words if word.startswith("-")]
    other = [word for word in words if word.partition("=")[0] not in allowed]
    if other or arguments.target:
        name = (other or arguments.target)[0]
        raise UsageError(f"{name} cannot be given with --continue; omit it")


def _check_command(argv: Sequence[str], before: Sequence[str], any_python: bool) -> None:
    """Refuse options that a command does not have, and the path of a Python, which would be the
    same one in each environment."""
    from harness.observe import process_names

    for name in continuing.given_options(before, _add_training):
        raise UsageError(f"--{name.replace('_', '-')} is for scenarios; give it to the command")
    if not any_python and "/" in argv[0] and process_names.is_python(Path(argv[0]).name):
        raise UsageError(
            f"{argv[0]} would be the same Python in each environment; write python instead"
        )


def begun(
    arguments: argparse.Namespace, kind: str, what: Target, cells: Sequence[Cell], **more: Any
) -> Plan:
    """The plan of the options. Raises UsageError when --requirements cannot be read."""
    from harness.releases.plan import Plan

    info, settings = what
    return Plan(
        kind=kind,
        harness_version=__version__,
        cwd=str(Path.cwd()),
        target=info,
        settings=settings,
        cells=tuple(cells),
        file=None if arguments.requirements is None else _text(arguments.requirements),
        budget=arguments.budget,
        patience=options.patience(arguments),
        cold=arguments.cold,
        full=arguments.full,
        **more,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read --requirements {path}: {error}") from None


class Lines:
    """The lines on stderr: one for each run that ended."""

    def __init__(self, quiet: bool) -> None:
        self.width = 10
        """The columns of a name."""
        self._console = consoles.console(sys.stderr, highlight=False)
        self._quiet = quiet

    def say(self, text: str | Text) -> None:
        consoles.say(self._console, Text(text) if isinstance(text, str) else text)

    def note(self, text: str) -> None:
        """Print what matters only while one waits."""
        if not self._quiet:
            self.say(Text(text, style="dim"))

    def suggest(self, before: str, command: str) -> None:
        consoles.suggest(self._console, before, command)

    def ran(self, name: str, text: str, outcome: Outcome, mark: str) -> None:
        """Print the line of a run, whose release or cell is `name`; `mark` is its answer."""
        if not self._quiet:
            line = Text(f"  {name:<{self.width}} ")
            line.append(f"{mark:<8}" if mark else "", style="bold")
            line.append(text, style=STYLES[outcome])
            self.say(line)
