"""Courses of losses, made by chance: healthy ones of many kinds, and some that leave their best."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

Course = Callable[[Random, int], list[float]]
"""The losses of a training of so many reads."""
HEALTHY: dict[str, Course] = {}
FAULTY: dict[str, Course] = {}


def healthy(course: Course) -> Course:
    HEALTHY[course.__name__] = course
    return course


def faulty(course: Course) -> Course:
    FAULTY[course.__name__] = course
    return course


def fall(n: float, of: float, start: float, end: float, rate: float = 4.0) -> float:
    return end + (start - end) * math.exp(-rate * n / of)


def noisy(draw: Random, values: list[float], share: float) -> list[float]:
    return [value * max(0.05, 1 + share * draw.gauss(0, 1)) for value in values]


@healthy
def language_model(draw: Random, of: int) -> list[float]:
    end = draw.uniform(0.05, 1.9)
    return noisy(draw, [fall(n, of, 10.8, end, 12) for n in range(of)], draw.uniform(0.005, 0.2))


@healthy
def one_restart_of_the_learning_rate(draw: Random, of: int) -> list[float]:
    at, height = 2 * of // 5, draw.uniform(0.2, 0.8)
    bump = [height * max(0.0, 1 - (n - at) / (0.4 * of)) * (n >= at) for n in range(of)]
    return noisy(draw, [fall(n, of, 4, 1, 10) + bump[n] for n in range(of)], 0.03)


@healthy
def restarts_of_the_learning_rate(draw: Random, of: int) -> list[float]:
    period, height = max(10, of // draw.randint(2, 6)), draw.uniform(0.1, 1.0)
    waves = [height * (1 + math.cos(math.pi * (n % period) / period)) / 2 for n in range(of)]
    return noisy(draw, [fall(n, of, 4, 1) + waves[n] * (1 - n / of) for n in range(of)], 0.03)


@healthy
def spike_in_the_warm_up(draw: Random, of: int) -> list[float]:
    at, height = draw.randint(3, max(4, of // 10)), draw.uniform(1.2, 4)
    return noisy(
        draw, [fall(n, of, 5, 0.5) + 5 * height * (at <= n < at + 3) for n in range(of)], 0.03
    )


@healthy
def hump_in_the_warm_up(draw: Random, of: int) -> list[float]:
    height = draw.uniform(0.2, 1.5)
    hump = [height * math.exp(-(((n / of - 0.3) / 0.06) ** 2)) for n in range(of)]
    return noisy(draw, [fall(n, of, 5, 1, 5) + hump[n] for n in range(of)], draw.uniform(0.01, 0.1))


@healthy
def adversaries(draw: Random, of: int) -> list[float]:
    period, height = of / draw.uniform(2.5, 12), draw.uniform(0.1, 0.6)
    waves = [1.2 + height * math.sin(2 * math.pi * n / period) for n in range(of)]
    return [max(0.01, value + 0.1 * draw.gauss(0, 1)) for value in waves]


@healthy
def generator_that_loses(draw: Random, of: int) -> list[float]:
    return [
        max(
            0.05,
            0.7
            + (1.5 + 0.5 * math.sin(n / 17)) * (1 - math.exp(-3 * n / of))
            + 0.1 * draw.gauss(0, 1),
        )
        for n in range(of)
    ]


@healthy
def pairs_that_stand_at_first(draw: Random, of: int) -> list[float]:
    guess, at = math.log(draw.choice((32, 64, 128, 256))), draw.uniform(0.1, 0.5) * of
    levels = [guess if n < at else fall(n - at, of - at, guess, 0.7, 5) for n in range(of)]
    return [level + draw.uniform(0.001, 0.05) * draw.gauss(0, 1) for level in levels]


@healthy
def pairs_in_larger_batches_later(draw: Random, of: int) -> list[float]:
    half = of / 2
    levels = [
        fall(n, half, 3.47, 0.6, 6) if n < half else fall(n - half, half, 1.8, 1.1, 6)
        for n in range(of)
    ]
    return noisy(draw, levels, draw.uniform(0.01, 0.05))


@healthy
def learned_by_heart(draw: Random, of: int) -> list[float]:
    return noisy(draw, [1e-5 + fall(n, of, 4.6, 1e-3, 25) for n in range(of)], 0.1)


@healthy
def slingshots(draw: Random, of: int) -> list[float]:
    period = max(20, of // draw.randint(3, 8))
    spikes = [draw.uniform(0.05, 0.8) * (n > of // 5 and n % period < 3) for n in range(of)]
    return [spikes[n] + 1e-6 + fall(n, of, 4.6, 1e-3, 25) for n in range(of)]


@healthy
def validations_among_the_losses(draw: Random, of: int) -> list[float]:
    period, height = draw.randint(5, 25), draw.uniform(0.2, 3)
    return [
        fall(n, of, 5, 1) + 0.03 * draw.gauss(0, 1) + height * (n % period == period - 1)
        for n in range(of)
    ]


@healthy
def floor_of_smoothed_labels(draw: Random, of: int) -> list[float]:
    floor, noise = draw.uniform(0.5, 1.4), draw.uniform(1e-4, 0.01)
    return [fall(n, of, 4, floor, 40) + noise * draw.gauss(0, 1) for n in range(of)]


@healthy
def fine_tuning_that_hardly_moves(draw: Random, of: int) -> list[float]:
    start, noise = draw.uniform(0.8, 2.5), draw.uniform(0.05, 0.3)
    return [max(0.01, start * (1 - 0.02 * n / of) + noise * draw.gauss(0, 1)) for n in range(of)]


@healthy
def wide_tails(draw: Random, of: int) -> list[float]:
    width = draw.uniform(0.5, 1.2)
    return [fall(n, of, 3, 0.8) * math.exp(width * draw.gauss(0, 1)) for n in range(of)]


@healthy
def several_tasks(draw: Random, of: int) -> list[float]:
    scales = [draw.uniform(0.2, 6) for _ in range(draw.randint(2, 5))]
    return noisy(draw, [fall(n, of, 1, 0.4) * draw.choice(scales) for n in range(of)], 0.05)


@healthy
def margin_that_is_reached(draw: Random, of: int) -> list[float]:
    return [max(0.0, fall(n, of, 1, -0.05, 6) + 0.03 * draw.gauss(0, 1)) for n in range(of)]


@healthy
def likelihood_of_densities(draw: Random, of: int) -> list[float]:
    return [-fall(n, of, -500, 1500, 5) + 30 * draw.gauss(0, 1) for n in range(of)]


@healthy
def two_descents(draw: Random, of: int) -> list[float]:
    height = draw.uniform(0.3, 1.2)
    hump = [height * math.exp(-(((n / of - 0.5) / 0.15) ** 2)) for n in range(of)]
    return noisy(
        draw, [fall(n, of, 5, 0.8, 8) + hump[n] for n in range(of)], draw.uniform(0.01, 0.1)
    )


@healthy
def stairs_of_epochs(draw: Random, of: int) -> list[float]:
    epochs = draw.randint(2, 6)
    return noisy(
        draw, [2.0 * 0.7 ** (n * epochs // of) for n in range(of)], draw.uniform(0.01, 0.1)
    )


@healthy
def preferences(draw: Random, of: int) -> list[float]:
    return [
        max(0.0, fall(n, of, 0.6931, 0.3, 3) + 0.06 * draw.gauss(0, 1) * (n > 3)) for n in range(of)
    ]


@healthy
def surrogate_that_wanders(draw: Random, of: int) -> list[float]:
    value, values = 0.0, []
    for _ in range(of):
        value = 0.95 * value + 0.1 * draw.gauss(0, 1)
        values.append(value)
    return values


@healthy
def surrogate_near_0(draw: Random, of: int) -> list[float]:
    return [abs(1e-3 * n / of * draw.gauss(0, 1)) for n in range(of)]


@healthy
def sweep(draw: Random, of: int) -> list[float]:
    count, levels = draw.randint(2, 6), []
    for _ in range(count):
        start, end, rate = draw.uniform(2, 5), draw.uniform(0.1, 1.9), draw.uniform(2, 30)
        levels += [fall(n, of // count, start, end, rate) for n in range(of // count)]
    return noisy(draw, levels, draw.uniform(0.005, 0.1))


@healthy
def sweep_that_learns_less_and_less(draw: Random, of: int) -> list[float]:
    count, start, levels = draw.randint(2, 4), draw.uniform(2, 5), []
    for m in range(count):
        end, rate = 0.1 + 0.5 * m * draw.random(), 6 / (1 + 2 * m)
        levels += [fall(n, of // count, start, end, rate) for n in range(of // count)]
    return noisy(draw, levels, draw.uniform(0.005, 0.05))


@healthy
def curriculum(draw: Random, of: int) -> list[float]:
    count, levels = draw.randint(2, 4), []
    for m in range(count):
        start = 2 * (1 + m * draw.uniform(0.2, 0.8))
        end, rate = start * draw.uniform(0.3, 0.5), draw.uniform(3, 8)
        levels += [fall(n, of // count, start, end, rate) for n in range(of // count)]
    return noisy(draw, levels, draw.uniform(0.01, 0.05))


@healthy
def pretraining_and_another_objective(draw: Random, of: int) -> list[float]:
    at, start = draw.uniform(0.3, 0.7) * of, draw.uniform(0.5, 6)
    levels = [
        fall(n, at, 4, 0.3, 6) if n < at else fall(n - at, of - at, start, 0.3 * start, 3)
        for n in range(of)
    ]
    return noisy(draw, levels, draw.uniform(0.01, 0.05))


@healthy
def weight_that_is_raised_to_rest(draw: Random, of: int) -> list[float]:
    middle, width, height = draw.uniform(0.4, 0.55), draw.uniform(0.05, 0.1), draw.uniform(0.3, 1)
    raised = [height / (1 + math.exp(-(n / of - middle) / width)) for n in range(of)]
    return noisy(
        draw, [fall(n, of, 5, 1, 12) + raised[n] for n in range(of)], draw.uniform(0.005, 0.03)
    )


@faulty
def rises_slowly(draw: Random, of: int) -> list[float]:
    best, rise = draw.uniform(0.5, 2), draw.uniform(2, 4)
    return noisy(
        draw, [fall(n, of, 6, best, 12) + rise * max(0.0, n / of - 0.4) for n in range(of)], 0.03
    )


@faulty
def jumps_to_a_plateau(draw: Random, of: int) -> list[float]:
    at, best, level = int(draw.uniform(0.4, 0.7) * of), draw.uniform(0.5, 2), draw.uniform(4, 7)
    return noisy(draw, [fall(n, of, 6, best, 12) if n < at else level for n in range(of)], 0.03)


@faulty
def jumps_and_recovers_a_little(draw: Random, of: int) -> list[float]:
    at, best, level = int(draw.uniform(0.4, 0.7) * of), draw.uniform(0.5, 2), draw.uniform(6, 8)
    after = [fall(max(0, n - at), of, level, level - 0.2 * (level - best), 8) for n in range(of)]
    return noisy(draw, [fall(n, of, 10, best, 12) if n < at else after[n] for n in range(of)], 0.03)


@faulty
def rises_in_a_few_reads(draw: Random, of: int) -> list[float]:
    at, best, level = draw.uniform(0.4, 0.6) * of, draw.uniform(0.5, 2), draw.uniform(4, 7)
    rise = [(level - best) / (1 + math.exp(-(n - at) / (of / 25))) for n in range(of)]
    return noisy(draw, [fall(n, of, 6, best, 12) + rise[n] for n in range(of)], 0.05)


@faulty
def rises_to_rest_near_its_beginning(draw: Random, of: int) -> list[float]:
    at, best, rise = draw.uniform(0.3, 0.5), draw.uniform(0.3, 1.5), draw.uniform(3, 4)
    levels = [
        fall(n, of, 6, best, 12) + rise * (1 - math.exp(-6 * max(0.0, n / of - at)))
        for n in range(of)
    ]
    return noisy(draw, levels, 0.04)
