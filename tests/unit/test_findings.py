"""Each detector: the record that must trigger it, and the ordinary ones that must not."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from records import P, held, make, told

from harness.analysis import findings
from harness.beats.record import Record
from harness.model import Severity, Tensors
from harness.model.beats import Compiled, Gradients, Labels, Unregistered

NAN, INF = math.nan, math.inf
MIB = 2**20


FALLING = [5.0 - 0.05 * step for step in range(60)]


def tensors(changed, total=4, **fields):
    return Tensors(total=total, changed=changed, **fields)


STILL = {"trainable": tensors(0), "followed": True, "updates": 10, "place": "train.py:9"}
"""What is seen of a run whose parameters did not move, though an optimizer was given gradients."""
SEEN = Gradients(tensors=4, zero=0, largest=0.5, made=0.5)


def still(**seen):
    return make(trainable=tensors(0), learning=STILL | {"highest_rate": 1e-3, "rate": 1e-3} | seen)


NAMED = {
    "no_trainable_parameters": lambda: make(
        trainable=None, learning={"trainable": tensors(0, total=0), "parameters": 9}, end=False
    ),
    "state_not_compiled": lambda: make(
        learning={"compiled": Compiled(function="step", place="a.py:3", inputs=False, outputs=True)}
    ),
    "gradients_not_applied": lambda: still(updates=0),
    "learning_rate_zero": lambda: still(highest_rate=0.0),
    "gradients_zero": lambda: still(moments=tensors(0)),
    "gradients_erased": lambda: still(
        gradients=Gradients(tensors=4, zero=4, largest=0.0, made=0.5)
    ),
    "updates_too_small": lambda: still(gradients=SEEN),
    "labels_masked": lambda: make(
        losses=0.0, learning={"labels": Labels(counted=0, of=512), "batches": 5}
    ),
    "lora_b_zero": lambda: make(
        learning={"lora": 4, "lora_zero": 4, "lora_frozen": 4, "updates": 10, "highest_rate": 1e-3}
    ),
    "submodules_unregistered": lambda: make(
        learning={"unregistered": (Unregistered(path="encoder", holder="Encoder", parameters=99),)}
    ),
    "batch_repeats": lambda: make(learning={"batches": 5, "same": "content"}),
    "labels_leak": lambda: make(
        losses=lambda step: 4.0 / (step + 1) ** 3,
        learning={"labels": Labels(counted=512, of=512, shift=0), "batches": 5},
    ),
}
"""The reasons why nothing was learned. Beside them stands what is seen of it anyway."""
BESIDE = {"parameters_unchanged", "loss_flat"}

TRIGGERS = NAMED | {
    "loss_not_finite": lambda: make(losses=[5.0] * 6 + [NAN] * 4),
    "gradients_not_finite": lambda: make(norms=[1.0, INF]),
    "parameters_not_finite": lambda: make(not_finite=("wq", "optimizer.wq.m")),
    "loss_exploded": lambda: make(losses=[5.5, 5.4, 5.5, 5.3, 60, 80, 90, 85, 88, 90]),
    "check_failed": lambda: make(checks=[True, False, True]),
    "parameters_unchanged": lambda: make(trainable=tensors(0)),
    "frozen_parameters_changed": lambda: make(frozen=tensors(1, examples=("wk",))),
    "model_not_watched": lambda: make(unwatched="Linear"),
    "parameters_partly_unchanged": lambda: make(trainable=tensors(3, examples=("wk",))),
    "loss_dead": lambda: told([5.1, 4.9, 3.2] + [4.1589] * 57),
    "loss_zero": lambda: told([3.9 - 0.05 * n for n in range(20)] + [0.0] * 40),
    "loss_left_best": lambda: make(
        steps=100, losses=lambda n: 5.0 - 0.06 * n if n < 50 else 2.0 + min(0.06 * (n - 50), 2.5)
    ),
    "validation_not_finite": lambda: told(FALLING, {"val_loss": [NAN] * 60}),
    "figure_not_finite": lambda: told(FALLING, {"kl": [0.1] * 30 + [NAN] * 30}),
    "reward_not_rising": lambda: told([0.0] * 60, {"reward": [0.1, 0.12, 0.08] * 20}),
    "loss_flat": lambda: make(losses=5.5),
    "loss_not_falling": lambda: make(
        steps=60, losses=lambda step: 5 + 0.1 * math.sin(37 * step**2)
    ),
    "loss_spike": lambda: make(losses=[5.5, 5.4, 5.3, 5.2, 60, 5.3, 5.2, 5.1, 5.0, 5.0]),
    "memory_growth": lambda: make(active=lambda step: P * (1 if step == 0 else 3 + step)),
    "rss_growth": lambda: held([(200 + 10 * look) * MIB for look in range(40)]),
    "graph_growth": lambda: make(nodes=lambda step: 350 * (step + 1)),
    "compile_disabled": lambda: make(traces=lambda step: step + 1, compile_works=False),
    "retrace_every_step": lambda: make(traces=lambda step: step + 1, compile_works=True),
    "double_trace": lambda: make(traces=[1] + [2] * 9),
    "step_time_ramp": lambda: make(steps=40, seconds=lambda step: 0.05 + 0.01 * step),
    "step_time_jump": lambda: make(seconds=[0.5] + [4.0] * 9),
    "slow_step": lambda: make(seconds=[0.02] * 5 + [3.0] + [0.02] * 4),
    "first_step_slow": lambda: make(seconds=[8.0] + [0.02] * 9),
    "deferred_evaluation": lambda: make(
        nodes=[1200] + [2000] * 9, left=800, carried=[0] + [800] * 9
    ),
    "deferred_work": lambda: make(drain_s=9.0),
    "cache_growth": lambda: make(steps=40, cache=lambda step: step * P),
    # The traces alone would be another finding.
    "shapes_growth": lambda: make(
        steps=40,
        shapes=lambda step: step // 2 + 8,
        traces=lambda step: step // 2 + 8,
        seconds=[0.1, 0.02] * 20,
    ),
    "peak_growth": lambda: make(steps=20, peak=lambda step: 4 * P + step * P, inputs=4096),
    "peak_too_large": lambda: replace(make(), usable=3 * P),
    "inputs_growth": lambda: make(steps=20, inputs=lambda step: 4096 * (step + 1)),
    "not_followed": lambda: replace(make(trainable=None), model=None),
    "beats_lost": lambda: make(lost=3, fault="No space left on device"),
}


def found(record):
    return {finding.code: finding for finding in findings.find(record)}


@pytest.mark.parametrize("code", TRIGGERS)
def test_a_detector_finds_what_it_is_for_and_nothing_else(code):
    finding = found(TRIGGERS[code]())
    assert set(finding) - (BESIDE if code in NAMED else set()) == {code}
    assert finding[code].evidence
    assert "\n" not in finding[code].summary


def test_every_code_has_a_meaning_a_place_in_the_docs_and_a_test():
    assert set(findings.CODES) == set(TRIGGERS) | {
        "expectation_missed", "hang_transient", "memory_limited",
        "kernel_panic", "memory_limit", "memory_limit_near",
        "memory_limit_unseen", "not_ended", "oom_killer",
        "steps_reported", "steps_printed", "no_steps_seen", "output_skipped", "hook_disabled",
        "ended_early", "updates_skipped", "left_behind",
        "last_words", "known_error", "killed_by", "died_at_exit", "child_died",
        "crash_stack",
        "rank_died", "rank_left_early", "rank_never_started", "rank_stopped", "rank_cut_off",
        "rank_was_stopped",
        "rank_silent", "collective_mismatch", "rank_slow", "host_silent", "launcher_died",
    }  # fmt: skip
    assert {detect.__name__ for detect in findings.DETECTORS} == set(TRIGGERS)
    verdicts = Path(__file__).parents[2] / "docs" / "reference" / "verdicts"
    text = "".join(page.read_text(encoding="utf-8") for page in sorted(verdicts.glob("*.md")))
    assert [code for code in findings.CODES if f"| `{code}` |" not in text] == []


def test_an_ordinary_run_has_no_findings():
    assert not found(make())


@given(st.integers(0, 4), st.booleans())
def test_any_short_or_empty_record_can_be_judged(steps, end):
    assert not set(found(make(steps=steps, end=end))) - {"loss_flat"}
    assert not found(Record())


# --- loss ----------------------------------------------------------------------------------------

LENGTHS = st.one_of(st.integers(1, 15), st.integers(16, 200))


def exploded(losses):
    return "loss_exploded" in found(make(steps=len(losses), losses=list(losses)))


NOISES = {
    "normal, 10 %": lambda r, i: 5 * (1 + 0.1 * r.gauss(0, 1)),
    "normal, falling": lambda r, i: 5 / (1 + 0.1 * i) * (1 + 0.1 * r.gauss(0, 1)),
    "lognormal": lambda r, i: math.exp(r.gauss(0, 0.5)),
    "heavy tails": lambda r, i: 2 * r.paretovariate(2.0),
    "batches of one": lambda r, i: r.uniform(0.8, 3.0),
    "cyclic": lambda r, i: 3 + 2 * math.sin(0.3 * i) + 0.1 * r.gauss(0, 1),
    "rising slowly": lambda r, i: 5 * (1 + 0.005 * i) + 0.05 * r.gauss(0, 1),
    "around zero": lambda r, i: 0.05 * r.gauss(0, 1),
    "from zero": lambda r, i: 0.01 * i * r.random(),
    "negative": lambda r, i: -100 + 20 * r.gauss(0, 1),
    "spikes of ten times": lambda r, i: 5.0 * (10 if r.random() < 0.05 else 1 + 0.1 * r.random()),
}


@pytest.mark.parametrize("noise", NOISES)
@given(seed=st.integers(0, 10_000), length=LENGTHS)
def test_an_ordinary_loss_is_no_explosion(noise, seed, length):
    r = random.Random(f"{noise} {seed}")
    assert not exploded([NOISES[noise](r, i) for i in range(length)])


@given(
    start=st.floats(0.5, 12),
    calm=st.integers(2, 40),
    factor=st.floats(15, 1e9),
    seed=st.integers(0, 10_000),
)
def test_a_loss_that_jumps_and_stays_is_an_explosion(start, calm, factor, seed):
    r = random.Random(seed)
    after = max(5, calm // 2)
    values = [start * r.uniform(0.95, 1.05) for _ in range(calm)]
    values += [start * factor * r.uniform(0.8, 1.2) for _ in range(after)]
    assert exploded(values)


@pytest.mark.parametrize(
    "losses",
    [
        [5.0 * 2**i for i in range(10)],
        # Ten steps of a small Llama under AdamW at learning rates of 0.5 and 10, and Lion at 1.
        [5.53, 36.2, 78.8, 221.0, 163.0, 654.0, 397.0, 396.0, 379.0, 259.0],
        [5.53, 15400.0, 18400.0, 74500.0, 71700.0, 82400.0, 109000.0, 92300.0, 89200.0, 62000.0],
        [5.53, 15.3, 36.6, 134.0, 66.6, 227.0, 82.6, 96.7, 138.0, 102.0],
        [5.0, 500.0, 5e6],
        [-5.0] * 10 + [200.0] * 5,
    ],
)
def test_explosions_that_were_seen(losses):
    assert exploded(losses)


@pytest.mark.parametrize(
    "losses",
    [
        [5.0, 7.0, 9.0],
        [1e-4, 0.1, 0.3, 0.5, 0.6, 0.6, 0.7, 0.6, 0.7, 0.6],
        [0.0] + [50.0] * 9,
        [5.5] * 5 + [80.0] * 3 + [5.5] * 2,
        [5.53, 5.39, 7.48, 14.5, 18.8, 10.3, 11.3, 12.3, 10.7, 13.5],
    ],
)
def test_what_is_bad_or_odd_but_no_explosion(losses):
    assert not exploded(losses)


def test_gradients_that_overflow_once_and_recover_are_only_a_warning():
    finding = found(make(norms=[1.0, INF, 1.0]))["gradients_not_finite"]
    assert finding.severity is Severity.WARNING
    assert finding.evidence["recovered"]


def test_a_loss_that_is_the_same_but_for_rounding_is_flat_and_a_slow_one_is_not():
    assert "loss_flat" in found(make(losses=lambda step: 5.0 + 1e-7 * (step % 3)))
    assert "loss_flat" not in found(make(losses=lambda step: 5.0 - 1e-4 * step))
    assert "loss_flat" not in found(make(steps=2, losses=5.0))


def not_falling(losses):
    return "loss_not_falling" in found(make(steps=len(losses), losses=list(losses)))


FALLS = {
    "in a line": lambda part: 1 - part,
    "more and more slowly": lambda part: math.exp(-3 * part),
    "at once": lambda part: math.exp(-20 * part),
    "at last": lambda part: 1 if part < 0.6 else 0,
    "and rises again": lambda part: (1 - part) if part < 0.7 else part - 0.4,
}


@given(
    st.sampled_from(sorted(FALLS)),
    st.integers(50, 600),
    st.floats(0, 0.12),
    st.floats(-3, 10),
    st.integers(0, 10_000),
)
def test_a_loss_that_falls_is_never_said_not_to(how, count, noise, level, seed):
    r = random.Random(seed)
    assert not not_falling(
        [level + FALLS[how](i / (count - 1)) + noise * r.gauss(0, 1) for i in range(count)]
    )


def test_a_first_update_that_did_all_is_a_fall():
    assert not not_falling([5.0] + [1.0 + 0.01 * (i % 7) for i in range(99)])


@pytest.mark.unmeasured
@pytest.mark.parametrize("rise", [0, 3], ids=["level", "rising"])
def test_a_loss_that_only_varies_is_mostly_seen_and_is_no_more_than_info(rise):
    r = random.Random(0)
    runs = [
        [50 + rise * i / 300 + 2 * r.gauss(0, 1) for i in range(300)] for _ in range(40)
    ]  # fmt: skip
    assert sum(map(not_falling, runs)) >= 32
    assert not not_falling([50 + (i % 3) for i in range(49)])
    record = make(steps=300, losses=runs[0])
    assert found(record)["loss_not_falling"].severity is Severity.INFO


# --- memory and graph ----------------------------------------------------------------------------


@given(st.floats(0.05, 5), st.integers(8, 300), st.integers(0, 1000))
def test_the_slope_of_a_leak_is_measured_in_p(slope, steps, seed):
    r = random.Random(seed)
    record = make(
        steps=steps, active=lambda step: round(P * (3 + slope * (step + 0.05 * r.gauss(0, 1))))
    )
    finding = found(record)["memory_growth"]
    assert finding.evidence["p_per_step"] == pytest.approx(slope, rel=0.15)


def test_a_slow_leak_shows_in_a_long_run():
    assert "memory_growth" in found(make(steps=2000, active=lambda step: 3 * P + step * P // 1000))


@given(st.integers(0, 10_000), st.integers(1, 200))
def test_memory_that_only_varies_does_not_grow(seed, steps):
    r = random.Random(seed)
    assert "memory_growth" not in found(
        make(steps=steps, active=lambda step: round(P * (3 + 0.03 * r.random())))
    )


@pytest.mark.parametrize(
    "active",
    [
        lambda step: P * (1 if step == 0 else 3),
        lambda step: P * min(1 + step, 6),
        lambda step: 3 * P + 8 * step,
        lambda step: P * (3 + step % 3),
    ],
    ids=["deferred", "plateau", "a scalar a step", "every third step"],
)
def test_a_plateau_is_not_growth(active):
    assert "memory_growth" not in found(make(steps=12, active=active))


@given(st.floats(1, 50), st.integers(24, 600), st.integers(0, 1000))
def test_a_leak_is_seen_from_outside_and_told_per_step(per_step, looks, seed):
    r = random.Random(seed)
    total = per_step * 30 * 0.25 * looks
    sizes = [
        MIB * (50 + total * look / looks + 0.02 * total * r.random()) if look > 2 else 9 * MIB
        for look in range(looks)
    ]
    finding = found(held(sizes))["rss_growth"]
    assert finding.severity is Severity.WARNING
    assert finding.evidence["bytes_per_step"] / MIB == pytest.approx(per_step, rel=0.1)


SETTLES = {
    "allocates at the start": lambda look: 500 if look > 3 else 20,
    "varies": lambda look: 500 + 100 * ((37 * look**2) % 11) / 11,
    "fills a cache and stays": lambda look: 300 + 10 * min(look, 85),
    "fills it more and more slowly": lambda look: 300 + 900 * (1 - math.exp(-look / 20)),
    "jumps once": lambda look: 300 + 500 * (look > 60),
    "jumps twice": lambda look: 300 + 500 * (look > 40) + 500 * (look > 80),
    "validates every so often": lambda look: 300 + 400 * (look % 25 > 20),
    "grows a little": lambda look: 300 + 0.6 * look,
    "grows little for its size": lambda look: 4000 + 6 * look,
    "is freed": lambda look: 2000 - 10 * look,
}


@pytest.mark.parametrize("how", SETTLES)
def test_memory_that_settles_is_no_leak_from_outside(how):
    assert not found(held([SETTLES[how](look) * MIB for look in range(100)]))


@given(st.integers(0, 10_000), st.integers(1, 400), st.floats(0, 0.3))
def test_memory_that_only_varies_from_outside_does_not_grow(seed, looks, noise):
    r = random.Random(seed)
    assert not found(held([500 * MIB * (1 + noise * r.random()) for _ in range(looks)]))


@pytest.mark.parametrize("per_second", [30, None])
def test_what_is_given_back_at_the_end_hides_no_leak(per_second):
    sizes = [(200 + 10 * look) * MIB for look in range(300)] + [MIB]
    record = held(sizes, per_second=per_second)
    record.footprint[-1] = -1
    assert found(held(sizes, per_second=per_second))["rss_growth"]
    assert found(record)["rss_growth"].evidence["measure"] == "footprint"


def test_what_mlx_says_of_its_memory_counts_for_more():
    grows = held([(200 + 10 * look) * MIB for look in range(40)])
    grows.active.extend([P] * len(grows.step))
    assert "rss_growth" not in found(grows)


def test_without_steps_it_takes_a_minute_and_is_only_info():
    def sizes(looks):
        return [(200 + 4 * look) * MIB for look in range(looks)]

    assert not found(held(sizes(200), per_second=None))
    finding = found(held(sizes(400), per_second=None))["rss_growth"]
    assert finding.severity is Severity.INFO
    assert finding.evidence["bytes_per_minute"] / MIB == pytest.approx(960, rel=0.01)
    assert "per minute" in finding.summary


def test_the_rss_is_taken_where_the_footprint_is_not_known():
    sizes = [(200 + 10 * look) * MIB for look in range(40)]
    assert found(held(sizes, rss=sizes))["rss_growth"].evidence["measure"] == "rss"


@pytest.mark.parametrize(
    "nodes",
    [
        [1223, 2026, 1947, 1948, 1949, None, None, None, 1953, None],
        [400, 800, 1200, 400, 800, None, None, None, 1200, None],
        [350, 700, None, None, None, None, None, None, None, None],
    ],
    ids=["a scalar a step", "read every third step", "too few looks"],
)
def test_a_graph_that_is_read_does_not_grow(nodes):
    assert "graph_growth" not in found(make(nodes=nodes))


def test_the_growth_of_the_graph_is_measured_where_it_was_sampled():
    sampled = [0, 1, 2, 3, 4, 8, 16]
    record = make(steps=20, nodes=lambda step: 350 * (step + 1) if step in sampled else None)
    assert found(record)["graph_growth"].evidence["nodes_per_step"] == pytest.approx(350)


# --- compile -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "traces",
    [[1] * 10, [1, 2, 3, 4, 4, 4, 4, 4, 4, 4], [0] * 10, [1, 1, 1, 2, 2, 2, 3, 3, 3, 3]],
    ids=["once", "settled", "not compiled", "now and then"],
)
def test_traces_that_settle_are_no_finding(traces):
    assert not found(make(traces=traces))


@given(st.integers(3, 60))
def test_a_trace_in_every_step_is_counted_and_not_called_double(steps):
    finding = found(make(steps=steps, traces=lambda step: step + 1))
    assert set(finding) == {"retrace_every_step"}
    assert finding["retrace_every_step"].evidence["traces"] == steps


# --- time ----------------------------------------------------------------------------------------


def timing(seconds):
    return {
        code: finding
        for code, finding in found(make(steps=len(seconds), seconds=list(seconds))).items()
        if code in ("step_time_jump", "slow_step", "first_step_slow")
    }


@given(at=st.integers(3, 300), after=st.integers(3, 300), seed=st.integers(0, 1000))
def test_a_lasting_jump_is_found_at_its_step(at, after, seed):
    r = random.Random(seed)
    times = [r.uniform(0.09, 0.11) for _ in range(at)]
    times += [r.uniform(0.9, 1.1) for _ in range(after)]
    jump = timing(times)["step_time_jump"]
    assert jump.evidence["step"] == at
    assert jump.evidence["lasting"]
    assert jump.evidence["phase"] == "eval"
    assert jump.evidence["ratio"] == pytest.approx(10, rel=0.3)


@pytest.mark.unmeasured
def test_a_jump_in_a_long_run_is_found_at_its_very_step():
    times = [0.1] * 12_345 + [0.9] * 30_000
    assert timing(times)["step_time_jump"].evidence["step"] == 12_345


@example(6, 73)
@given(st.integers(0, 10_000), st.integers(1, 200))
def test_noisy_steps_have_no_jump(seed, steps):
    r = random.Random(seed)
    assert not timing([0.05 * math.exp(r.gauss(0, 0.4)) for _ in range(steps)])


@given(every=st.integers(2, 10), seed=st.integers(0, 1000))
def test_a_slow_kind_of_step_every_so_often_is_no_jump(every, seed):
    r = random.Random(seed)
    times = [r.uniform(0.9, 1.1) if i % every == 0 else 0.1 for i in range(60)]
    assert "step_time_jump" not in timing(times)


def test_a_slow_step_one_that_passes_is_reported_as_such():
    finding = timing([0.1, 60.0, *[0.3] * 8])
    assert set(finding) == {"step_time_jump"}
    assert not finding["step_time_jump"].evidence["lasting"]
    assert set(timing([0.1, 60.0])) == {"step_time_jump"}
    assert set(timing([0.1, 60.0, 60.0])) == {"step_time_jump"}
    assert timing([0.1, *[60.0] * 9])["step_time_jump"].evidence["lasting"]


def test_a_slow_stretch_of_a_log_is_told_with_all_of_its_steps():
    """A log that tells of every fifth step shows a wait of 10 s as five steps of 2 s."""
    record = make(steps=12, seconds=[0.1] * 6 + [2.0] + [0.1] * 5)
    for index in range(len(record.step)):
        record.step[index] = 5 * index
    (slow,) = (finding for finding in found(record).values() if finding.code == "slow_step")
    assert slow.summary.startswith("steps 26 to 30 take 10 s together, others 100 ms each")


def test_a_slow_first_step_is_no_jump():
    assert set(timing([14.0] + [0.001] * 9)) == {"first_step_slow"}


def test_the_harness_own_phases_are_no_part_of_a_step():
    # Every record made here spends a second a step in the phase `graph`.
    assert not found(make(seconds=0.001, drain_s=0.2))
    assert "deferred_work" in found(make(seconds=0.001, drain_s=0.3))


# --- parameters and record -----------------------------------------------------------------------


def test_a_model_with_nothing_to_train_learns_nothing():
    finding = found(make(trainable=tensors(0, total=0)))["parameters_unchanged"]
    assert "no trainable parameter" in finding.summary


def test_a_run_without_a_known_model_says_nothing_about_parameters():
    assert not found(make(trainable=None))


def test_checks_are_counted_by_name():
    finding = found(make(checks=[True, False, True, False]))["check_failed"]
    assert finding.evidence["failed"] == 2
    assert finding.evidence["step"] == 1
    assert not found(make(checks=[True] * 5))


def test_torn_lines_are_reported():
    assert found(make(torn=2))["beats_lost"].evidence["torn"] == 2


# --- what grows -----------------------------------------------------------------------------------


def test_memory_that_grows_with_the_batches_is_no_leak_unless_the_program_keeps_more():
    """What a step leaves pending is as large as its batch; a list that keeps arrays is another."""
    grows = {"steps": 20, "active": lambda step: 3 * P + step * P}
    batches = {"inputs": lambda step: 4096 * (step + 1)}
    assert set(found(make(**grows, **batches))) == {"inputs_growth"}
    kept = found(make(**grows, **batches, arrays=lambda step: 100 + 20 * step))
    assert set(kept) == {"inputs_growth", "memory_growth"}
    assert kept["memory_growth"].evidence["arrays_per_step"] == 20
    assert "holds 20 more arrays after each" in kept["memory_growth"].summary
    steady = found(make(**grows, arrays=lambda _: 100))["memory_growth"]
    assert steady.evidence["arrays_per_step"] is None


@pytest.mark.parametrize(
    "inputs",
    [
        [4096, 512] * 10,  # lengths as they come
        [4096] * 20,
        [512] * 2 + [4096] * 18,  # a warm-up
    ],
)
def test_batches_that_do_not_grow_explain_nothing(inputs):
    grows = {"steps": 20, "active": lambda step: 3 * P + step * P}
    assert set(found(make(**grows, inputs=inputs))) == {"memory_growth"}
    assert not found(make(steps=20, inputs=inputs))


def test_the_step_at_which_memory_ends_is_told_to_two_digits():
    record = replace(make(steps=20, active=lambda step: (3 + step) * P), usable=1000 * P)
    growth = found(record)["memory_growth"]
    # 22 P are held after step 19, and one more comes with each step.
    assert growth.evidence["ends_at_step"] == 997
    assert growth.summary.endswith("at this rate memory ends at about step 1,000")
    unknown = found(make(steps=20, active=lambda step: (3 + step) * P))["memory_growth"]
    assert unknown.evidence["ends_at_step"] is None
    assert "memory ends" not in unknown.summary


@pytest.mark.parametrize(
    "cache",
    [
        lambda step: min(step, 10) * P,  # it fills, and is used from then on
        lambda step: (step % 7) * P,  # it is cleared
        lambda step: step * P // 100,
        lambda _: 50 * P,
    ],
)
def test_a_cache_that_comes_to_rest_is_well(cache):
    assert not found(make(steps=60, cache=cache))


def test_shapes_are_told_where_each_is_compiled():
    every = {"steps": 40, "shapes": lambda step: step + 1}
    # Nothing is compiled: new shapes cost nothing that is kept.
    assert not found(make(**every))
    # In each step: the retracing is told with its reason, as a fact.
    traced = found(make(**every, traces=lambda step: step + 1))
    assert traced["shapes_growth"].severity is Severity.INFO
    assert traced["shapes_growth"].evidence["shapes"] == 40
    # Traced again and again, whatever the shapes are.
    assert "shapes_growth" not in found(make(steps=40, traces=lambda step: step + 1))
    # The lengths of a text come to an end.
    settled = {"shapes": lambda step: min(step + 1, 12), "traces": lambda step: min(step + 1, 12)}
    assert not found(make(steps=60, **settled))
    # Some of the late steps meet a new one, and none of them is slower.
    some = {"shapes": lambda step: 8 + step // 2, "traces": lambda step: 8 + step // 2}
    assert not found(make(steps=60, **some))


def test_a_peak_is_held_against_the_memory_there_is():
    near = found(replace(make(active=95), usable=100))["peak_too_large"]
    assert near.severity is Severity.INFO
    assert "95 %" in near.summary.replace("\u202f", " ")
    above = found(replace(make(active=120), usable=100))["peak_too_large"]
    assert above.severity is Severity.WARNING
    assert not found(replace(make(active=80), usable=100))
    assert not found(make(active=120))


def test_the_highest_peak_so_far_is_no_peak_that_grows():
    """Only our own worker sets it back in each step."""
    beats = make(steps=20, peak=lambda step: 4 * P + step * P)
    assert set(found(beats)) == {"peak_growth"}
    assert not found(replace(beats, built=None))


@pytest.mark.parametrize(
    ("figures", "codes"),
    [
        ({"loss_d": [0.5] * 30 + [NAN] * 30, "loss_g": [3.0] * 60}, {"loss_not_finite"}),
        ({"critic_loss": [INF] * 60}, {"loss_not_finite"}),
        ({"loss_d": [0.5] * 30 + [NAN] * 10 + [0.4] * 20}, {"figure_not_finite"}),
        ({"loss_scale": [1.0] * 59 + [INF]}, {"figure_not_finite"}),
        ({"best_loss": [INF] * 60}, {"figure_not_finite"}),
        ({"loss_d": [-0.5] * 60, "loss_g": [3.0] * 60}, set()),
    ],
)
def test_the_losses_of_parts_count_where_there_is_no_other(figures, codes):
    assert {finding.code for finding in findings.find(told([None] * 60, figures))} & {
        "loss_not_finite",
        "figure_not_finite",
    } == codes


def test_the_loss_of_a_part_is_a_figure_beside_another_loss():
    found = findings.find(told(FALLING, {"loss_d": [0.5] * 30 + [NAN] * 30}))
    assert [(f.code, f.severity) for f in found] == [("figure_not_finite", Severity.WARNING)]


def test_a_loss_of_a_part_that_was_finite_between_is_not_lost_from_the_first_on():
    values = [0.5] * 30 + [NAN] + [0.5] * 28 + [NAN]
    (finding,) = findings.find(told([None] * 60, {"loss_d": values}))
    assert finding.code == "loss_not_finite"
    assert " at step " in finding.summary
    assert finding.summary.endswith(", and not finite in 2 of 60 reads")
    assert finding.evidence["count"] == 2
