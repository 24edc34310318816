"""The first screen of report.md: title, headline, what ran, and the stacks of a hang."""

from __future__ import annotations

import shlex

from harness.model import RunResult, Settings
from harness.report import screen
from harness.report.input import Group, ReportInput, groups, subject
from harness.report.sections import stacks
from harness.report.sections.attached import attachments
from harness.report.sections.verdicts import headline, model
from harness.report.text import cell, code
from harness.text.units import count

NOT_REDACTED = "Nothing in this file is redacted: do not publish it."


def title(run: RunResult) -> str:
    """The title: the command or model, and its result."""
    for result in run.results:
        for evidence in attachments(result):
            return f"{result.scenario} (process {evidence.get('pid')}): {evidence.get('answer')}"
    interrupted = " (interrupted)" * run.interrupted
    if len(run.results) == 1:
        (result,) = run.results
        return f"{result.scenario}: {screen.of_run(run, result).what}{interrupted}"
    whose = "MLX training step"
    if run.settings is None and len(run.scenarios) == 1:
        whose = run.scenarios[0].name
    return f"{whose}: {headline(groups(run))}{interrupted}"


def first_screen(data: ReportInput) -> str:
    """Title, headline, what was run on what, and the stacks of a hang."""
    run = data.run
    group = subject(groups(run))
    settings, versions = run.settings, run.environment.versions
    what = _training(data, settings) if settings else _commands(run)
    about = (
        f"{what}, mlx {cell(versions.get('mlx') or 'not known', 40)}, "
        f"{cell(run.environment.device or 'device not known', 80)}, "
        f"{cell(run.environment.platform, 80)}."
    )
    parts = [
        f"# {cell(title(run), 400)}",
        f"**{NOT_REDACTED}**" if run.full else "",
        _headline(run, group),
        about,
        _stacks(data, group),
    ]
    return "\n\n".join(part for part in parts if part)


def _headline(run: RunResult, group: Group | None) -> str:
    """The headline of the run that the report is about; with others, its name stands above."""
    if group is None:
        return ""
    made = screen.of_run(run, group.worst)
    body = screen.as_markdown(made)
    if len(run.results) == 1 or not body:
        return body
    return f"Look first at {code(group.label(group.worst))}: {cell(made.what, 400)}.\n\n{body}"


def _stacks(data: ReportInput, group: Group | None) -> str:
    if group is None or not stacks.stands_first(group, data):
        return ""
    text = stacks.listed(group, group.worst, data, stacks.FIRST)
    return f"## Stacks\n\nThe innermost call first.\n\n{text}" if text else ""


def _training(data: ReportInput, settings: Settings) -> str:
    results = data.run.results
    counts = {result.steps_requested or settings.steps for result in results} or {settings.steps}
    own = " (settings of their own)" if counts != {settings.steps} else ""
    steps = (
        f"{'/'.join(str(n) for n in sorted(counts))} {'step' if counts == {1} else 'steps'}{own}"
    )
    built_in = f"{code(model(settings.model))} with {cell(settings.optimizer, 40)}"
    brought = [data.own_model(result) for result in results]
    sizes = sorted({n for n in brought if n})
    if all(n is None for n in brought):
        return f"{steps} of {built_in}"
    span = count(sizes[0]) + (f" to {count(sizes[-1])}" if len(sizes) > 1 else "") if sizes else ""
    theirs = f"a model that the scenario builds itself{span and f' ({span} parameters)'}"
    return f"{steps} of {theirs}" + (f" or of {built_in}" if None in brought else "")


def _commands(run: RunResult) -> str:
    given = [shlex.join(info.command.argv) for info in run.scenarios if info.command]
    first = code(given[0], 200) if given else "nothing"
    return first + (f" and {len(given) - 1} more" if len(given) > 1 else "")
