"""`harness run-all --variants builtin:environment`: the environment ladder of a command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.cli import selection
from harness.errors import UsageError
from harness.model import Command, EnvironmentLadder, FlipVerdict, ScenarioInfo
from harness.model.settings import RUN_PATIENCE
from harness.session import plan

if TYPE_CHECKING:
    from rich.console import Console

NAME = "builtin:environment"
TITLES = ("change", "answer", "shown", "why it could")
WIDE, PIPE = 140, 180
"""The columns that the whole table needs, and those of a pipe."""


def run(arguments: argparse.Namespace, limited: bool) -> int:
    """Run the ladder of the command after `--`; returns the exit code.

    `limited`: the user has named the most runs of each flip.
    """
    import os

    from harness.cli import running
    from harness.flips import judge
    from harness.flips import plan as flips
    from harness.observe import installation

    words = list(arguments.words)
    argv = words[words.index("--") + 1 :] if "--" in words else []
    if not argv:
        raise UsageError(f"--variants {NAME} needs a command: add -- COMMAND [ARGUMENT ...]")
    if arguments.stop_after is not None:
        raise UsageError(f"--stop-after cannot be used with --variants {NAME}; omit it")
    plain = command(argv)
    environ, backend = os.environ, installation.backend()
    limit = arguments.repeat if limited else flips.LIMIT
    whole = flips.ladder(plain, environ, backend, limit=limit)
    infos = selection.choose(whole.infos()[1:], arguments.chosen, arguments.skip)
    ladder = flips.ladder(plain, environ, backend, [info.name for info in infos], limit)
    runs = flips.runs(ladder, None)
    if arguments.patience is None:
        arguments.patience = RUN_PATIENCE.seconds
    return running.carry_out(
        arguments, runs, None, judge=judge.LadderJudge(ladder), least=flips.least(ladder)
    )


def command(argv: list[str]) -> ScenarioInfo:
    """An outside command as what is run."""
    return ScenarioInfo(
        name=plan.name_of(argv), path="", summary="", doc="", source="",
        command=Command(argv=tuple(argv)),
    )  # fmt: skip


def show(console: Console, made: EnvironmentLadder) -> None:
    """Print the answer of a ladder, and its table; in a narrow terminal without the reasons."""
    from rich.table import Table
    from rich.text import Text

    from harness.cli import consoles
    from harness.report.sections import ladder

    if made.symptom is not None:
        wide = not console.is_terminal or console.width >= WIDE
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for title in TITLES[: None if wide else -1]:
            table.add_column(title, no_wrap=title != "change")
        for one in ladder.ordered(made):
            style = "bold green" if one.verdict is FlipVerdict.CURED else ""
            answer = Text(ladder.ANSWERS[one.verdict], style=style)
            runs = one.shown + one.absent
            cells = (Text(one.change), answer, Text(f"{one.shown} of {runs}" if runs else ""))
            table.add_row(*cells, *([Text(one.why, style="dim")] if wide else []))
        wider = console if console.is_terminal else consoles.console(console.file, highlight=False)
        if not console.is_terminal:
            wider.width = PIPE  # rich takes 80 for a pipe
        wider.print(table)
    console.print(Text(ladder.answer(made), style="bold"), soft_wrap=True)
    if made.left_out:
        names = ", ".join(one.change for one in made.left_out)
        console.print(Text(f"not tried here: {names}", style="dim"), soft_wrap=True)
