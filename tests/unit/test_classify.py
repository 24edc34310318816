"""Outcomes, their order, and what a result carries."""

from __future__ import annotations

import itertools
import math
from array import array
from dataclasses import replace

import msgspec
import pytest
from records import COMPLETED, INFO, P, expecting, failure, make, settings

from harness.analysis.classify import classify, metrics
from harness.beats.record import Record
from harness.model import Cause, Command, Ending, MlxBeat, Outcome, Position, Severity, Tensors

NAN = math.nan
STALLED = Cause(code="stalled", summary="no progress in phase eval of step 1 for 12.0 s")
UNCHANGED = Tensors(total=4, changed=0)


def judge(record, ending=COMPLETED, info=INFO, steps=10):
    return classify(record, ending, info, settings(steps))


def ended(**fields):
    return Ending(wall_s=10.0, **fields)


def test_a_run_that_ends_well_is_completed():
    result = judge(make())
    assert result.outcome is Outcome.COMPLETED
    assert result.reason is None
    assert (result.steps_completed, result.last_step) == (10, 9)


@pytest.mark.parametrize(("total", "completed"), [(None, 21), (20, 20), (30, 21)])
def test_a_bar_from_1_whose_losses_count_from_0_has_no_step_more_than_its_total(total, completed):
    at = array("d", [1.0, 2.0])
    record = Record(
        step=array("q", [19, 20]), t=at, seconds=at, loss_step=array("q", [0, 10]), loss=at
    )
    result = classify(record, ended(exit_code=0, steps=total), INFO, None)
    assert result.steps_completed == completed


def test_a_scenario_that_cannot_run_here_is_skipped():
    error = failure("MLX has no gpu here", skip=True)
    result = judge(make(steps=0, end=False, error=error), ended(exit_code=1))
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "MLX has no gpu here")


def test_an_exception_is_a_crash_with_its_first_line_and_its_place():
    error = failure("\n[eval] out of memory\nand more")
    place = Position(3, "eval", 3.0)
    result = judge(make(steps=3, end=False, error=error), ended(exit_code=1, position=place))
    assert result.outcome is Outcome.CRASHED
    assert result.reason == "ValueError: [eval] out of memory (in step 3, phase eval)"


def test_an_endless_message_is_cut():
    result = judge(make(end=False, error=failure("x" * 100_000)))
    assert len(result.reason) <= 300


@pytest.mark.parametrize(
    ("record", "ending", "reason"),
    [
        (
            make(steps=1, end=False),
            ended(signal="SIGSEGV", position=Position(1, "eval", 1.0)),
            "killed by SIGSEGV in step 1, phase eval",
        ),
        (
            make(),
            ended(signal="SIGABRT", position=Position(10, "exit", 9.0)),
            "killed by SIGABRT after the last step, phase exit",
        ),
        (
            make(steps=0, end=False),
            ended(exit_code=0, position=Position(-1, "import", 0.0)),
            "exited with code 0 during start-up, phase import, before all steps ended",
        ),
        (make(), ended(exit_code=3), "exited with code 3 in step 9, phase eval"),
        (Record(), ended(exit_code=1), "exited with code 1 during start-up"),
        (Record(), ended(), "the worker process did not start"),
        (make(steps=7), COMPLETED, "returned from 7 of 10 steps"),
    ],
)
def test_every_other_bad_end_is_a_crash(record, ending, reason):
    result = judge(record, ending)
    assert (result.outcome, result.reason) == (Outcome.CRASHED, reason)


def test_a_confirmed_hang_is_hung_and_keeps_its_cause():
    ending = ended(signal="SIGTERM", cause=STALLED, stalled_at_s=1.0, detected_at_s=13.0)
    result = judge(make(steps=1, end=False), ending)
    assert result.outcome is Outcome.HUNG
    assert result.cause == STALLED
    assert (result.stalled_at_s, result.detected_at_s) == (1.0, 13.0)


def test_a_spent_budget_is_unfinished_and_says_what_took_so_long():
    place = Position(1, "eval", 2.0)
    ending = Ending(wall_s=60.0, signal="SIGTERM", over_budget=True, position=place)
    result = judge(make(steps=1, end=False), ending)
    assert result.outcome is Outcome.UNFINISHED
    assert result.reason == ("stopped by --budget in step 1, phase eval (58 s); a step took 20 ms")


def test_an_interrupted_run_is_unfinished():
    result = judge(make(steps=4, end=False), ended(signal="SIGTERM", interrupted=True))
    assert result.outcome is Outcome.UNFINISHED
    assert result.reason.startswith("interrupted in step 3")


def test_what_ended_a_run_and_what_it_was_at_are_in_the_reason():
    limit = {"ended_by": "ended by pytest-timeout after 3 s", "doing": "it sleeps, from a.py:2"}
    result = judge(make(steps=4, end=False), ended(signal="SIGKILL", interrupted=True, **limit))
    assert result.reason.startswith("ended by pytest-timeout after 3 s in step 3, phase ")
    assert result.reason.endswith("; it sleeps, from a.py:2")
    spent = ended(signal="SIGTERM", over_budget=True, doing="it is running (f), from spin.py:2")
    reason = judge(make(steps=4, end=False), spent).reason
    assert reason.endswith("; it is running (f), from spin.py:2")


@pytest.mark.parametrize(
    "record",
    [
        make(losses=[5.0] * 6 + [NAN] * 4),
        make(losses=[5.0] * 6 + [math.inf] + [5.0] * 3),
        make(norms=[1.0, NAN]),
        make(not_finite=("wq",)),
        make(losses=[5.0 * 2**step for step in range(10)]),
    ],
    ids=["nan", "inf once", "gradients", "parameters", "explosion"],
)
def test_numbers_that_went_wrong_are_diverged(record):
    result = judge(record)
    assert result.outcome is Outcome.DIVERGED
    assert result.reason == result.findings[0].summary


def test_gradients_that_recover_are_not_diverged():
    assert judge(make(norms=[1.0, NAN, 1.0])).outcome is Outcome.COMPLETED


def test_the_order_of_the_outcomes():
    nan = [NAN] * 3
    diverged = make(steps=3, losses=nan, end=False)
    budget = ended(signal="SIGTERM", over_budget=True)
    assert judge(diverged, budget).outcome is Outcome.DIVERGED
    assert judge(diverged, ended(signal="SIGSEGV")).outcome is Outcome.CRASHED
    hung = judge(diverged, ended(signal="SIGTERM", cause=STALLED))
    assert hung.outcome is Outcome.HUNG
    assert "loss_not_finite" in {finding.code for finding in hung.findings}
    # It failed first, and then did not go away.
    failed = make(steps=3, end=False, error=failure())
    assert judge(failed, ended(signal="SIGKILL", cause=STALLED)).outcome is Outcome.CRASHED
    skipped = make(steps=0, end=False, error=failure("no gpu", skip=True))
    assert judge(skipped, ended(signal="SIGTERM", cause=STALLED)).outcome is Outcome.SKIPPED


@pytest.mark.parametrize(
    ("end", "error", "cause", "over", "signal"),
    list(
        itertools.product(
            [False, True], [None, failure()], [None, STALLED], [False, True], [None, "X"]
        )
    ),
)
def test_only_a_run_that_nothing_is_wrong_with_is_completed(end, error, cause, over, signal):
    ending = Ending(
        wall_s=1.0,
        exit_code=None if signal else 0,
        signal=signal,
        cause=cause,
        over_budget=over,
    )
    outcome = judge(make(end=end, error=error), ending).outcome
    assert (outcome is Outcome.COMPLETED) == (end and not (error or cause or over or signal))


def test_lost_beats_do_not_turn_a_completed_run_into_a_crash():
    result = judge(make(steps=7, lost=6, fault="No space left on device"), COMPLETED, steps=7)
    assert result.outcome is Outcome.COMPLETED
    short = make(steps=7)
    whole = replace(short, end=msgspec.structs.replace(short.end, steps=10, lost=3))
    assert judge(whole).outcome is Outcome.COMPLETED
    assert judge(whole).steps_completed == 10


# --- what a scenario expects ---------------------------------------------------------------------


def test_an_expected_finding_is_shown_as_expected():
    result = judge(make(trainable=UNCHANGED), info=expecting("parameters_unchanged"))
    assert [(f.code, f.expected) for f in result.findings] == [("parameters_unchanged", True)]
    assert not judge(make(trainable=UNCHANGED)).findings[0].expected


def test_that_a_command_traces_twice_is_ordinary():
    """What traces there is mlx-lm's own step, of which each training does so."""
    twice = make(traces=[1] + [2] * 9, compile_works=True)
    command = msgspec.structs.replace(expecting(), command=Command(argv=("mlx_lm.lora",)))
    (ours,), (theirs,) = judge(twice).findings, judge(twice, info=command).findings
    assert (ours.code, ours.severity) == (theirs.code, Severity.WARNING)
    assert theirs.severity is Severity.INFO


def test_an_expectation_that_is_missed_is_a_finding():
    result = judge(make(), info=expecting("double_trace"))
    assert [f.code for f in result.findings] == ["expectation_missed"]
    assert result.findings[0].evidence == {"code": "double_trace"}


def test_an_expectation_is_not_missed_where_it_could_not_show():
    info = expecting("double_trace")
    assert not judge(make(steps=2), info=info, steps=2).findings
    assert not judge(make(steps=4, end=False), ended(signal="SIGSEGV"), info).findings


# --- metrics -------------------------------------------------------------------------------------


def test_metrics_of_an_ordinary_run():
    ending = Ending(wall_s=1.0, exit_code=0, rss_peak=7)
    record = make(active=[P] + [3 * P] * 9, seconds=[8.0] + [0.02] * 9, nodes=30, traces=[1] * 10)
    found = metrics(record, ending)
    assert (found.step_s.first, found.step_s.max) == (8.0, 8.0)
    assert found.step_s.median == pytest.approx(0.02)
    assert found.phase_s["eval"] == pytest.approx(0.018)
    assert (found.loss.first, found.loss.finite) == (5.0, True)
    assert found.loss.last == found.loss.min == pytest.approx(4.1)
    assert (found.memory.active_over_p, found.memory.peak_over_p) == (3.0, 3.0)
    assert (found.memory.parameter_bytes, found.memory.rss_peak) == (P, 7)
    assert (found.traces, found.graph_nodes_last) == (1, 30)
    assert found.parameters_changed is True


def test_metrics_of_nothing():
    found = metrics(Record(), COMPLETED)
    assert found.step_s is found.loss is found.traces is found.parameters_changed is None
    assert found.memory.active_peak is found.memory.active_over_p is None


def test_losses_that_are_not_finite_are_left_out_of_the_range():
    found = metrics(make(steps=3, losses=[2.0, NAN, 1.0]), COMPLETED).loss
    assert (found.min, found.max, found.finite) == (1.0, 2.0, False)
    none = metrics(make(steps=1, losses=[NAN]), COMPLETED).loss
    assert none.min is none.max is None


def test_a_run_that_compiled_nothing_has_no_trace_count():
    assert metrics(make(), COMPLETED).traces is None


def test_a_long_run_is_judged_through_bounded_samples():
    """A hundred thousand steps: sorting every column and pairing every point would take minutes."""
    steps = 100_000
    ones = array("q", [1]) * steps
    index = array("q", range(steps))
    record = Record(
        model=make().model,
        end=make().end,
        step=index,
        t=array("d", range(steps)),
        seconds=array("d", [0.02]) * steps,
        active=array("q", range(3 * P, 3 * P + steps)),
        cache=ones,
        peak=ones,
        traces=ones,
        calls=ones,
        shapes=ones,
        inputs=ones,
        phases={"eval": array("d", [0.02]) * steps},
        loss_step=index,
        loss=array("d", [5.0 - i / steps + 0.1 * math.sin(i) for i in range(steps)]),
    )
    result = judge(record, steps=steps)
    assert (result.outcome, result.findings) == (Outcome.COMPLETED, ())


def codes_of(ending):
    return {finding.code for finding in judge(make(), ending).findings}


def test_a_kill_under_an_address_space_limit_says_so():
    assert "memory_limited" in codes_of(ended(signal="SIGSEGV", address_space=1 << 30))
    assert "memory_limited" not in codes_of(ended(signal="SIGSEGV"))
    assert "memory_limited" not in codes_of(ended(exit_code=1, address_space=1 << 30))


def test_the_out_of_memory_killer_is_named():
    assert "oom_killer" in codes_of(ended(signal="SIGKILL", oom_kills=1))
    assert "oom_killer" not in codes_of(ended(signal="SIGKILL"))
    assert "oom_killer" not in codes_of(ended(exit_code=0, oom_kills=1))


@pytest.mark.parametrize(
    ("device", "told", "machine", "found"),
    [
        ("cpu (AMD EPYC)", None, 2 * P, True),
        ("gpu (Apple M3 Max)", 2 * P, 100 * P, True),
        # Of a GPU nobody told how much it has: the machine's memory is another.
        ("gpu (NVIDIA H200)", None, 2 * P, False),
        (None, None, 2 * P, True),
        (None, None, None, False),
    ],
)
def test_a_peak_is_compared_with_the_memory_of_its_device(device, told, machine, found):
    mlx = device and MlxBeat(t=0.0, version="0.32.4", device=device, memory=told)
    record = replace(make(active=3 * P), mlx=mlx)
    result = judge(record, Ending(wall_s=10.0, exit_code=0, usable_memory=machine))
    assert ("peak_too_large" in {one.code for one in result.findings}) is found
