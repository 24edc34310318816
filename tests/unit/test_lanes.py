"""Ranks side by side in time: a lane each, in the markdown and in report.html, however many."""

from __future__ import annotations

import fakes
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_html import check
from test_report import check as check_markdown

from harness.beats.file import BEATS, read_beats, read_ends
from harness.model import (
    BuiltBeat,
    CollectiveBeat,
    EndBeat,
    Outcome,
    RankResult,
    Standing,
    StartBeat,
    StepBeat,
)
from harness.report import html, markdown, stacks
from harness.report.input import ReportInput, groups, load_run
from harness.report.lanes import STEPS, lanes
from harness.report.sections.ranks import LANES, SLOTS, ranks

WALL = 1.7e9


def beats(rank=0, steps=3, ahead=WALL, enters=True, collectives=True, late=0.0):
    """Steps of a second, of which the evaluation is the second half; the next one may be entered.

    `ahead` is how far the clock of dates is ahead of the host's own.
    """
    t = 10.0 + late

    def entered(step):
        issued = CollectiveBeat(t=t + 0.25, n=step, step=step, op="all_sum", shape=(), dtype="f")
        return ([issued] if collectives else []) + [BuiltBeat(t=t + 0.5, step=step)]

    pid = 100 + rank
    start = StartBeat(t=9.0 + late, schema=1, pid=pid, wall=9.0 + ahead + late, scenario="x",
                      rank=rank)  # fmt: skip
    made = [start]
    for step in range(steps):
        made += entered(step)
        t += 1.0
        made.append(StepBeat(t=t, step=step, phases={"forward": 0.5, "eval": 0.5}))
    return made + (entered(steps) if enters else [])


def rank(number, state=Standing.WAITING, phase_s=8.0, **fields):
    usual = {"reason": "why", "last_step": 3, "last_phase": "eval", "collective": 3}
    return RankResult(rank=number, state=state, phase_s=phase_s, **(usual | fields))


CULPRIT = rank(1, Standing.STOPPED, phase_s=8.5, culprit=True, last_phase="forward", collective=2)


def job(*results, outcome=Outcome.HUNG, **fields):
    return fakes.result("several", outcome, ranks=results, detected_at_s=13.0, **fields)


def kinds(lane):
    return [(span.kind, span.begin, span.end) for span in lane.spans]


def test_each_rank_steps_enters_a_collective_and_waits():
    told = {0: beats(0), 1: beats(1, enters=False)}
    found = lanes(job(rank(0), CULPRIT), told.get, 8)
    odd, waiting = found.lanes
    assert (odd.name, waiting.name) == ("rank 1", "rank 0")
    assert (found.begin, found.end, found.verdict) == (0, 12.5, True)
    course = [("startup", 0, 1)]
    for step in (1, 2, 3):
        course += [("step", step, step + 0.5), ("collective", step + 0.5, step + 1)]
    assert kinds(odd) == [*course, ("still", 4, 12.5)]
    assert kinds(waiting) == [*course, ("step", 4, 4.5), ("waiting", 4.5, 12.5)]


def test_hosts_whose_clocks_began_at_other_times_share_one():
    there = [msgspec.structs.replace(one, t=one.t + 5000) for one in beats(1)]
    found = lanes(job(rank(0), rank(1)), {0: beats(0), 1: there}.get, 8)
    assert kinds(found.lanes[0]) == kinds(found.lanes[1])


def test_without_collectives_an_evaluation_is_part_of_the_step():
    found = lanes(job(rank(0)), lambda _: beats(collectives=False), 8)
    assert {kind for kind, *_ in kinds(found.lanes[0])} == {"startup", "step", "waiting"}


def test_the_dead_end_with_their_last_beat_and_the_finished_with_their_end():
    told = {
        0: [*beats(0, enters=False), EndBeat(t=13.5, steps=3, drain_s=0.0)],
        1: beats(1, enters=False, steps=1),
    }
    dead = rank(1, Standing.DEAD, phase_s=None, culprit=True)
    found = lanes(job(dead, rank(0, Standing.FINISHED)), told.get, 8)
    assert (found.lanes[0].died, found.lanes[0].spans[-1].end) == (2, 2)
    assert (found.lanes[1].died, found.lanes[1].spans[-1].end) == (None, 4.5)
    assert found.end == 4.5


def test_of_a_long_job_the_last_steps_are_shown():
    found = lanes(job(rank(0)), lambda _: beats(steps=500), 8)
    assert found.begin == 501 - STEPS
    assert found.lanes[0].spans[0].kind == "step"


def test_without_a_beat_there_are_no_lanes():
    assert lanes(job(rank(0)), lambda _: (), 8) is None
    never = rank(1, Standing.NEVER_STARTED, phase_s=None, last_step=None)
    found = lanes(job(rank(0), never), {0: beats(0), 1: []}.get, 8)
    assert [lane.spans == () for lane in found.lanes] == [True, False]


def test_the_ends_of_a_file_of_beats(tmp_path):
    written = beats(steps=400)
    (tmp_path / BEATS).write_bytes(b"".join(msgspec.json.encode(b) + b"\n" for b in written))
    assert read_ends(tmp_path, 1 << 20) == written
    found = read_ends(tmp_path, 5000)
    assert 10 < len(found) < 100
    assert found == [written[0], *written[1 - len(found) :]]
    assert read_ends(tmp_path / "nowhere", 5000) == []


def several(*results, told, **functions):
    run = fakes.run(job(*results))
    return ReportInput(run, rank_beats=lambda _, number: told(number), **functions)


def strips(data):
    text = ranks(groups(data.run)[0], data)
    return [line for line in text.splitlines() if line.startswith("rank")]


def test_the_markdown_has_a_line_for_each_rank():
    data = several(rank(0), CULPRIT, told={0: beats(0), 1: beats(1, enters=False)}.get)
    first, second = strips(data)
    assert len(first) == len(second) == len("rank 1  ") + SLOTS
    assert first.startswith("rank 1  .....")
    assert first.endswith("!" * 43)
    assert second.endswith("-" * 40)
    assert "12.5 s verdict\n" in markdown.render(data)


def test_a_thousand_ranks_stay_short_and_few_files_are_read():
    read = []

    def told(number):
        read.append(number)
        return beats(number, enters=number != 7)

    culprit = msgspec.structs.replace(CULPRIT, rank=7)
    results = [culprit if n == 7 else rank(n) for n in range(1000)]
    data = several(*results, told=told)
    assert [line.partition("  ")[0].rstrip() for line in strips(data)] == [
        "rank 7",
        "ranks 0 to 6 and 8 to 999",
    ]
    assert read == [7, 0]
    page = html.render(data)
    check(page)
    assert len(page) < 200_000
    # Each of them in a state of its own:
    results = [msgspec.structs.replace(one, last_step=one.rank) for one in results]
    data = several(*results, told=told)
    read.clear()
    text = markdown.render(data)
    check_markdown(text)
    assert len(read) == LANES
    assert f"\n{1000 - LANES} ranks more\n" in text
    page = html.render(data)
    check(page)
    assert len(page) < 1_500_000


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Standing)),
            st.none() | st.floats(0, 1e6),
            st.integers(0, 60),
            st.floats(0, 1e4),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_any_job_has_its_lanes(told):
    results = [rank(n, state, phase_s=s) for n, (state, s, *_) in enumerate(told)]
    data = several(
        *results,
        told=lambda n: beats(n, steps=told[n][2], late=told[n][3], enters=told[n][4]),
    )
    found = lanes(data.run.results[0], lambda n: data.rank_beats(None, n), 8)
    for lane in found.lanes if found else ():
        for span in lane.spans:
            assert found.begin <= span.begin <= span.end <= found.end + 1e-3
    assert all(len(line.partition("  ")[2]) <= SLOTS for line in strips(data))
    check(html.render(data))


PYSTACK = """Traceback for thread {pid} (python) [] (most recent call last):
    (Python) File "/project/train.py", line 3, in <module>
        {inner}()
    (Python) File "/project/train.py", line 9, in {inner}
        wait()
"""


FOLDERS = {"rank 1": "rank-1/", "rank 0": "rank-0/", "rank 2": "rank-2/"}
OLD = {"rank 1": "", "rank 0": "100/", "rank 2": "102/"}
"""Of runs of old: by their pids, and the first one's had no folder."""


@pytest.mark.parametrize("folders", [FOLDERS, OLD], ids=["rank-N", "pid"])
@pytest.mark.parametrize("sites", [True, False])
def test_the_stacks_of_ranks_are_grouped_by_where_they_wait(sites, folders):
    site = {"wait_site": "all_reduce", "wait": "waits for another rank"} if sites else {}
    results = [
        rank(n, **site)
        if n != 1
        else msgspec.structs.replace(CULPRIT, wait_site="stop" if sites else None)
        for n in range(3)
    ]
    hung = msgspec.structs.replace(
        fakes.hung("several", stack_tool="pystack"), ranks=tuple(results)
    )
    run = fakes.run(hung)
    texts = {
        f"{folders['rank 1']}1-pystack.txt": PYSTACK.format(pid=101, inner="stop"),
        f"{folders['rank 0']}1-pystack.txt": PYSTACK.format(pid=100, inner="all_reduce"),
        f"{folders['rank 2']}1-pystack.txt": PYSTACK.format(pid=102, inner="all_reduce"),
        "99/1-pystack.txt": PYSTACK.format(pid=99, inner="launch"),
    }
    data = ReportInput(
        run, stack_texts=lambda _: texts, rank_pids=lambda _: {100: 0, 101: 1, 102: 2}
    )
    found = stacks.columns(groups(run), data)
    outside, inside = (", not in a collective", ", in a collective") if sites else ("", "")
    assert [column.name for column in found] == [
        f"several: rank 1{outside}",
        f"several: ranks 0 and 2{inside}",
        "several: other processes",
    ]
    assert [column.culprit for column in found] == [True, False, False]
    (odd,), (waiting,), (launcher,) = (column.processes for column in found)
    assert odd.threads[0].title == "thread 101 (python), main"
    assert odd.threads[0].calls[0].function == "stop"
    assert waiting.title == f"rank 0, process 100, by stacks/{folders['rank 0']}1-pystack.txt"
    assert odd.title.startswith("rank 1")
    assert launcher.title == "process 99, by stacks/99/1-pystack.txt"
    assert launcher.threads[0].calls[0].function == "launch"
    check(html.render(data))


def test_a_rank_is_known_by_the_folder_of_its_stacks_alone():
    """Also where it has written no beat, so that nobody can say which process it is."""
    hung = msgspec.structs.replace(fakes.hung("several", stack_tool="pystack"), ranks=(rank(12),))
    texts = {"rank-12/1-pystack.txt": PYSTACK.format(pid=101, inner="stop")}
    run = fakes.run(hung)
    (column,) = stacks.columns(groups(run), ReportInput(run, stack_texts=lambda _: texts))
    (process,) = column.processes
    assert (column.name, process.rank) == ("several: rank 12", 12)
    assert process.title == "rank 12, by stacks/rank-12/1-pystack.txt"
    assert process.threads[0].title == "thread 101 (python), main"


def test_a_run_on_disk_knows_its_ranks(tmp_path):
    fakes.write(fakes.run(job(rank(0), rank(1))), tmp_path)
    for number in (0, 1):
        folder = tmp_path / "several" / "0" / f"rank-{number}"
        folder.mkdir(parents=True)
        lines = [msgspec.json.encode(beat) + b"\n" for beat in beats(number)]
        (folder / BEATS).write_bytes(b"".join(lines))
    data = load_run(tmp_path)
    (result,) = data.run.results
    assert data.rank_pids(result) == {100: 0, 101: 1}
    assert list(data.rank_beats(result, 1)) == list(read_beats(folder))
