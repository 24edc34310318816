"""investigation.json, investigation.md and issue.md: one report of all stages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.errors import UsageError
from harness.investigate.model import Investigation, StageName, StageResult, Status
from harness.privacy import personal, redacted_source
from harness.releases import folder as folders
from harness.report import files, issue
from harness.report.input import ReportInput, groups, load_run, subject
from harness.report.screen import as_markdown, of_run
from harness.report.sections.ladder import ladder
from harness.report.text import NOTHING, cell, details, fence, table
from harness.text.units import duration

NAME, REPORT, ISSUE = "investigation.json", "investigation.md", "issue.md"
STATES = {
    Status.DONE: "", Status.SKIPPED: "left out: ", Status.FAILED: "failed: ",
    Status.INTERRUPTED: "not finished: ",
}  # fmt: skip
SMALL = 40_000
"""Characters of a small file that the report shows."""


def write(made: Investigation, home: Path | None, folder: Path, full: bool) -> Investigation:
    """Write the three files to `folder`; `home` is the folder of the runs as they are.

    Returns what was published. Raises OSError.
    """
    folders.publish(made, NAME, folder, full)
    made = folders.published(made, full)
    data = None if home is None else load_run(home, full)
    small = _small(made, folder, full)
    draft = ""
    if data is not None and not made.healthy and not made.own:
        draft = issue.draft(data, facts(made), small)
        files.replace(folder / ISSUE, draft.encode())
    text = "\n\n".join(_parts(made, data, _flips(made, folder, full), small, draft))
    files.replace(folder / REPORT, f"{text}\n".encode())
    return made


def facts(made: Investigation) -> tuple[str, ...]:
    """The lines that a draft has of the other stages."""
    return tuple(fact for one in made.stages for fact in one.facts)


def _parts(
    made: Investigation, data: ReportInput | None, flips: str, small: str, draft: str
) -> Iterator[str]:
    yield f"# {cell(made.target, 80)}: {cell(made.answer, 400)}"
    if made.interrupted:
        yield "**It was interrupted: what follows is a part of it.**"
    rows = [
        [cell(one.stage.words), cell(f"{STATES[one.status]}{one.summary}", 400), _took(one)]
        for one in made.stages
    ]
    yield table(("stage", "answer", "time"), rows, "llr")
    if data is not None and (group := subject(groups(data.run))) is not None:
        yield as_markdown(of_run(data.run, group.worst))
    if flips:
        yield flips
    for one in made.stages:
        if one.stage is StageName.RELEASES and one.status is not Status.SKIPPED:
            lines = "\n".join(f"- {cell(fact, 400)}" for fact in one.facts)
            yield f"## Releases\n\n{lines}"
        if one.stage is StageName.REDUCE and small:
            yield f"## One small file\n\n{cell(one.summary)}:\n\n{fence(small, 'python')}"
    if draft:
        yield f"## Draft of an issue\n\n{details(f'{ISSUE}, as text', fence(draft, 'markdown'))}"


def _took(one: StageResult) -> str:
    return duration(one.seconds) if one.status is not Status.SKIPPED else NOTHING


def _flips(made: Investigation, folder: Path, full: bool) -> str:
    """The section on the environment."""
    for one in made.stages:
        if one.stage is StageName.ENVIRONMENT and one.folder is not None:
            try:
                return ladder(load_run(folder / one.folder, full))
            except UsageError:
                return ""
    return ""


def _small(made: Investigation, folder: Path, full: bool) -> str:
    """The small file; empty where there is none that shows the symptom."""
    for one in made.stages:
        if one.stage is StageName.REDUCE and one.found and one.file is not None:
            try:
                text = (folder / one.file).read_text(encoding="utf-8")
            except OSError:
                return ""
            text = text if full else redacted_source(text, personal.gather())
            return text if len(text) <= SMALL else ""
    return ""
