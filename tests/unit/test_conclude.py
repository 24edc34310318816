"""A next run is suggested only where it can help."""

from __future__ import annotations

from pathlib import Path

import fakes
import msgspec
import pytest

from harness.model import Cause, Outcome, Settings
from harness.scenario import load
from harness.session.conclude import conclude, needs_none


def concluded(*results, **fields):
    infos = load.find(dict.fromkeys(result.scenario for result in results))
    run = fakes.run(*results, settings=Settings(), scenarios=infos, **fields)
    return conclude(run, Path("reports/x")).diagnosis


def crashed(reason, **fields):
    fields = {"exit_code": 1, **fields}
    return fakes.result("baseline_update", Outcome.CRASHED, reason=reason, **fields)


PROVEN = fakes.hung("baseline_update")
UNPROVEN = msgspec.structs.replace(
    PROVEN, cause=msgspec.structs.replace(PROVEN.cause, code="stalled", proven=False)
)
RAISED = crashed("ValueError: no data (in step 1, phase data)")


@pytest.mark.parametrize(
    ("results", "fields", "why"),
    [
        ((PROVEN,), {}, "the deadlock is proven, and its place is known"),
        ((RAISED,), {}, "the exception says where it was raised"),
        ((fakes.result("sgd_step"), RAISED), {}, "the exception says where it was raised"),
        ((UNPROVEN,), {"interrupted": True}, None),
        ((fakes.result("baseline_update", Outcome.SKIPPED),), {}, "every run was skipped"),
    ],
)
def test_no_run_is_suggested_where_none_would_help(results, fields, why):
    found = concluded(*results, **fields)
    assert (found.next_experiment, found.no_experiment) == (None, why)


@pytest.mark.parametrize(
    "result",
    [
        UNPROVEN,
        crashed("killed by SIGSEGV in step 3", exit_code=None, signal="SIGSEGV"),
        crashed("exited with code 3 in step 1"),
        fakes.result("baseline_update"),
    ],
)
def test_a_run_is_suggested_where_one_may_help(result):
    assert concluded(result).next_experiment is not None
    assert needs_none(fakes.run(result)) is None


def test_one_run_that_is_not_explained_is_enough():
    assert needs_none(fakes.run(PROVEN, msgspec.structs.replace(UNPROVEN, repeat=1))) is None


def chained(*waits):
    chain = [{"name": "main", "wait": wait, "detail": "waits", "place": "a.py:3"} for wait in waits]
    cause = Cause(code="waiting", summary="waits", evidence={"chain": chain})
    return fakes.result(outcome=Outcome.HUNG, cause=cause)


@pytest.mark.parametrize(
    ("result", "helps"),
    [
        (chained("pipe", "signal"), False),
        (chained("spin"), False),
        (chained("stream_evaluation", "collective"), True),
        (chained("child", "stream_evaluation"), True),
        (fakes.result(findings=(fakes.finding("parameters_unchanged"),)), False),
        (fakes.result(findings=(fakes.finding("memory_growth"),)), True),
        (
            fakes.result(
                outcome=Outcome.DIVERGED,
                findings=(fakes.finding("loss_not_finite", evidence={"place": "a.py:3"}),),
            ),
            False,
        ),
        (
            fakes.result(outcome=Outcome.DIVERGED, findings=(fakes.finding("loss_not_finite"),)),
            True,
        ),
    ],
)
def test_a_run_is_suggested_only_where_it_can_say_more(result, helps):
    assert (needs_none(fakes.run(result)) is None) is helps
