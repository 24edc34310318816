"""Expected against got: rows and the confusion matrix, from results built in memory."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import controls as selftest
from harness.errors import UsageError
from harness.model import (
    Cause,
    Environment,
    Expected,
    Finding,
    Outcome,
    RunResult,
    ScenarioInfo,
    ScenarioResult,
    Settings,
    Severity,
)
from harness.scenario import load

ROOT = Path(__file__).parents[2]
DEADLOCK = Expected(outcome=(Outcome.HUNG,), cause=("deadlock",), step=3)
PROVEN = Cause(code="deadlock", summary="", proven=True)
STALLED = Cause(code="stalled", summary="")


def came(outcome, cause=None, **fields):
    fields = {"last_step": 3, **fields}
    return ScenarioResult(
        scenario="control",
        outcome=Outcome(outcome),
        steps_requested=10,
        steps_completed=3,
        wall_s=1.0,
        cause=cause,
        **fields,
    )


HERE = Environment(platform="Linux 6.1", machine="x86_64", python="3.11", cpu_count=2, memory=1)
UNPROVABLE = (
    msgspec.structs.replace(HERE, platform="macOS 15.1", machine="arm64"),
    msgspec.structs.replace(HERE, machine="riscv64"),
    msgspec.structs.replace(HERE, versions={"mlx-cuda-13": "0.32.4", "mlx-cuda-12": None}),
)


def run(*pairs, here=HERE):
    """A run of controls named by their number, from pairs of what is expected and what came."""
    named = [(f"c{index}", *pair) for index, pair in enumerate(pairs)]
    return RunResult(
        harness_version="0",
        started="",
        environment=here,
        settings=Settings(),
        scenarios=tuple(
            ScenarioInfo(name=name, path="", summary="", doc="", source="", verdict=expected)
            for name, expected, _ in named
        ),
        results=tuple(msgspec.structs.replace(got, scenario=name) for name, _, got in named),
    )


def row(expected, got, here=HERE):
    (only,) = selftest.rows(run((expected, got), here=here))
    return only


def finding(code, severity=Severity.WARNING, **evidence):
    return Finding(code=code, severity=severity, summary="told", evidence=evidence)


def test_the_verdict_it_has_to_get_is_right():
    got = row(DEADLOCK, came("hung", PROVEN))
    assert (got.expected, got.got, got.ok, got.wrong) == ("hung/deadlock",) * 2 + (True, ())


@pytest.mark.parametrize(
    ("got", "wrong"),
    [
        (came("completed"), "completed, not hung"),
        (came("hung", STALLED), "cause stalled, not deadlock"),
        (came("hung", msgspec.structs.replace(PROVEN, proven=False)), "cause deadlock, not"),
        (came("hung"), "cause None, not deadlock"),
        (came("hung", PROVEN, last_step=4), "step 4, not 3"),
        (came("hung", PROVEN, last_step=None), "step None, not 3"),
    ],
)
def test_whatever_else_comes_is_wrong_and_says_how(got, wrong):
    judged = row(DEADLOCK, got)
    assert judged.ok is False
    assert judged.wrong[0].startswith(wrong)


@pytest.mark.parametrize("here", UNPROVABLE)
def test_where_no_deadlock_can_be_proven_a_stall_is_all_that_can_be_had(here):
    assert row(DEADLOCK, came("hung", STALLED), here=here).ok is True
    assert row(DEADLOCK, came("completed"), here=here).ok is False


def test_a_crash_is_known_by_words_of_its_reason():
    expected = Expected(outcome=(Outcome.CRASHED,), cause=("SIGSEGV", "SIGBUS"))
    assert row(expected, came("crashed", reason="killed by SIGBUS in step 3")).ok is True
    assert row(expected, came("crashed", reason="killed by SIGABRT in step 3")).ok is False
    assert row(expected, came("crashed")).ok is False


def test_the_step_of_one_that_diverged_is_where_its_numbers_were_wrong_first():
    expected = Expected(outcome=(Outcome.DIVERGED,), step=1)

    def found(*findings):
        return row(expected, came("diverged", last_step=9, findings=findings))

    wrong = finding("loss_not_finite", Severity.ERROR, step=1)
    later = finding("gradients_not_finite", Severity.ERROR, step=2)
    other = finding("double_trace", step=0)
    nowhere = finding("parameters_not_finite", Severity.ERROR)
    assert found(later, nowhere, wrong, other).ok is True
    assert found(later, other).wrong == ("step 2, not 1",)
    assert found(nowhere).wrong == ("step None, not 1",)


def blames(code, *culprits):
    return Finding(
        code=code, severity=Severity.ERROR, summary="", evidence={"ranks": list(culprits)}
    )


@pytest.mark.parametrize(
    ("asked", "culprits", "wrong"),
    [
        ({"culprit": 1}, [1], ()),
        ({"culprit": 0}, [0], ()),
        ({"culprit": 0}, [1], ("names rank 1, not rank 0",)),
        ({"culprit": 1}, [1, 2], ("names ranks 1 and 2, not rank 1",)),
        ({"culprit": 1}, [], ("names no rank, not rank 1",)),
        ({"culprits": (2, 1)}, [1, 2], ()),
        ({"culprits": (1, 2)}, [2], ("names rank 2, not ranks 1 and 2",)),
    ],
)
def test_all_ranks_that_are_to_blame_must_be_named_and_no_other(asked, culprits, wrong):
    expected = Expected(outcome=(Outcome.CRASHED,), **asked)
    got = came("crashed", findings=(finding("slow_step"), blames("rank_died", *culprits)))
    assert row(expected, got).wrong == wrong


@pytest.mark.parametrize("outcome", ["hung", "crashed"])
def test_all_words_of_the_reason_must_be_there(outcome):
    expected = Expected(outcome=(Outcome.HUNG, Outcome.CRASHED), says=("SIGKILL", "step 3"))
    cause = Cause(code="waiting", summary="") if outcome == "hung" else None
    right = came(outcome, cause, reason="rank 1 was killed by SIGKILL in step 3")
    assert row(expected, right).ok is True
    wrong = row(expected, came(outcome, cause, reason="rank 1 is gone in step 3"))
    assert wrong.wrong == ("the reason does not contain 'SIGKILL': rank 1 is gone in step 3",)


def test_findings_that_must_be_there():
    expected = Expected(outcome=(Outcome.COMPLETED,), findings=("memory_growth",))
    growth = finding("memory_growth")
    assert row(expected, came("completed", findings=(growth,))).ok is True
    assert row(expected, came("completed")).wrong == ("no memory_growth",)


def test_a_healthy_run_may_carry_no_error_that_is_not_asked_for():
    healthy = Expected(outcome=(Outcome.COMPLETED,))
    unchanged = finding("parameters_unchanged", Severity.ERROR)
    assert row(healthy, came("completed", findings=(finding("loss_spike"),))).ok is True
    assert row(healthy, came("completed", findings=(unchanged,))).ok is False
    asked = msgspec.structs.replace(healthy, findings=("parameters_unchanged",))
    assert row(asked, came("completed", findings=(unchanged,))).ok is True


def test_what_was_skipped_is_neither_right_nor_wrong_and_nothing_alone_is_no_success():
    skipped = (DEADLOCK, came("skipped", reason="no g++ here"))
    right = (DEADLOCK, came("hung", PROVEN))
    rows = selftest.rows(run(skipped, right))
    assert [one.ok for one in rows] == [None, True]
    assert rows[0].wrong == ("no g++ here",)
    assert selftest.matrix(rows) == {"hung/deadlock": {"hung/deadlock": 1}}
    assert selftest.passed(rows)
    assert not selftest.passed(rows[:1])
    assert not selftest.passed(())


def test_a_scenario_without_a_verdict_has_no_row():
    assert selftest.rows(run((None, came("completed")))) == ()


def test_of_several_outcomes_each_is_right_and_counts_as_expected():
    either = Expected(outcome=(Outcome.HUNG, Outcome.CRASHED), cause=("waiting", "stalled", "lost"))
    waiting = Cause(code="waiting", summary="")
    rows = selftest.rows(
        run(
            (either, came("hung", STALLED)),
            (either, came("crashed", reason="the peer was lost")),
            (either, came("hung", waiting)),
            (either, came("completed")),
        ),
    )
    assert [one.ok for one in rows] == [True, True, True, False]
    assert selftest.matrix(rows) == {
        "hung/stalled": {"hung/stalled": 1},
        "crashed": {"crashed": 1},
        "hung/waiting": {"hung/waiting": 1, "completed": 1},
    }


EXPECTED = st.builds(
    Expected,
    outcome=st.sets(st.sampled_from(Outcome), min_size=1).map(tuple),
    cause=st.sets(st.sampled_from(("deadlock", "stalled", "waiting"))).map(tuple),
    step=st.none() | st.integers(0, 4),
)
GOT = st.builds(
    came,
    st.sampled_from(Outcome),
    st.none() | st.just(PROVEN) | st.just(STALLED),
    last_step=st.none() | st.integers(0, 4),
)


@given(pairs=st.lists(st.tuples(EXPECTED, GOT), max_size=8), here=st.sampled_from(UNPROVABLE))
def test_the_matrix_counts_every_judged_row_once(pairs, here):
    rows = selftest.rows(run(*pairs, here=here))
    assert len(rows) == len(pairs)
    matrix = selftest.matrix(rows)
    judged = [one for one in rows if one.ok is not None]
    assert sum(sum(line.values()) for line in matrix.values()) == len(judged)
    for one in rows:
        assert bool(one.wrong) == (one.ok is not True)
        assert matrix[one.expected][one.got] >= 1 if one.ok is not None else True
    if selftest.passed(rows):
        assert all(one.ok is not False for one in rows)


# --- the declarations ----------------------------------------------------------------------------


def declared(folder, verdict):
    path = folder / "mine.py"
    path.write_text(f"def make_step(training): ...\nVERDICT = {verdict}\n")
    return load.load(path).verdict


def test_a_verdict_is_read_without_running_the_file(tmp_path):
    verdict = declared(tmp_path, '{"outcome": "hung", "cause": "deadlock", "step": 3}')
    assert verdict == DEADLOCK
    several = declared(tmp_path, '{"outcome": ("hung", "crashed"), "findings": ["loss_flat"]}')
    assert several == Expected(outcome=(Outcome.HUNG, Outcome.CRASHED), findings=("loss_flat",))


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        ('"hung"', "VERDICT"),
        ("{}", "outcome"),
        ('{"outcome": "dead"}', "dead"),
        ('{"outcome": "hung", "stepp": 3}', "stepp"),
        ('{"outcome": "hung", "step": "three"}', "step"),
        ("dict(outcome=1)", "literal"),
    ],
)
def test_a_wrong_verdict_is_one_clear_line(tmp_path, verdict, told):
    with pytest.raises(UsageError) as caught:
        declared(tmp_path, verdict)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_control_declares_its_verdict_and_no_scenario_of_the_ladder_does():
    controls = load.controls()
    assert len(controls) >= 28
    assert [info.name for info in controls if info.verdict is None] == []
    assert [info.name for info in load.ladder() if info.verdict is not None] == []
    healthy = [info for info in controls if info.summary.startswith("Healthy: ")]
    assert {info.verdict.outcome for info in healthy} == {(Outcome.COMPLETED,)}


def test_the_documents_name_every_control_and_what_it_must_come_to():
    table = (ROOT / "docs" / "reference" / "controls.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", table, flags=re.M))
    controls = {info.name: info.verdict for info in load.controls()}
    assert rows.keys() == controls.keys()
    for name, verdict in controls.items():
        assert rows[name].startswith(verdict.outcome[0].value), name
        told = verdict.findings + (verdict.cause if Outcome.HUNG in verdict.outcome else ())
        assert set(re.findall(r"`(\w+)`", rows[name])) == set(told), name
        assert (f"step {verdict.step}" in rows[name]) == (verdict.step is not None), name
