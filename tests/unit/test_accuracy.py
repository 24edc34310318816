"""The page of accuracy: what its script makes of the committed results, and of known ones."""

from __future__ import annotations

import json

import pytest

from benchmarks import accuracy, controls, detection
from benchmarks.accuracy_tables import interval, plain
from harness.stats import wilson

HERE = {
    "platform": "Linux 6.1",
    "machine": "x86_64",
    "cpu_count": 4,
    "python": "3.12.1",
    "versions": {"mlx": "0.32.4", "mlx-cuda": None},
    "device": None,
}


def program(name, truth, kind, **counts):
    given = {
        "runs": 4, "right": 4, "ended": 0, "proven": 0, "wrongly_proven": 0, "ends_named": 0,
        "ends_right": 0, "wrong": [], "wanted": {"hang": "hung"}.get(truth, "completed"),
    }  # fmt: skip
    return {"program": name, "truth": truth, "kind": kind, **given, **counts}


SITUATIONS = {
    "patience": None,
    "budget": None,
    "spinners": 0,
    "jobs": 6,
    "programs": [
        program("sleeps", "healthy", "clock"),
        program("asks", "healthy", "person", right=3, ended=1, wrong=["hung/waiting: *a* | b"]),
        program("locks", "hang", "cycle", proven=4, ends_named=4, ends_right=3),
    ],
    "skipped": {"mounts": "no FUSE"},
}


@pytest.fixture
def made(tmp_path):
    """The page made of one result."""

    def make(benchmark, result, **more):
        document = {"benchmark": benchmark, "result": result, "environment": HERE, **more}
        (tmp_path / f"{benchmark}.json").write_text(json.dumps(document))
        return accuracy.page(tmp_path)

    return make


def test_the_page_is_what_the_script_makes_of_the_committed_results():
    assert accuracy.PAGE.read_text(encoding="utf-8") == accuracy.page(), (
        "run: python benchmarks/accuracy.py"
    )


def test_each_committed_result_of_labelled_runs_has_its_machine_and_commit_on_the_page():
    page = accuracy.page()
    found = [one for ones in accuracy.documents(accuracy.RESULTS).values() for one in ones]
    assert len(found) >= 5
    for document in found:
        assert f"`benchmarks/results/{document['file']}`" in page
        assert f"commit {document['commit']} of {document['date']}" in page


def test_situations_are_counted_by_truth_and_by_the_end_of_the_chain(made):
    page = made("situations", SITUATIONS, commit="abc1234", date="2026-11-29")
    told = "default patience, 6 runs at once"
    assert (
        f"| Situations, healthy ({told}) | right outcome | 7 of 8 | 53 to 98 % | abc1234 |" in page
    )
    assert f"| Situations, healthy ({told}) | ended by mistake | 1 of 8 | 2 to 47 % |" in page
    row = "| healthy | person | 1 | 3 of 4 | 30 to 95 % | 1 of 4 | 0 | – | – |"
    assert row in page
    assert "| hangs | cycle | 1 | 4 of 4 | 51 to 100 % | – | 0 | 3 of 4 | 30 to 95 % |" in page
    assert "| healthy | all | 2 | 7 of 8 |" in page
    assert r"- `asks`: completed is right, not hung/waiting: \*a\* \| b" in page
    assert "- `mounts`: no FUSE" in page
    assert "Linux 6.1, x86_64, 4 CPUs; Python 3.12.1, mlx 0.32.4; commit abc1234 of 2026" in page


def test_a_line_says_where_the_programs_ran(made):
    gpu = {**SITUATIONS["programs"][0], "kind": "gpu_idle"}
    alone = {**SITUATIONS, "jobs": 1, "programs": [gpu]}
    page = made("situations", alone, commit="abc1234")
    assert "(on a GPU, default patience, one run at a time)" in page
    blind = {**SITUATIONS, "mac": True, "refused": ["ids", "files"]}
    page = made("situations", blind, commit="abc1234")
    where = "on the simulated Mac with ids, files refused"
    assert f"({where}, default patience, 6 runs at once)" in page


def test_what_no_result_covers_is_said(made):
    page = made("situations", SITUATIONS, commit="abc1234").partition("## Not measured yet")[2]
    assert "- Controls: no result of `benchmarks/controls.py` is in the repository yet." in page
    assert "Situations without patience" in page
    assert "gpu works" in page
    assert "- Situations:" not in page
    busy = {**SITUATIONS, "patience": "0", "spinners": 4, "budget": "14"}
    whole, _, page = made("situations", busy, commit="abc1234").partition("## Not measured yet")
    assert "--patience 0, each cut short after 14 s, 4 spinning processes beside it" in whole
    assert "a budget cuts short" not in page
    assert "Situations without patience" not in page
    assert "busy machine" not in page


def test_a_skipped_control_counts_as_neither_right_nor_wrong(made):
    rows = [
        {"control": "a", "expected": "hung/waiting", "runs": 3, "right": 2,
         "got": {"hung/waiting": 2, "hung/stalled": 1}, "wrong": ["cause stalled, not waiting"]},
        {"control": "b", "expected": "completed", "runs": 3, "right": 0, "got": {"skipped": 3},
         "wrong": ["no GPU"]},
    ]  # fmt: skip
    page = made("selftest", {"controls": rows}, commit="abc1234")
    assert "| Controls | right verdict | 2 of 3 |" in page
    assert "| hung/waiting | 1 | 3 of 3 | 2 of 3 | – | 2 of 3 | 21 to 94 % |" in page
    assert "| completed | 1 | – | – | – | – | – |" in page
    assert "- `a`: cause stalled, not waiting" in page
    assert "Not run on this machine:\n\n- `b`: no GPU" in page


def test_a_false_claim_of_the_diagnosis_is_counted_apart_from_a_fault_that_is_not_named(made):
    kinds = [
        {"kind": "leak", "cases": 10, "acted": 8, "named": 6, "all_named": 6, "false": 1},
        {"kind": "no fault", "cases": 5, "acted": 0, "named": 0, "all_named": 0, "false": 0},
    ]
    page = made("simulated_diagnosis", {"kinds": kinds}, commit="abc1234")
    assert "| `leak` | 10 | 6 of 8 | 41 to 93 % | 6 of 8 | 1 of 10 | 2 to 40 % |" in page
    assert "| no fault | 5 | – | – | – | 0 of 5 | 0 to 43 % |" in page
    assert "| all | 15 | 6 of 8 |" in page


CELL = {"kind": "sleeps", "disturbance": "none", "runs": 4, "completed": 2,
        "others": ["hung: nothing has moved", "crashed: exit code 1"]}  # fmt: skip


def test_a_healthy_run_that_was_called_hung_is_counted(made):
    page = made("false_hangs", {"cells": [CELL]}, commit="abc1234", note="with haste")
    assert "| `sleeps` | 4 | – | 1 of 4 | 5 to 70 % | 1 |" in page
    assert "| Healthy runs made hard (with haste) | called hung | 1 of 4 |" in page


def test_a_wait_that_is_longer_than_the_patience_is_counted_apart(made):
    counts = {"runs": 3, "ended": 0, "excused": 1, "excused_and_ended": 1}
    counts |= {"doubted": 1, "of_runs_that_may_not_be": 2}
    asked = {"patience_s": 5.0, "event_s": 12.0}
    cells = [{**CELL, "doubted": 2}, {**CELL, "kind": "never ran", "runs": 0, "completed": 0}]
    page = made("false_hangs", {"cells": cells, **counts, **asked}, commit="abc1234")
    title = "Healthy runs made hard (--patience 5, stalls of up to 12 s)"
    assert f"| {title} | called hung | 0 of 3 | 0 to 56 % | abc1234 |" in page
    assert f"| {title} | called hung after a wait that was longer" in page
    assert f"| {title} | doubted for a while, of those that work, sleep" in page
    assert "| `sleeps` | 4 | 2 of 4 | 1 of 4 |" in page
    assert "never ran" not in page


RUN = {"step_p99_s": 0.01, "proven": True, "verdict_s": 1.2}
LATE = {"step_p99_s": 0.01, "proven": False, "verdict_s": 9.0, "doubt_s": 8.0, "end": "spins"}


def test_the_delays_of_proofs_and_of_doubts_are_counted_apart(made):
    def cell(kind, *runs):
        return detection.summary(detection.Cell(kind, 0.1, len(runs), 2.0, 0), runs)

    stacks = {"stacks_s": 0.1, "cause": "stalled"}
    runs = [{**stacks, **one} for one in (RUN, LATE, {**LATE, "doubt_s": 10.5})]
    page = made(
        "detection", [cell("two_locks", *runs), cell("native_spin", *runs[1:])], commit="abc1234"
    )
    assert "| Delays, deadlocks | proven within 1.5 s | 1 of 3 |" in page
    assert "| Delays, other stalls | doubted in time | 1 of 2 |" in page
    assert "| `two_locks` | 0.1 s | 1 of 3 | 9.0 s / 9.0 s | 1 of 3 |" in page
    assert "| `native_spin` | 0.1 s | 9.2 s / 10.4 s | 10.0 s | 1 of 2 |" in page


def test_a_result_of_before_the_delays_were_counted_is_left_out(made):
    page = made("detection", [{"kind": "two_locks", "runs": 3}], commit="abc1234")
    assert "Delays: no result of `benchmarks/detection.py` is in the repository yet." in page


def test_the_words_about_programs_that_hang_are_counted(made):
    one = {"stall": "locks", "runs": 2, "said": 2, "in_time": 1, "limit_s": 10.0, "right_ends": 2,
           "said_s": {"median": 0.9, "p95": 8.25}}  # fmt: skip
    never = {**one, "stall": "spins", "said": 0, "in_time": 0, "right_ends": 0, "said_s": {}}
    page = made("doubt", [one, never], commit="abc1234")
    title = "Stalls and situations that hang"
    assert f"| {title} | doubted or proven in time | 1 of 4 |" in page
    assert f"| {title} | with the right end | 2 of 2 |" in page
    assert "| `locks` | 2 | 0.9 s / 8.2 s | 10.0 s | 1 of 2 | 2 of 2 |" in page
    assert "| `spins` | 2 | – | 10.0 s | 0 of 2 | – |" in page


def test_an_interval_is_wilsons():
    low, high = wilson(19, 20)
    assert interval(19, 20) == f"{100 * low:.0f} to {100 * high:.0f} %"
    assert interval(0, 400) == "0 to 1 %"
    assert interval(400, 400) == "99 to 100 %"


def test_foreign_text_is_no_markdown():
    assert plain("a\n| <b> _c_ [d](e) `f`") == r"a \| \<b\> \_c\_ \[d\](e) \`f\`"


def test_findings_that_a_control_declares_are_counted_over_its_runs():
    document = {
        "controls": [
            {"control": "a", "expected": "diverged", "got": "diverged", "ok": True, "wrong": []},
            {"control": "a", "expected": "diverged", "got": "diverged", "ok": False,
             "wrong": ["no nan"]},
            {"control": "b", "expected": "crashed", "got": "skipped", "ok": None,
             "wrong": ["no GPU"]},
        ],
        "run": {
            "scenarios": [
                {"name": "a", "verdict": {"findings": ["nan", "spike"]}},
                {"name": "b", "verdict": {"outcome": ["crashed"]}},
            ],
            "results": [
                {"scenario": "a", "outcome": "diverged",
                 "findings": [{"code": "nan"}, {"code": "spike"}, {"code": "other"}]},
                {"scenario": "a", "outcome": "diverged", "findings": [{"code": "spike"}]},
                {"scenario": "b", "outcome": "skipped", "findings": []},
            ],
        },
    }  # fmt: skip
    first, second = controls.summaries(document)
    assert (first["right"], first["findings_declared"], first["findings_found"]) == (1, 4, 3)
    assert (second["got"], second["findings_declared"]) == ({"skipped": 1}, 0)
