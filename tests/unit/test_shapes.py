"""Losses and figures as logs give them: what is found in the faulty ones, and in them alone."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import make, told

from harness.analysis import findings
from harness.analysis.findings.trend import classes
from harness.beats.record import load
from harness.logs import ADAPTERS
from harness.model import Severity
from harness.supervise.listen import Ear
from harness.supervise.log_beats import LogBeats

NAN, INF = math.nan, math.inf


def found(record):
    return {finding.code: finding for finding in findings.find(record)}


def falling(steps, noise=0.02, seed=0, start=4.0, end=1.0):
    draw = random.Random(seed)
    return [
        (end + (start - end) * math.exp(-4 * n / steps)) * (1 + noise * draw.gauss(0, 1))
        for n in range(steps)
    ]


# --- not finite ----------------------------------------------------------------------------------


def test_a_loss_of_0_beside_gradients_that_are_no_number_has_diverged():
    losses = [4.0 - 0.02 * n for n in range(19)] + [0.0] * 41
    finding = found(told(losses, {"grad_norm": [1.0] * 19 + [NAN] * 41}))
    gradients = finding["gradients_not_finite"]
    assert gradients.severity is Severity.ERROR
    assert (gradients.evidence["step"], gradients.evidence["count"]) == (19, 41)


def test_a_norm_that_overflows_once_is_no_divergence():
    norms = [1.0] * 10 + [INF] + [1.0] * 19
    gradients = found(told(falling(30), {"gnorm": norms}))["gradients_not_finite"]
    assert gradients.severity is Severity.WARNING


def test_every_validation_may_be_no_number_while_the_training_is_fine():
    finding = found(told(falling(60), {"val_loss": [NAN] * 60}))
    assert set(finding) == {"validation_not_finite"}
    assert finding["validation_not_finite"].severity is Severity.WARNING
    assert "nan in every one of 60 reads" in finding["validation_not_finite"].summary


@pytest.mark.parametrize("name", ["tokens_per_s", "it_s", "throughput", "it_sec", "mfu"])
def test_a_speed_without_a_time_is_not_the_trainings(name):
    assert not found(told(falling(60), {name: [INF] + [5.0] * 59}))


def test_a_figure_that_was_no_number_for_a_while_is_told_of_without_alarm():
    finding = found(told(falling(60), {"kl": [NAN] * 3 + [0.1] * 57}))["figure_not_finite"]
    assert finding.severity is Severity.INFO
    assert "at step 0, and not finite in 3 of 60 reads, and finite again later" in finding.summary


def test_what_the_loss_says_is_not_said_of_each_figure():
    diverged = told([2.0] * 5 + [NAN] * 5, {"kl": [0.1] * 5 + [NAN] * 5})
    assert set(found(diverged)) == {"loss_not_finite"}


def test_null_is_no_number_where_no_number_follows():
    losses = [2.0, 1.9, 1.8, None, None]
    finding = found(told(losses, {"loss": [NAN] * 5}))
    assert "loss_not_finite" not in finding  # as of a log that gives its loss every other time
    record = told(losses)
    record.figures.update(told([None] * 5, {"loss": [NAN] * 5}).figures)
    del record.figures["loss"].step[:3], record.figures["loss"].value[:3]
    null = found(record)["loss_not_finite"]
    assert (null.evidence["step"], null.evidence["count"]) == (3, 2)


# --- shapes --------------------------------------------------------------------------------------


def test_a_loss_that_blew_up_and_falls_is_told_from_one_that_came_back():
    up = [2.5, 2.4] + [1e6 * 0.8**n for n in range(40)]
    assert "falls from there" in found(told(up))["loss_exploded"].summary
    back = [2.5, 2.4, 2.3, 300.0] + [2.3 - 0.01 * n for n in range(40)]
    assert "loss_exploded" not in found(told(back))


def test_a_dead_loss_is_named_after_the_guess_that_it_is():
    finding = found(told([6.1, 5.0, 9.2] + [math.log(64)] * 57, decimals=4))["loss_dead"]
    assert "57 of 60 reads: the loss of a uniform guess over 64 classes" in finding.summary
    other = found(told([6.1, 5.0, 9.2] + [4.4321] * 57))["loss_dead"]
    assert "guess" not in other.summary


def test_a_loss_around_the_one_of_a_guess_has_learned_nothing():
    draw = random.Random(3)
    losses = [4.1589 + draw.gauss(0, 0.0008) for _ in range(200)]
    finding = found(told(losses, decimals=4))["loss_not_falling"]
    assert finding.severity is Severity.WARNING
    assert finding.evidence["classes"] == 64


@pytest.mark.parametrize("number", [2, 10, 64, 500])
def test_classes(number):
    level = round(math.log(number), 4)
    assert classes(level, 0.00005) == number
    assert classes(level + 0.0002, 0.00005) is None


def test_classes_that_lie_too_close_to_tell_are_none():
    assert classes(round(math.log(32000), 3), 0.0005) is None
    assert classes(0.0, 0.1) is None


def test_the_loss_fell_and_then_left_its_best_for_good():
    draw = random.Random(1)
    losses = [5 - 3 * min(n, 60) / 60 + 1.5 * max(0, n - 60) / 60 for n in range(120)]
    finding = found(told([x + 0.05 * draw.gauss(0, 1) for x in losses]))["loss_left_best"]
    assert 50 <= finding.evidence["best_step"] <= 66
    back = losses[:100] + [2.0] * 20
    assert "loss_left_best" not in found(told([x + 0.05 * draw.gauss(0, 1) for x in back]))


@pytest.mark.parametrize("period", [60, 100, 157])
def test_a_loss_that_comes_and_goes_has_not_left_for_good(period):
    """As the losses of two that are trained against each other."""
    draw = random.Random(3)
    swing = [1.4 + 0.5 * math.sin(2 * math.pi * n / period) for n in range(400)]
    for end in range(250, 401, 15):
        losses = [x + 0.1 * draw.gauss(0, 1) for x in swing[:end]]
        if period == 157 and end < 330:
            continue  # it has not come back yet
        assert "loss_left_best" not in found(told(losses))


def test_a_loss_that_follows_the_policy_is_judged_by_its_reward():
    draw = random.Random(5)
    losses = [-0.2 * math.exp(-n / 9) + 0.002 * draw.gauss(0, 1) for n in range(60)]
    losses[:3] = [0.0, -0.05, -0.12]
    rising = [0.5 + min(0.4, n / 75) + 0.01 * draw.random() for n in range(60)]
    assert "loss_left_best" not in found(told(losses, {"reward": rising}))


def test_a_loss_that_swings_ever_wider():
    draw = random.Random(2)
    losses = [2.5 + 0.01 * 1.05**n * draw.choice((-1, 1)) * draw.random() for n in range(160)]
    assert "ever wider" in found(told(losses))["loss_left_best"].summary


def test_a_loss_that_is_0_by_construction_is_judged_by_its_reward():
    losses = [1e-8 * (-1) ** n for n in range(150)]
    draw = random.Random(4)
    rising = [min(1.0, n / 75) + 0.05 * draw.random() for n in range(150)]
    assert not found(told(losses, {"rewards_mean": rising}))
    standing = [0.1 + 0.05 * draw.random() for _ in range(150)]
    assert set(found(told(losses, {"rewards_mean": standing}))) == {"reward_not_rising"}


@pytest.mark.parametrize(
    ("losses", "decimals"),
    [
        ([0.52] * 60, 2),
        ([2.31] * 5, 1),
        ([2.7, 0.07, 0.001] + [0.0] * 12, 3),  # converged, as far as the print shows
        ([2.5 * 0.8**n for n in range(120)], 3),
        ([0.5123 + 2 * 0.7**n for n in range(200)], 4),  # at rest on the noise of the data
    ],
)
def test_a_loss_that_its_print_rounds_is_not_flat_dead_or_0(losses, decimals):
    assert not found(told(losses, decimals=decimals))


def test_equal_losses_with_enough_digits_are_flat():
    assert set(found(told([4.1589] * 10))) == {"loss_flat"}


# --- times ---------------------------------------------------------------------------------------


def test_a_ramp_of_step_times_is_no_jump():
    draw = random.Random(5)
    times = [(0.02 + 0.007 * n) * (1 + 0.1 * draw.random()) for n in range(70)]
    finding = found(told(falling(70), seconds=times))
    assert set(finding) == {"step_time_ramp"}
    assert finding["step_time_ramp"].evidence["ratio"] > 5


def test_a_ramp_on_a_machine_that_others_load_is_no_jump():
    draw = random.Random(7)
    load = [1 + 0.8 * math.sin(n / 6) ** 2 for n in range(70)]
    times = [(0.2 + 0.04 * n) * load[n] * (1 + 0.2 * draw.random()) for n in range(70)]
    assert set(found(told(falling(70), seconds=times))) == {"step_time_ramp"}


@pytest.mark.parametrize("at", [15, 40, 55])
@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_a_jump_of_step_times_is_no_ramp(at, noise):
    draw = random.Random(at)
    times = [(0.02 if n < at else 0.5) * (1 + noise * draw.random()) for n in range(70)]
    assert set(found(told(falling(70), seconds=times))) == {"step_time_jump"}


# --- healthy -------------------------------------------------------------------------------------

HEALTHY = {
    "fine-tuning": lambda r, n, of: 1.6 - 0.3 * n / of + 0.15 * r.gauss(0, 1),
    "pretraining": lambda r, n, of: 3 + 7 * math.exp(-6 * n / of) + 0.1 * r.gauss(0, 1),
    "batches of one": lambda r, n, of: r.uniform(0.8, 3.0) * (1 - 0.3 * n / of),
    "with restarts": lambda r, n, of: (
        2 - n / of + 0.15 * ((4 * n / of) % 1 < 0.1) + 0.05 * r.gauss(0, 1)
    ),
    "preferences": lambda r, n, of: max(0.0, 0.693 * (1 - 0.6 * n / of) + 0.05 * r.gauss(0, 1)),
    "regression": lambda r, n, of: 40 * math.exp(-10 * n / of) * math.exp(0.3 * r.gauss(0, 1)),
    "policy gradient": lambda r, n, of: 0.02 * r.gauss(0, 1) - 0.05 * n / of,
    "overfits": lambda r, n, of: 2.5 * math.exp(-12 * n / of) * (1 + 0.1 * r.gauss(0, 1)),
}


@pytest.mark.parametrize("kind", HEALTHY)
@given(
    seed=st.integers(0, 10_000), length=st.integers(10, 300), decimals=st.sampled_from((2, 3, 4, 8))
)
def test_nothing_is_wrong_with_a_healthy_log(kind, seed, length, decimals):
    draw = random.Random(seed)
    losses = [HEALTHY[kind](draw, n, length) for n in range(length)]
    seconds = [0.5 * (1 + 0.1 * draw.random()) for _ in range(length)]
    wrong = {
        finding.code
        for finding in findings.find(told(losses, seconds=seconds, decimals=decimals))
        if finding.severity is not Severity.INFO
    }
    assert not wrong


LOGS = sorted((Path(__file__).parent / "logs").glob("*.log"))
FAULTY = {"hf_nan", "json_nan", "json_null", "keras_1_nan", "mlx_lm_031_nan", "mlx_lm_032_pty_nan"}
CUT = {"original_bar", "original_days", "original_template", "original_terminal"}
CUT |= {"plain_llm_c", "plain_modded", "plain_thousands"}
"""Those that were cut before their total."""
FAULTY |= {"original_metrics", "plain_mlx_arrays", "plain_nan", "tqdm_nan"}
FAULTY |= {"table_spacy", "ultralytics"}


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_of_the_logs_of_real_trainers_those_that_diverge_do_and_no_other(log, tmp_path):
    beats = LogBeats(tmp_path)
    ear = Ear(beats, ADAPTERS)
    ear.hear(log.read_bytes())
    ear.close()
    # All lines came at once, so their times say nothing.
    found = [f for f in findings.find(load(tmp_path)) if not f.code.startswith(("step_", "slow_"))]
    wrong = {finding.code for finding in found if finding.severity is not Severity.INFO}
    diverged = {finding.code for finding in found if finding.severity is Severity.ERROR}
    assert bool(diverged) == (log.stem in FAULTY), found
    assert wrong == diverged or log.stem in FAULTY, found
    assert beats.early is None or ear.end_is_explained or log.stem in CUT, beats.early


def test_losses_read_in_full_are_not_taken_for_rounded_ones():
    assert set(found(make(losses=5.5))) == {"loss_flat"}
