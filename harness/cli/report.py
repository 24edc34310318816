"""`harness report`: make a run's reports anew from what is in its folder."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from harness import privacy
from harness.cli import options
from harness.errors import Exit
from harness.model import ScenarioInfo, WorkerSpec
from harness.privacy.personal import recall
from harness.report import files, issue, runjson, write_all
from harness.report.input import Group, groups, load_run
from harness.scenario import load
from harness.session import recover
from harness.session.execute import concluded, save


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "report",
        "rebuild the reports of a run from its folder",
        "harness report reports/20260101-120000-ab12",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument(
        "--issue", action="store_true",
        help="write issue.md as well, a draft for MLX's issue tracker, and print it",
    )  # fmt: skip
    options.add_full(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    folder = arguments.run
    read = runjson.read(folder)
    result = concluded(recover.complete(read, folder), folder)
    if result is not read or (read.full and not arguments.full):
        save(msgspec.structs.replace(result, full=arguments.full), folder, recall(folder))
    write_all(folder, arguments.full)
    if arguments.issue:
        draft = _issue(folder, arguments.full)
    if arguments.json:
        print(runjson.text(folder), end="")
    elif arguments.issue:
        print(draft, end="")
    else:
        print(folder / "report.md")
    return Exit.OK


def _issue(folder: Path, full: bool) -> str:
    data = load_run(folder, full)
    known = recall(folder)
    about = issue.chosen(groups(data.run))
    siblings = load.siblings(_located(about, folder, known)) if about and about.info else {}
    if not full:
        siblings = {
            privacy.named(name, known): privacy.redacted_source(source, known)
            for name, source in siblings.items()
        }
    draft = issue.draft(data, siblings)
    files.replace(folder / "issue.md", draft.encode())
    return draft


def _located(group: Group, folder: Path, known: privacy.Personal) -> ScenarioInfo:
    """The scenario by the path it was run by; the published one leads nowhere from elsewhere."""
    assert group.info is not None
    home = privacy.home(folder, group.name, known) / str(group.worst.repeat)
    try:
        spec = msgspec.json.decode((home / "spec.json").read_bytes(), type=WorkerSpec)
    except (OSError, msgspec.MsgspecError):
        return group.info
    return msgspec.structs.replace(group.info, path=spec.path)
