"""The part of `harness report --issue` that writes the draft of an issue."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness import privacy
from harness.model import ScenarioInfo, WorkerSpec
from harness.privacy.personal import recall
from harness.report import files, issue
from harness.report.input import Group, groups, load_run
from harness.scenario import load


def write(folder: Path, full: bool) -> str:
    """Write issue.md of the run in `folder`, and return its text."""
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
    """The scenario with the path that it was run by; the published path is redacted."""
    assert group.info is not None
    home = privacy.home(folder, group.name, known) / str(group.worst.repeat)
    try:
        spec = msgspec.json.decode((home / "spec.json").read_bytes(), type=WorkerSpec)
    except (OSError, msgspec.MsgspecError):
        return group.info
    return msgspec.structs.replace(group.info, path=spec.path)
