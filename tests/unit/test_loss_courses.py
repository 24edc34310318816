"""Courses of losses made by chance: nothing is said of the healthy ones, and much of the others."""

from __future__ import annotations

import math
import random

import pytest
from loss_courses import FAULTY, HEALTHY
from records import told

from harness.analysis import findings
from harness.analysis.findings.anew import beginnings
from harness.model import Severity

LENGTHS = (20, 40, 60, 80, 120, 200, 400, 1000)
SEEDS = 10


def courses(course):
    """Losses of each length, as they are and as they are printed."""
    for seed in range(SEEDS):
        draw = random.Random(f"{course.__name__} {seed}")
        losses = course(draw, LENGTHS[seed % len(LENGTHS)])
        yield losses, told(losses, decimals=(None, 4, 3)[seed % 3])


@pytest.mark.unmeasured
@pytest.mark.parametrize("course", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_wrong_with_a_healthy_course(course):
    wrong = [
        finding.summary
        for _, record in courses(course)
        for finding in findings.find(record)
        if finding.severity is not Severity.INFO
    ]
    assert not wrong


@pytest.mark.parametrize("course", FAULTY.values(), ids=FAULTY)
def test_a_loss_that_left_its_best_is_told(course):
    for losses, record in courses(course):
        codes = {finding.code for finding in findings.find(record)}
        assert len(losses) < 60 or codes & {"loss_left_best", "loss_exploded"}


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_each_training_of_a_sweep_is_found_where_it_begins(count):
    draw = random.Random(count)
    losses = [
        (0.5 + 3 * 0.9**n) * (1 + 0.02 * draw.gauss(0, 1)) for _ in range(count) for n in range(60)
    ]
    found = beginnings(losses)
    assert len(found) == count - 1
    assert all(abs(at - 60 * (n + 1)) <= 3 for n, at in enumerate(found))


def test_a_million_losses_are_looked_at_in_parts():
    losses = [0.5 + 3 * 0.9999**n for _ in range(2) for n in range(500_000)]
    (at,) = beginnings(losses)
    assert abs(at - 500_000) <= 10_000


def test_the_last_training_of_a_sweep_may_leave_its_best():
    good = [0.5 + 3 * 0.9**n for n in range(60)]
    bad = [*good, *(0.5 + 0.05 * n for n in range(60))]
    (finding,) = [f for f in findings.find(told(good + bad)) if f.code == "loss_left_best"]
    assert finding.evidence["best_step"] >= 90


@pytest.mark.parametrize("name", ["kl_weight", "beta", "loss_coef"])
def test_a_part_that_weighs_more_makes_the_loss_another_one(name):
    losses = [2 + 3 * 0.9**n + 0.02 * max(0, n - 60) for n in range(160)]
    constant = {finding.code for finding in findings.find(told(losses, {name: [0.1] * 160}))}
    assert "loss_left_best" in constant
    rising = {name: [0.001 * max(1, n - 60) for n in range(160)]}
    assert "loss_left_best" not in {finding.code for finding in findings.find(told(losses, rising))}


@pytest.mark.parametrize("name", ["weight_norm", "weight_decay"])
def test_what_is_told_of_the_parameters_makes_the_loss_no_other_one(name):
    losses = [2 + 3 * 0.9**n + 0.02 * max(0, n - 60) for n in range(160)]
    changes = {name: [10 + 0.1 * n for n in range(160)]}
    assert "loss_left_best" in {finding.code for finding in findings.find(told(losses, changes))}


RISING = [2 + 3 * 0.9**n + 0.02 * max(0, n - 60) for n in range(160)]


@pytest.mark.parametrize(
    ("figures", "left"),
    [
        ({"accuracy": [0.004 * n for n in range(160)]}, False),
        ({"loss_recon": [3 * 0.98**n for n in range(160)]}, False),
        ({"accuracy": [0.004 * (160 - n) for n in range(160)]}, True),
        ({"accuracy": [0.4] * 160}, True),
        ({"avg_loss": [3 * 0.98**n for n in range(160)]}, True),
        ({"train_time": [float(n) for n in range(160)]}, True),
        (
            {
                "loss_recon": [3 * 0.98**n for n in range(160)],
                "accuracy": [0.004 * (160 - n) for n in range(160)],
            },
            True,
        ),
    ],
)
def test_a_loss_that_rises_while_the_model_improves_has_not_left(figures, left):
    codes = {finding.code for finding in findings.find(told(RISING, figures))}
    assert ("loss_left_best" in codes) == left


def weighed(weight, decimals=4, lost=6.0):
    """A loss of two parts, of which one weighs more and more and the other becomes worse for it."""
    draw = random.Random(1)
    noise = [1 + 0.03 * draw.gauss(0, 1) for _ in range(400)]
    weights = [weight(n / 200) for n in range(200)]
    kl = [round(8 * math.exp(-n / 200) * noise[n], decimals) for n in range(200)]
    recon = [3 + 30 * 0.9**n + lost * n / 200 for n in range(200)]
    recon = [round(value * noise[200 + n], decimals) for n, value in enumerate(recon)]
    losses = [r + w * k for r, w, k in zip(recon, weights, kl, strict=True)]
    return told(losses, {"recon_loss": recon, "kl": kl}, decimals=decimals)


@pytest.mark.parametrize("decimals", [2, 3, 4, 6])
@pytest.mark.parametrize(
    "weight",
    [
        lambda at: 4 * at,
        lambda at: 4 * max(0.0, at - 0.2),
        lambda at: 0.5 * int(8 * at),
        lambda at: 4 / (1 + math.exp(-12 * (at - 0.5))),
        lambda at: 0.001 * 4000**at,
    ],
    ids=["linear", "after a warm-up", "stairs", "sigmoid", "exponential"],
)
def test_a_weight_that_is_raised_to_the_end_shows_in_the_parts(weight, decimals):
    codes = {finding.code for finding in findings.find(weighed(weight, decimals=decimals))}
    assert "loss_left_best" not in codes


@pytest.mark.parametrize(
    "weight", [lambda at: 1.0, lambda at: 1 + at % 0.1], ids=["one", "to and fro"]
)
def test_parts_of_a_constant_weight_may_leave_their_best(weight):
    codes = {finding.code for finding in findings.find(weighed(weight, lost=30))}
    assert "loss_left_best" in codes


def test_another_part_that_rises_shows_as_no_weight():
    record = weighed(lambda at: 1 + 3 * at)
    draw = random.Random(2)
    hidden = [1 + 0.02 * n * (1 + 0.03 * draw.gauss(0, 1)) for n in range(200)]
    losses = [loss + more for loss, more in zip(record.loss, hidden, strict=True)]
    figures = {name: list(series.value) for name, series in record.figures.items()}
    codes = {finding.code for finding in findings.find(told(losses, figures, decimals=4))}
    assert "loss_left_best" in codes


def test_a_jump_far_above_the_first_losses_is_no_other_training():
    losses = [2.5 * 0.98**n for n in range(40)] + [20 + 20 * 0.9**n for n in range(60)]
    assert "loss_exploded" in {finding.code for finding in findings.find(told(losses))}
