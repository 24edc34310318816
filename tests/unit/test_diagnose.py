"""The rules of the diagnosis, one by one, on results made by hand."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import cli
from harness.analysis.diagnosis.diagnose import LADDER, decided, diagnose, order
from harness.analysis.diagnosis.hypotheses import HYPOTHESES, TABLE, TWINS, Effect
from harness.cli import options
from harness.model import (
    Bound,
    Cause,
    Environment,
    Finding,
    LossSummary,
    MemorySummary,
    Metrics,
    Outcome,
    ScenarioResult,
    Settings,
    Severity,
    StepTimes,
    Support,
)
from harness.model.finding import error, info, warning
from harness.scenario import load
from harness.session import plan

GIB = 2**30
SETTINGS = Settings()
SMALLER = ("sgd_step", "lora_step", "half_precision", "tiny_model")


def machine(memory=96 * GIB):
    return Environment(
        platform="Linux", machine="x86_64", python="3.11", cpu_count=8, memory=memory
    )


def done(name, *findings, p=GIB, peak=3.0, times=(0.1, 0.1, 0.1), repeat=0, **metrics):
    first, second, median = times
    return ScenarioResult(
        scenario=name,
        outcome=Outcome.COMPLETED,
        steps_requested=10,
        steps_completed=10,
        wall_s=10 * median,
        repeat=repeat,
        last_step=9,
        last_phase="exit",
        exit_code=0,
        findings=findings,
        metrics=Metrics(
            step_s=StepTimes(first=first, second=second, median=median, p99=median, max=median),
            memory=MemorySummary(parameter_bytes=p, peak_over_p=peak),
            **metrics,
        ),
    )


def stopped(name, outcome, step=1, phase="eval", p=GIB, findings=(), repeat=0, **fields):
    return ScenarioResult(
        scenario=name,
        outcome=outcome,
        steps_requested=10,
        steps_completed=step,
        wall_s=60.0,
        repeat=repeat,
        last_step=step,
        last_phase=phase,
        findings=findings,
        metrics=Metrics(memory=MemorySummary(parameter_bytes=p)),
        **fields,
    )


def hung(name, category="stream_evaluation", code="stalled", **fields):
    evidence = {"wait_category": category} if category else {}
    cause = Cause(code=code, summary="hangs", proven=code == "deadlock", evidence=evidence)
    return stopped(name, Outcome.HUNG, cause=cause, **fields)


def killed(name, signal="SIGSEGV", **fields):
    return stopped(name, Outcome.CRASHED, signal=signal, reason=f"killed by {signal}", **fields)


def raised(name, reason, **fields):
    return stopped(name, Outcome.CRASHED, exit_code=1, reason=reason, **fields)


def said(results, memory=96 * GIB, settings=SETTINGS):
    found = diagnose(results, settings, machine(memory))
    return {h.id: h for h in found.hypotheses}


def supported(results, **around):
    return {id for id, h in said(results, **around).items() if h.verdict is Support.SUPPORTED}


def ladder(make, others=done, names=LADDER):
    """Every scenario: `make(name)`, or `others(name)` where that gives None."""
    return [make(name) or others(name) for name in names]


def hangs_everywhere(*but, **how):
    return lambda name: None if name in but else hung(name, **how)


GROWTH = warning(
    "memory_growth",
    "active memory grows by 1.00 P per step (+-0.02) over steps 2 to 9",
    p_per_step=1.0,
    p_per_step_margin=0.02,
)
JUMP = warning("step_time_jump", "from step 1 on", step=1, lasting=True, ratio=3.0)
FLAT = warning("loss_flat", "all 10 losses are the same to the last bit: 5.5")
UNCHANGED = error("parameters_unchanged", "none of the 20 trainable tensors changed")


# --- the table and the plan ---------------------------------------------------------------------


def test_each_row_of_the_table_is_a_scenario_of_the_ladder():
    """Not the other way round: of a scenario without a row the diagnosis says nothing."""
    own = {file.stem for file in load.variation_files()}
    assert set(TABLE) <= {info.name for info in load.ladder()} | own
    assert "baseline_update" in TWINS
    assert "value_and_grad_reused" in TWINS


def test_the_document_shows_the_table_as_it_is():
    page = Path(__file__).parents[2] / "docs" / "reference" / "diagnosis.md"
    lines = page.read_text().splitlines()
    rows = [[word.strip("| `") for word in line.split(" | ")] for line in lines]
    letters = {Effect.STAYS: "s", Effect.CLEARS: "c", Effect.MOVES: "m", Effect.SHOWS: "!"}

    def letter(cell):
        if cell is None:
            return "-"
        return letters[cell.effect].upper() if cell.firm else letters[cell.effect]

    shown = {row[0]: row[1:] for row in rows if row[0] in TABLE and len(row) == 1 + len(HYPOTHESES)}
    assert shown == {
        name: [letter(row.get(theory.id)) for theory in HYPOTHESES] for name, row in TABLE.items()
    }


def test_what_a_hypothesis_needs_is_in_its_column():
    for theory in HYPOTHESES:
        for name in theory.needs:
            assert theory.id in TABLE[name], (theory.id, name)


@given(st.permutations(LADDER))
def test_the_order_does_not_depend_on_how_it_is_asked(names):
    assert order(names) == order(LADDER)
    assert order(names)[0] == "baseline_update"
    assert sorted(order(names)) == sorted(LADDER)


def test_scenarios_that_are_not_in_the_table_come_last():
    assert order(["mine", "tiny_model", "baseline_update"]) == (
        "baseline_update",
        "tiny_model",
        "mine",
    )


def test_twins_tell_nothing_apart_and_come_late():
    assert {order(LADDER).index(name) > 12 for name in TWINS - {"baseline_update"}} == {True}


# --- what may never be said ----------------------------------------------------------------------


def test_without_results_all_is_untested_and_the_baseline_is_next():
    found = diagnose([], SETTINGS, machine())
    assert {h.verdict for h in found.hypotheses} == {Support.UNTESTED}
    assert found.next_experiment == "python -m harness run baseline_update --steps 10"
    assert not decided([], SETTINGS, machine(), LADDER)


def test_a_healthy_ladder_supports_nothing():
    found = said([done(name) for name in LADDER])
    assert {h.verdict for h in found.values()} == {Support.REFUTED}
    assert decided([done(name) for name in LADDER], SETTINGS, machine(), ())


def test_of_a_healthy_training_more_runs_of_the_baseline_are_next():
    results = [done(name) for name in LADDER]
    command = diagnose(results, SETTINGS, machine()).next_experiment
    assert command == "python -m harness run baseline_update --steps 100 --repeat 10"


def test_completing_without_the_update_convicts_nothing():
    results = [hung("baseline_update"), done("grad_without_update", UNCHANGED)]
    assert supported(results) == set()
    # And not with everything else that does not evaluate a backward pass or an update.
    more = [hung(name) for name in sorted(TWINS)] + [done("grad_without_update", UNCHANGED)]
    assert supported(more) == set()


def test_the_update_is_named_only_when_both_sides_agree():
    def told(results):
        return " ".join(said(results)["deadlock"].because)

    where = hangs_everywhere("grad_without_update", "grad_evaluated_without_update")
    assert "it lies in the update" in told(ladder(where))
    unconfirmed = [r for r in ladder(where) if r.scenario != "update_without_grad"]
    assert "it lies in" not in told(unconfirmed)
    contradicted = hangs_everywhere("grad_without_update")
    assert "it lies in" not in told(ladder(contradicted))


def test_a_fault_in_the_backward_pass_is_named():
    where = hangs_everywhere("grad_without_update", "update_without_grad")
    assert "it lies in the backward pass" in " ".join(said(ladder(where))["deadlock"].because)


def test_a_deadlock_needs_the_tiny_model_to_hang_too():
    everything = ladder(hangs_everywhere("grad_without_update"))
    assert "deadlock" in supported(everything)
    without = [result for result in everything if result.scenario != "tiny_model"]
    assert said(without)["deadlock"].verdict is Support.UNTESTED
    assert "tiny_model" in " ".join(said(without)["deadlock"].because)
    small = ladder(hangs_everywhere("grad_without_update", *SMALLER, p=32 * GIB))
    assert said(small)["deadlock"].verdict is Support.REFUTED


def test_a_proven_deadlock_needs_no_other_run():
    found = said([hung("two_locks", "lock", code="deadlock")])
    assert found["deadlock"].verdict is Support.SUPPORTED
    assert {h.verdict for id, h in found.items() if id != "deadlock"} == {Support.UNTESTED}


def test_a_proof_without_stacks_tells_its_place_once():
    summary = "deadlock in phase eval of step 3: 2 threads of one process can only be woken by"
    cause = Cause(code="deadlock", summary=summary, proven=True)
    found = said([stopped("hang", Outcome.HUNG, step=3, cause=cause)])["deadlock"]
    assert found.because[0] == (
        "hang is in a proven deadlock in step 3, phase eval: "
        "2 threads of one process can only be woken by"
    )


def test_skipped_is_untested_not_refuted():
    results = ladder(
        lambda name: stopped(name, Outcome.SKIPPED) if name == "tiny_model" else None, hung
    )
    assert said(results)["deadlock"].verdict is Support.UNTESTED


def test_interrupted_and_stopped_runs_say_nothing():
    for result in (
        stopped("baseline_update", Outcome.UNFINISHED, reason="interrupted in step 1"),
        hung("baseline_update", None, code="stopped"),
        killed("baseline_update", "SIGTERM"),
    ):
        assert {h.verdict for h in said([result]).values()} == {Support.UNTESTED}


def test_slow_dead_crashed_and_compiling_are_four_answers():
    slow = stopped("baseline_update", Outcome.UNFINISHED, reason="stopped by --budget")
    said_of = [
        " ".join(said([result])["memory"].because)
        for result in (slow, hung("baseline_update"), killed("baseline_update"))
    ]
    assert len(set(said_of)) == 3
    assert supported([hung("baseline_update", "jit", code="waiting")]) == {"retrace"}


def test_one_healthy_run_does_not_refute_a_deadlock():
    """One that comes in half of the runs would spare it as likely as not."""
    few = [done("baseline_update", repeat=n) for n in range(3)]
    found = said(few)["deadlock"]
    assert found.verdict is Support.UNTESTED
    assert "fewer than 56 % of runs could be missed" in found.because[0]
    assert not decided(few, SETTINGS, machine(), ["sgd_step"])
    # The healthy runs of all scenarios count that would hang with it.
    assert said([*few, done("grad_without_update")])["deadlock"].verdict is Support.UNTESTED
    enough = [*few, done("sgd_step")]
    assert said(enough)["deadlock"].verdict is Support.REFUTED
    assert decided(enough, SETTINGS, machine(), ["tiny_model"])


def test_without_a_reference_nothing_is_refuted():
    found = said([done("compiled_step"), done("rebuild_compiled"), done("sgd_step")])
    assert {h.verdict for h in found.values()} == {Support.UNTESTED}


def test_that_work_is_deferred_and_costs_nothing_is_told_without_a_contradiction():
    told = " ".join(said([done("baseline_update")])["deferred"].because)
    assert "deferred work costs no extra time" in told


# --- each hypothesis -----------------------------------------------------------------------------


def original_report(name):
    """Below 3 P of address space: step 0 passes, step 1 dies."""
    if name in ("grad_without_update", "grad_evaluated_without_update", *SMALLER):
        return None
    evaluated = name in (
        "eval_after_update",
        "eval_parameters_only",
        "update_without_grad",
        "stale_loss_oracle",
    )
    return killed(name, step=0 if evaluated else 1)


def test_the_original_report_is_memory_with_deferred_work():
    found = said(ladder(original_report))
    assert {id for id, h in found.items() if h.verdict is Support.SUPPORTED} == {
        "memory",
        "deferred",
    }
    for id in ("corruption", "deadlock", "stale_compile", "data"):
        assert found[id].verdict is Support.REFUTED
    assert any("sgd_step" in why for why in found["memory"].because)


def test_four_runs_are_enough_for_it():
    names = (
        "baseline_update", "grad_without_update", "grad_evaluated_without_update",
        "eval_after_update", "sgd_step", "tiny_model",
    )  # fmt: skip
    assert supported(ladder(original_report, names=names)) == {"memory", "deferred"}


def test_what_completes_with_more_room_comes_first():
    limited = info("memory_limited", "killed by SIGSEGV, and its address space was limited")
    runs = [killed("baseline_update", findings=(limited,)), done("room_for_7_p", peak=3.8)]
    found = said(runs)["memory"]
    assert found.because == (
        "baseline_update is killed by SIGSEGV in step 1, phase eval; with as many parameters, "
        "room_for_7_p completes 10 steps at a peak of 3.8 P",
        "baseline_update: killed by SIGSEGV, and its address space was limited",
    )
    for other in (done("mine", p=GIB // 2, peak=3.8), done("mine", peak=0.0), killed("mine")):
        told = " ".join(said([runs[0], other])["memory"].because)
        assert "as many parameters" not in told


def test_one_smaller_training_that_passes_does_not_convict_memory():
    names = ("baseline_update", "tiny_model")
    assert supported(ladder(original_report, names=names)) == set()


def test_a_stall_of_a_training_larger_than_the_machine_is_memory():
    """8B parameters in float32 on 90 GiB: SGD passes, and it is not the SIGSEGV of anything."""
    results = [hung("baseline_update", None, p=32 * GIB), done("sgd_step", p=32 * GIB, peak=2.5)]
    found = said(results, memory=90 * GIB)
    assert found["memory"].verdict is Support.SUPPORTED
    assert any("3 P = 96 GiB; this machine has 90 GiB" in why for why in found["memory"].because)
    assert found["deadlock"].verdict is Support.REFUTED


def test_it_is_the_memory_that_the_training_may_use_which_counts():
    results = [hung("baseline_update", None, p=GIB), done("sgd_step", p=GIB, peak=2.5)]
    around = msgspec.structs.replace(machine(), usable_memory=2 * GIB, usable_of=Bound.CONTAINER)
    found = {h.id: h for h in diagnose(results, SETTINGS, around).hypotheses}
    assert found["memory"].verdict is Support.SUPPORTED
    assert any("this container may use 2 GiB" in why for why in found["memory"].because)


def test_a_measured_peak_above_the_memory_is_a_figure():
    peak = MemorySummary(parameter_bytes=10 * GIB, peak_over_p=10.0)
    stall = hung("baseline_update", None, p=10 * GIB)
    stall = msgspec.structs.replace(stall, metrics=Metrics(memory=peak))
    found = said([stall, done("sgd_step", p=10 * GIB, peak=2.5)])
    assert any("peaks at 100 GiB; this machine has 96 GiB" in w for w in found["memory"].because)


def test_the_same_stall_of_a_small_training_is_not_memory():
    results = [hung("baseline_update", None, p=GIB), done("sgd_step", p=GIB)]
    assert said(results)["memory"].verdict is not Support.SUPPORTED


def test_the_end_of_memory_in_words_needs_no_other_run():
    result = raised("out_of_memory", "RuntimeError: [malloc_or_wait] Unable to allocate 1 bytes")
    assert supported([result]) == {"memory"}
    assert supported([raised("mine", "KeyError: 'missing'")]) == set()
    assert supported([killed("segfault", step=3)]) == set()


def test_the_end_of_memory_after_growth_is_a_leak():
    result = raised("mine", "MemoryError", step=8, findings=(GROWTH,))
    assert supported([result]) == {"leak"}


def test_swap_convicts_memory_when_sgd_is_fast():
    def one(name, median):
        result = done(name, JUMP, times=(1.0, median, median))
        memory = MemorySummary(parameter_bytes=GIB, swap_growth=20 * GIB, major_faults=10**6)
        return ScenarioResult(**{**fields(result), "metrics": Metrics(
            step_s=result.metrics.step_s, memory=memory)})  # fmt: skip

    results = [
        one("baseline_update", 90.0),
        one("uncompiled_step", 88.0),
        done("sgd_step", times=(1.0, 3.0, 3.0)),
    ]
    assert "memory" in supported(results)
    slow = [*results[:2], one("sgd_step", 80.0)]
    assert "memory" not in supported(slow)


def fields(struct):
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def test_a_jump_that_evaluating_clears_is_deferred_work():
    lazy = done("baseline_update", JUMP, times=(0.5, 1.5, 1.5))
    assert supported([lazy]) == set()
    eager = done("eval_after_update", times=(1.5, 1.5, 1.5))
    assert supported([lazy, eager]) == {"deferred"}
    still = done("eval_after_update", JUMP, times=(0.5, 1.5, 1.5))
    assert said([lazy, still])["deferred"].verdict is Support.REFUTED


def test_a_graph_that_piles_up_is_deferred_work():
    growth = warning("graph_growth", "the graph grows by 350 operations per step")
    assert supported([done("never_evaluated", growth)]) == {"deferred"}
    # Reading the loss every third step piles up by design.
    assert supported([done("loss_read_every_k", growth)]) == set()


def test_retained_gradients_alone_are_a_leak_with_its_slope():
    found = said([done("retained_gradients", GROWTH)])
    assert found["leak"].verdict is Support.SUPPORTED
    assert "1.00 P per step (+-0.02)" in found["leak"].because[0]
    assert {id for id, h in found.items() if h.verdict is Support.SUPPORTED} == {"leak"}


def test_traces_in_each_step_are_retracing_unless_they_are_expected():
    again = warning("retrace_every_step", "traced again")
    assert supported([done("mine", again)]) == {"retrace"}
    assert supported([done("mine", Finding(**{**fields(again), "expected": True}))]) == set()


def test_a_second_trace_counts_when_it_is_felt_and_nobody_expects_it():
    def compiled(seconds, severity=Severity.WARNING, expected=False):
        twice = warning("double_trace", "traced in steps 0 and 1", seconds_step_1=seconds)
        twice = Finding(**{**fields(twice), "expected": expected, "severity": severity})
        return done("compiled_step", twice, times=(12.0, seconds, 0.002), traces=2)

    assert supported([compiled(3.2)]) == {"retrace"}
    assert supported([compiled(0.02)]) == set()
    # The ladder's compiled step is traced twice by design, and kernels are compiled once.
    assert supported([compiled(6.85, expected=True)]) == set()
    # mlx-lm's own step is.
    assert supported([compiled(3.2, severity=Severity.INFO)]) == set()


@pytest.mark.parametrize(
    "how",
    [{"category": "io", "phase": "data"}, {"category": None, "phase": "data"},
     {"category": "queue", "code": "waiting"}, {"category": "child", "code": "waiting"}],
)  # fmt: skip
def test_waits_for_data_a_queue_or_a_child_are_the_hosts(how):
    assert supported([hung("mine", **how)]) == {"data"}


@pytest.mark.parametrize("category", ["child", "lock", "gil", None])
@pytest.mark.parametrize("phase", ["eval", "data"])
def test_a_proven_deadlock_is_a_deadlock_whatever_the_phase(category, phase):
    one = hung("mine", category, code="deadlock", phase=phase)
    assert supported([one]) == {"deadlock"}


def test_a_queue_that_nobody_will_ever_fill_is_a_deadlock_and_the_loaders():
    assert supported([hung("mine", "queue", code="deadlock")]) == {"deadlock", "data"}


def waiting(category, site, phase="forward", code="deadlock"):
    place = f"phase {phase} of step 1"
    cause = Cause(
        code=code,
        summary=f"{code} in {place}: 3 threads can only be woken by one another",
        proven=code == "deadlock",
        evidence={"wait_category": category, "wait_site": site, "fingerprint": "0123456789ab"},
    )
    return stopped("mine", Outcome.HUNG, phase=phase, cause=cause)


def test_a_proven_deadlock_is_told_once_with_what_is_waited_for():
    site = "waits for another thread to notify it (wait), from mine.py:7 in step"
    found = said([waiting("lock", site)])
    told = "mine is in a proven deadlock in step 1, phase forward: the main thread " + site
    assert found["deadlock"].because == (told,)
    assert found["data"].verdict is Support.UNTESTED
    assert "event that cannot come" in found["deadlock"].title
    (blind,) = said([waiting("lock", None)])["deadlock"].because
    assert blind.count("step 1") == 1
    assert blind.endswith(": 3 threads can only be woken by one another")


def test_what_spins_while_data_is_loaded_is_not_said_to_wait():
    site = "is running (tokenize), from mine.py:7 in batches"
    found = said([waiting("running", site, phase="data", code="stalled")])
    assert found["data"].because == (f"mine hangs in step 1, phase data: it {site}",)
    assert not any("waits" in why for h in found.values() for why in h.because)


def test_of_a_child_that_is_waited_for_its_own_wait_is_told():
    (theirs,) = said([waiting("child", "waits for a Python lock (acquire)")])["deadlock"].because
    assert "a child process waits for a Python lock" in theirs
    (ours,) = said([waiting("child", "waits for a child process (wait)", code="waiting")])[
        "data"
    ].because
    assert "the main thread waits for a child process" in ours


def test_a_slow_loader_is_data():
    assert supported([done("mine", phase_s={"data": 2.0, "eval": 0.1})]) == {"data"}
    assert supported([done("mine", phase_s={"data": 0.02, "eval": 0.001})]) == set()


def test_a_failed_stale_loss_is_corruption():
    failed = error("check_failed", "the check stale_loss failed", name="stale_loss")
    assert supported([done("stale_loss_oracle", failed)]) == {"corruption"}
    own = error("check_failed", "the check mine failed", name="mine")
    assert supported([done("mine", own)]) == set()


def test_a_symptom_that_an_uncompiled_step_clears_is_a_stale_cache():
    clears = ("uncompiled_step", "rebuild_compiled")
    results = ladder(lambda name: None if name in clears else done(name, FLAT, UNCHANGED))
    found = said(results)
    assert {id for id, h in found.items() if h.verdict is Support.SUPPORTED} == {"stale_compile"}
    assert any("uncompiled_step" in why for why in found["stale_compile"].because)


def test_compiled_steps_that_learn_nothing_beside_a_good_baseline_are_a_stale_cache():
    bad = ("compiled_step", "compiled_step_initialized")
    results = ladder(lambda name: done(name, FLAT, UNCHANGED) if name in bad else None)
    assert supported(results) == {"stale_compile"}


def test_diverging_everywhere_supports_none_of_the_eight():
    results = ladder(lambda name: stopped(name, Outcome.DIVERGED, step=10))
    assert supported(results) == set()


# --- conflicts, repeats, what is next ------------------------------------------------------------


def test_conflicting_evidence_is_said_to_conflict():
    found = said([*(hung(name) for name in sorted(TWINS)), done("uncompiled_step"),
                  hung("rebuild_compiled"), hung("tiny_model")])  # fmt: skip
    stale = found["stale_compile"]
    assert stale.verdict is Support.UNTESTED
    assert any("uncompiled_step" in side for side in stale.conflicts)
    assert any("rebuild_compiled" in side for side in stale.conflicts)


def test_one_run_that_passes_does_not_clear_what_comes_and_goes():
    sometimes = [hung("baseline_update", repeat=n) for n in range(2)]
    sometimes += [done("baseline_update", repeat=n) for n in range(2, 4)]
    once = [*sometimes, done("uncompiled_step")]
    assert said(once)["deadlock"].verdict is not Support.REFUTED
    often = sometimes + [done("uncompiled_step", repeat=n) for n in range(5)]
    assert said(often)["deadlock"].verdict is Support.REFUTED


def test_of_a_log_nothing_says_that_deferred_work_costs_no_time():
    """How long the first step took is not known."""
    printed = info("steps_printed", "the steps come from the printed output")
    itself = info("steps_reported", "the command reported its steps itself")
    for finding, verdict in ((printed, Support.UNTESTED), (itself, Support.REFUTED)):
        runs = [done("baseline_update", finding, repeat=n) for n in range(10)]
        assert said(runs, settings=None)["deferred"].verdict is verdict


def test_a_command_that_ended_early_is_not_slow():
    early = warning("ended_early", "it ended after 37 of 100 steps")
    ended = msgspec.structs.replace(done("baseline_update", early), outcome=Outcome.UNFINISHED)
    slow = msgspec.structs.replace(ended, findings=(), reason="stopped by --budget")
    for run, told in ((ended, False), (slow, True)):
        because = [why for h in said([run], settings=None).values() for why in h.because]
        assert any("becomes slow" in why for why in because) == told


def test_shares_are_told():
    runs = [hung("baseline_update", repeat=n) for n in range(3)]
    runs += [done("baseline_update", repeat=3)]
    text = " ".join(why for h in said(runs).values() for why in h.because)
    assert "3 of 4 runs" in text


def test_next_is_what_tells_most_of_the_symptom():
    assert "tiny_model" in LADDER
    results = [r for r in ladder(hangs_everywhere("grad_without_update"))
               if r.scenario not in ("tiny_model", "half_precision")]  # fmt: skip
    command = diagnose(results, SETTINGS, machine()).next_experiment
    assert command == "python -m harness run tiny_model --steps 10"
    only = ("half_precision",)
    left = diagnose(results, SETTINGS, machine(), only).next_experiment
    assert left is None or "half_precision" in left


def test_where_no_run_can_be_suggested_it_is_said_why():
    alone = [hung("baseline_update")]
    own, command = (diagnose(alone, given, machine(), ()) for given in (SETTINGS, None))
    assert own.next_experiment is command.next_experiment is None
    assert "scenarios are your own" in own.no_experiment
    assert "add the variant" in command.no_experiment
    assert diagnose(alone, SETTINGS, machine()).no_experiment is None
    memory = diagnose(ladder(original_report), SETTINGS, machine())
    untested = any(h.verdict is Support.UNTESTED for h in memory.hypotheses)
    assert memory.next_experiment is None
    assert (memory.no_experiment is not None) is untested


def test_the_command_carries_the_settings_and_is_quoted():
    settings = Settings(steps=20, model="my models/8b", train="last:2", batch_size=4)
    command = diagnose([], settings, machine()).next_experiment
    assert command is not None
    words = shlex.split(command)
    assert words[:5] == ["python", "-m", "harness", "run", "baseline_update"]
    assert words[5:] == ["--steps", "20", "--model", "my models/8b", "--train", "last:2",
                         "--batch-size", "4"]  # fmt: skip


def skipped_where_compiled(name):
    compiled = "compile" in name
    return stopped(name, Outcome.SKIPPED, reason="no compiler") if compiled else done(name)


def hangs_at_times(name, repeat):
    return hung(name) if repeat % 4 == 1 else done(name)


@pytest.mark.parametrize(
    "act",
    [
        done,
        original_report,
        hangs_everywhere(),
        hangs_everywhere("tiny_model"),
        hangs_everywhere("uncompiled_step", "rebuild_compiled"),
        hangs_at_times,
        skipped_where_compiled,
        lambda name: raised(name, "KeyError: 'x'"),
        lambda name: stopped(name, Outcome.CRASHED, signal="SIGTERM", reason="killed by SIGTERM"),
    ],
)
def test_whoever_follows_the_suggestions_comes_to_an_end(act):
    results, untested = [], []
    while True:
        found = diagnose(results, SETTINGS, machine(), run="my runs/x")
        untested.append(sum(h.verdict is Support.UNTESTED for h in found.hypotheses))
        if found.next_experiment is None:
            break
        words = shlex.split(found.next_experiment)
        name, repeats = words[4], int(words[8]) if words[7:8] == ["--repeat"] else 1
        assert words[5:7] == ["--continue", "my runs/x"]
        first = sum(one.scenario == name for one in results)
        for repeat in range(first, first + repeats):
            made = act(name, repeat) if act is hangs_at_times else act(name) or done(name)
            results.append(msgspec.structs.replace(made, repeat=repeat))
        assert len(results) <= len(LADDER) + 100
    # What somebody else ended says nothing.
    assert untested[-1] < untested[0] or {one.signal for one in results} == {"SIGTERM"}


def test_of_steps_too_few_to_tell_anything_that_is_said():
    settings = Settings(steps=2)
    results = [
        msgspec.structs.replace(one, steps_completed=2, repeat=n)
        for n in range(10)
        for one in ladder(done)
    ]
    found = diagnose(results, settings, machine(), run="x")
    assert found.next_experiment is None
    assert "--steps 2 is too low" in found.no_experiment


COUNT = st.integers(1, 1 << 20)
ANY_SETTINGS = st.builds(
    Settings,
    steps=COUNT,
    model=st.sampled_from(("tiny", "micro", "some/model"))
    | st.text(st.characters(codec="ascii", min_codepoint=32)).map(lambda text: f"-no/{text}"),
    train=st.none() | st.sampled_from(("full", "lora", "last:2")),
    optimizer=st.sampled_from(plan.OPTIMIZERS),
    learning_rate=st.floats(allow_nan=False),
    dtype=st.none() | st.sampled_from(plan.DTYPES),
    batch_size=COUNT,
    seq_len=COUNT,
    seed=st.integers(),
    device=st.none() | st.sampled_from(plan.DEVICES),
    ranks=COUNT,
    backend=st.sampled_from(plan.BACKENDS),
    collective_beats=st.booleans(),
)


@given(ANY_SETTINGS)
def test_the_command_is_one_that_gives_the_same_settings(settings):
    words = shlex.split(diagnose([], settings, machine()).next_experiment)
    assert words[:3] == ["python", "-m", "harness"]
    arguments = cli.parser(words[3:]).parse_args(words[3:])
    assert arguments.scenario == ["baseline_update"]
    assert options.settings(arguments) == settings


def test_it_is_decided_only_when_what_is_left_says_nothing():
    results = ladder(original_report, names=("baseline_update", "sgd_step", "tiny_model"))
    assert not decided(results, SETTINGS, machine(), ["eval_after_update"])
    assert decided(results, SETTINGS, machine(), [])
    healthy = [done(name) for name in LADDER if name != "stale_loss_oracle"]
    assert not decided(healthy, SETTINGS, machine(), ["stale_loss_oracle"])
    assert decided(healthy, SETTINGS, machine(), ["mine"])


def test_what_was_not_compiled_says_nothing_of_compiling():
    disabled = warning("compile_disabled", "run uncompiled")
    results = ladder(lambda name: done(name, disabled) if name == "compiled_step" else None)
    found = said(results)
    assert found["stale_compile"].verdict is Support.UNTESTED
    assert found["retrace"].verdict is Support.UNTESTED
    assert "compilation was off in these runs" in found["retrace"].because


def lost(name, last):
    loss = LossSummary(first=5.9, last=last, min=last, max=5.9, finite=True)
    return done(name, loss=loss)


def test_where_others_agree_with_the_new_one_the_kept_one_is_wrong():
    twins = [lost("baseline_update", 5.8), lost("value_and_grad_reused", 5.8)]
    new = lost("value_and_grad_recreated", 3.1)
    assert "corruption" not in supported([*twins, new, lost("vjp_step", 3.1)])
    assert "corruption" in supported([*twins, new, lost("vjp_step", 5.8)])


def test_a_formula_without_frozen_weights_does_not_refute_memory():
    results = [hung("baseline_update", None, step=0, p=GIB / 100), done("sgd_step", p=GIB / 100)]
    assert said(results)["memory"].verdict is not Support.REFUTED


def test_a_symptom_that_no_hypothesis_explains_is_said_aloud():
    raising = diagnose(ladder(lambda name: raised(name, "KeyError: 'x'")), SETTINGS, machine())
    assert "raises an exception" in raising.unexplained
    assert diagnose(ladder(done), SETTINGS, machine()).unexplained is None


# --- the GPU -------------------------------------------------------------------------------------


def at_gpu(name, end, **fields):
    cause = Cause(
        code="waiting" if end == "gpu_works" else "stalled",
        summary="eval has run for 131 s: main waits for a kernel of this process",
        evidence={"wait_category": "stream_evaluation", "end": {"kind": end}},
    )
    return stopped(name, Outcome.HUNG, cause=cause, **fields)


def endless(*but):
    return lambda name: None if name in but else at_gpu(name, "gpu_works")


def left_idle(*but):
    return lambda name: None if name in but else at_gpu(name, "gpu_idle")


def test_a_kernel_that_does_not_end_is_told_by_one_run_and_says_nothing_of_another_fault():
    verdicts = said([at_gpu("baseline_update", "gpu_works")])
    assert verdicts["kernel"].verdict is Support.SUPPORTED
    assert "waits for a GPU kernel that does not end in step 1" in verdicts["kernel"].because[0]
    assert verdicts["deadlock"].verdict is Support.UNTESTED
    assert "that tells nothing of a second fault" in verdicts["deadlock"].because[0]
    assert "this hypothesis expects" in verdicts["deadlock"].conflicts[0]
    assert supported(ladder(endless())) == {"kernel"}


def test_what_stays_by_the_sign_of_one_fault_refutes_no_other():
    """A proven deadlock stays in an uncompiled step, whether or not compiled ones are stale."""
    verdicts = said(ladder(left_idle()))
    assert verdicts["gpu_idle"].verdict is Support.SUPPORTED
    told = verdicts["stale_compile"]
    assert told.verdict is Support.UNTESTED
    assert told.because[0].endswith(": that tells nothing of a second fault")
    # Where no run has a sign, what stays speaks against it as ever.
    assert said(ladder(hangs_everywhere()))["stale_compile"].verdict is Support.REFUTED


def test_the_scenario_that_clears_it_tells_which_kernel_it_is():
    found = said(ladder(endless("uncompiled_step", "stale_loss_oracle")))["kernel"]
    assert "uncompiled_step completes 10 steps" in " ".join(found.because)


def test_a_gpu_that_waits_for_swapped_memory_does_not_loop():
    swapped = MemorySummary(parameter_bytes=GIB, swap_growth=8 * GIB)
    result = at_gpu("baseline_update", "gpu_works")
    result = msgspec.structs.replace(result, metrics=Metrics(memory=swapped))
    verdicts = said([result, done("sgd_step"), done("tiny_model")], memory=2 * GIB)
    assert verdicts["kernel"].verdict is not Support.SUPPORTED
    assert verdicts["memory"].verdict is Support.SUPPORTED
    assert "the GPU works" in " ".join(said([result])["deadlock"].because)


def test_an_idle_gpu_says_what_happens_and_leaves_open_why():
    alone = said([at_gpu("baseline_update", "gpu_idle")])
    assert alone["gpu_idle"].verdict is Support.SUPPORTED
    assert "waits for a GPU that is idle in step 1" in alone["gpu_idle"].because[0]
    assert alone["deadlock"].verdict is Support.UNTESTED
    assert supported(ladder(left_idle())) == {"gpu_idle", "deadlock"}
    spared = left_idle("uncompiled_step", "rebuild_compiled")
    assert supported(ladder(spared)) == {"gpu_idle", "stale_compile"}


def test_without_a_hang_at_the_gpu_both_are_refuted():
    verdicts = said(ladder(done))
    assert {verdicts[id].verdict for id in ("kernel", "gpu_idle")} == {Support.REFUTED}
    elsewhere = said(ladder(hangs_everywhere()))
    assert "kernel" not in supported(ladder(hangs_everywhere()))
    assert elsewhere["kernel"].verdict is Support.REFUTED
