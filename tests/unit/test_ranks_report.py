"""The ranks in the markdown: the odd one out first, equal ones together, short however many."""

from __future__ import annotations

import fakes
import pytest
import ranked_jobs as jobs
from hypothesis import given
from hypothesis import strategies as st
from test_report import check

from harness.detect.ranks import judge
from harness.model import Outcome, RankResult, RunResult, Standing
from harness.model.finding import error
from harness.report import markdown, runjson, stacks
from harness.report.input import ReportInput, groups
from harness.report.sections.ranks import ROWS, ranks
from harness.stacks.wait_rules import Category
from harness.stacks.wait_site import WaitSite


def run_of(results: tuple[RankResult, ...]) -> RunResult:
    return fakes.run(fakes.result("several", Outcome.HUNG, ranks=results))


def section(results):
    data = ReportInput(run_of(tuple(results)))
    return ranks(groups(data.run)[0], data)


def rows(text):
    """The cells of the table's rows."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def results_of(story):
    return judge(story.states, story.now, story.hung).ranks


def test_one_worker_has_no_table_of_ranks():
    assert section(()) == ""


def test_the_odd_one_out_comes_first_and_the_waiting_share_a_row():
    story = jobs.stuck(4, 1, 5, 3, "blocked")
    (bad,) = story.culprits
    for one in story.told:
        ours = one.rank == bad
        one.fields["wait"] = WaitSite(
            category=Category.QUEUE if ours else Category.COLLECTIVE,
            description="waits for a queue" if ours else "waits for another rank in a collective",
            function="get" if ours else "RingGroup::all_reduce",
        )
    text = section(results_of(story))
    first, second = rows(text)
    assert first[:4] == [f"**{bad}**", "**stalled**", "5", "data"]
    assert first[5] == "all_sum #\u200b4 (step 4)"  # which GitHub would link otherwise
    assert second[1:4] == ["waiting", "5", "eval"]
    sites = [line for line in text.splitlines() if line.startswith("- ")]
    assert sites[0] == f"- rank {bad}: `get` waits for a queue"
    assert sites[1].startswith("- ranks ")
    assert "`RingGroup::all_reduce`" in sites[1]


def test_stacks_are_shown_of_the_ranks_in_the_collective_and_of_those_not_in_it():
    waits = {"state": Standing.WAITING, "wait_site": "RingGroup::all_reduce", "wait": "waits"}
    every = [RankResult(rank=rank, reason="", **waits) for rank in range(3)]
    every[1] = RankResult(rank=1, state=Standing.STALLED, reason="", culprit=True, wait="reads")
    never = error("rank_silent", "", never_issued={"n": 118, "op": "all_sum", "ranks": [1]})
    result = fakes.result("several", Outcome.HUNG, ranks=tuple(every), findings=(never,))
    data = ReportInput(fakes.run(result))
    text = ranks(groups(data.run)[0], data)
    told = text[text.index("Ranks not") :].splitlines()
    assert [line for line in told if line] == [
        "Ranks not in all_sum #\u200b118:",
        "- rank 1: reads",
        "Ranks in it:",
        "- ranks 0 and 2: `RingGroup::all_reduce` waits",
    ]
    names = [column.name for column in stacks.columns(groups(data.run), data)]
    assert [name.partition(": ")[2] for name in names] == [
        "rank 1, not in all_sum #118",
        "ranks 0 and 2, in all_sum #118",
    ]
    # Without the number, and where all wait.
    assert "Ranks not in a collective:" in section(every)
    assert "By wait site:" in section([every[0], every[2]])


def test_a_rank_that_died_is_told_with_the_reason():
    story = jobs.gone(4, 2, 3, 11, "killed")
    text = section(results_of(story))
    assert rows(text)[0][0] == f"**{story.culprits[0]}**"
    assert "was killed by SIGKILL in step 3" in rows(text)[0][-1]


def test_hosts_have_a_column_where_they_are_known():
    story = jobs.stuck(8, 1, 2, 5, "cut off")
    head = section(results_of(story)).splitlines()[2]
    assert head.startswith("| rank | host | state |")


def test_a_thousand_ranks_fit():
    alike = [
        RankResult(rank=rank, state=Standing.WAITING, reason="waits", phase_s=1.0 * rank)
        for rank in range(1000)
    ]
    alike[421] = RankResult(rank=421, state=Standing.STALLED, reason="stays", culprit=True)
    table = rows(section(alike))
    assert [row[0] for row in table] == ["**421**", "0 to 420 and 422 to 999"]
    different = [
        RankResult(rank=rank, state=Standing.WORKING, reason="is at work", last_step=rank)
        for rank in range(1000)
    ]
    text = section(different)
    assert len(rows(text)) == ROWS
    assert f"{1000 - ROWS} ranks" in text


@pytest.mark.parametrize("field", ["reason", "host", "wait_site", "wait", "last_phase"])
@given(text=st.text(max_size=300))
def test_any_text_leaves_the_report_as_meant(field, text):
    one = RankResult(
        **{"rank": 0, "state": Standing.DEAD, "reason": "x", "culprit": True} | {field: text}
    )
    other = RankResult(rank=1, state=Standing.WAITING, reason="waits for rank 0")
    check(markdown.render(ReportInput(run_of((one, other)))))


def test_ranks_survive_run_json(tmp_path):
    run = run_of(results_of(jobs.gone(3, 1, 2, 1, "raises")))
    runjson.write(run, tmp_path)
    assert runjson.read(tmp_path).results[0].ranks == run.results[0].ranks
