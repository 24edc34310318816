"""A match with a known issue, everywhere that a result is told of."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from known_issue_samples import WAITS
from rich.console import Console

from benchmarks import known_issue_programs, known_issues
from harness.analysis.known_issues import catalog, versions
from harness.attach.result import compared
from harness.cli import known
from harness.cli.console import Screen
from harness.model import (
    Command,
    Environment,
    KnownIssueMatch,
    Outcome,
    RunResult,
    Sameness,
    ScenarioInfo,
    ScenarioResult,
)
from harness.privacy import published
from harness.privacy.personal import gather
from harness.report import html, issue, junit, markdown, summary
from harness.report.input import ReportInput
from harness.text import invocation

ROOT = Path(__file__).resolve().parents[2]
URL = "https://github.com/ml-explore/mlx/pull/3652"
TITLE = "Adafactor fails on parameters of more than 2 dimensions"
MATCH = KnownIssueMatch(
    id="mlx#3652",
    title=TITLE,
    url=URL,
    package="mlx",
    same=Sameness.ERROR,
    seen="ValueError: [matmul] Last dimension <b>",
    version="0.31.2",
    fixed="0.32.0",
    cure="Upgrade mlx.",
)
RESULT = ScenarioResult(
    scenario="conv.py",
    outcome=Outcome.CRASHED,
    steps_requested=None,
    steps_completed=0,
    wall_s=1.0,
    reason="exited with code 1 during start-up",
    known_issues=(MATCH,),
)
MACHINE = Environment(
    platform="Linux 6.18",
    machine="x86_64",
    python="3.11.7",
    cpu_count=2,
    memory=2**34,
    versions={"mlx": "0.31.2"},
)


def run(*results: ScenarioResult) -> RunResult:
    command = Command(argv=("python", "conv.py"))
    info = ScenarioInfo(name="conv.py", path="", summary="", doc="", source="", command=command)
    return RunResult(
        harness_version="0.1.0",
        started="2026-11-29T12:00:00+00:00",
        environment=MACHINE,
        settings=None,
        scenarios=(info,),
        results=results,
    )


DATA = ReportInput(run=run(RESULT))
WORDS = f"same error and version as mlx#3652 ({TITLE}), fixed in mlx 0.32.0: upgrade mlx"


def test_the_report_says_it_before_anything_but_the_verdict():
    text = markdown.render(DATA)
    assert text.index("## Known issues") < text.index("## Scenarios")
    assert f"]({URL}), seen in `conv.py`: `ValueError: [matmul]" in text
    assert "Same error and version as" in text
    assert "## Known issues" not in markdown.render(ReportInput(run=run()))


def test_one_issue_of_many_runs_is_one_line():
    again = msgspec.structs.replace(RESULT, repeat=1)
    text = markdown.render(ReportInput(run=run(RESULT, again)))
    assert text.count(f"]({URL})") == 1
    assert "`conv.py [0]`, `conv.py [1]`" in text


def test_the_page_says_it_and_links_to_it():
    text = html.render(DATA)
    assert '<a href="#known-issues">' in text
    assert f'<a href="{URL}"' in text
    assert "Last dimension &lt;b&gt;" in text
    assert 'id="known-issues"' not in html.render(ReportInput(run=run()))


def test_ci_reads_it_in_the_message():
    text = junit.render(DATA.run).decode()
    (message,) = re.findall(r'<error type="crashed" message="([^"]*)"', text)
    assert "exited with code 1 during start-up" in message
    assert message.endswith(f"; {WORDS} {URL}")


def test_the_draft_of_an_issue_names_the_public_one():
    assert "known issue: same error and version as" in issue.draft(DATA)


def test_a_test_and_a_notebook_show_it():
    assert ("known issue", f"{WORDS} {URL}") in summary.rows(RESULT)


@pytest.mark.parametrize("quiet", [False, True])
def test_the_terminal_says_it(quiet: bool):
    file = io.StringIO()
    console = Console(file=file, width=240)
    screen = Screen(console, total=1, quiet=quiet, verbose=False)
    screen.finished(SimpleNamespace(info=DATA.run.scenarios[0]), RESULT)  # type: ignore[arg-type]
    text = file.getvalue()
    assert WORDS in text
    assert URL in text


def test_it_is_published_but_for_names_in_what_was_seen():
    seen = f"{Path.home()}/own/train.py failed"
    private = msgspec.structs.replace(MATCH, seen=seen)
    made = published(run(msgspec.structs.replace(RESULT, known_issues=(private,))), gather())
    (match,) = made.results[0].known_issues
    assert match.seen != seen
    assert msgspec.structs.replace(match, seen=seen) == private


def test_an_attached_process_is_compared_by_its_stacks_whatever_version_it_has(tmp_path: Path):
    stacks = tmp_path / "stacks"
    stacks.mkdir()
    for look in (1, 2):
        (stacks / f"{look}-pystack.txt").write_text(WAITS["mlx#4100"].shows)
    alive = msgspec.structs.replace(RESULT, outcome=Outcome.UNFINISHED, known_issues=())
    attached = msgspec.structs.replace(
        run(alive), environment=msgspec.structs.replace(MACHINE, versions={})
    )
    (result,) = compared(attached, tmp_path).results
    assert [(one.id, one.version) for one in result.known_issues] == [("mlx#4100", None)]


def test_doctor_lists_what_concerns_the_installed_versions(capsys):
    document = {"known_issues": known.concerning(MACHINE)}
    ids = {one["id"] for one in document["known_issues"]}
    assert "mlx#3652" in ids
    assert not {"mlx#3214", "mlx#3165", "mlx#3849", "mlx#2724", "mlx-lm#1786"} & ids
    assert known.count(
        document
    ) == f"{len(ids)} of mlx 0.31.2; to list them: " + invocation.command("doctor", "--known")
    known.show(document)
    assert TITLE in capsys.readouterr().out
    assert known.count({"known_issues": []}) == "none of the versions here"


def test_nothing_concerns_a_version_that_is_not_known():
    other = msgspec.structs.replace(MACHINE, versions={"mlx": "0.31.2.dev1"})
    assert versions.concerning(catalog.load(), other) == []


def test_the_list_in_the_documentation_is_the_one_of_the_package():
    page = (ROOT / "docs" / "reference" / "known_issues.md").read_text()
    assert page == known_issues.page(), "make it anew: python benchmarks/known_issues.py --page"


def test_programs_run_on_a_release_that_has_the_issue_and_one_that_has_not():
    by_id = {one.id: one for one in catalog.load()}
    assert len(known_issue_programs.PROGRAMS) >= 12
    for program in known_issue_programs.PROGRAMS:
        compile(program.source, program.issue, "exec")
        assert versions.concerns(by_id[program.issue], program.bad), program.issue
        assert not versions.concerns(by_id[program.issue], program.good), program.issue
