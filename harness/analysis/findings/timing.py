"""Findings about the wall times of steps.

Times are noisy, so a finding needs a large ratio and a large difference in seconds. A single slow
step can come from other load on the machine, so it needs more of both than a lasting change.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from harness import stats
from harness.beats.record import NOT_WORK, Record
from harness.model import Finding
from harness.model.finding import info, warning
from harness.text.units import count, duration, plural

JUMP = 3.0
"""The factor between two levels of step times, at least."""
JUMP_AT_ONE = 2.0
"""Less is asked at step 1: step 0 has every first-call cost, so that it is slow by right."""
JUMP_S = 0.1
"""The seconds between the two levels, at least."""
RAMP_STEPS = 12
"""Steps after the first one below which nothing is said of a ramp."""
NEAR = 5
"""Points on each side of a change of level that count as near it."""
AT_ONCE = 0.5
"""The share of a change of level that comes within `NEAR` steps on each side, unless it is a ramp
on a machine that others load too."""
STEADY = 0.6
"""The share of the distance to two levels that the distance to a line has at most in a ramp."""
OUTLIER = 5.0
OUTLIER_S = 0.5
"""The factor and the seconds by which a slow step is above the usual one: both."""
FIRST = 10.0
FIRST_S = 1.0
"""The same of step 0."""
CARRIED = 0.2
"""Share of a step's pending operations that have to be those of earlier steps. Reading only the
loss leaves one or two a step behind for good."""
DRAIN = 3.0
"""Usual steps that the work takes which was left over at the end."""
DRAIN_S = 0.25
"""The seconds that it takes: both are asked for."""


def step_time_ramp(record: Record) -> Iterator[Finding]:
    ramp = _ramp(record)
    if ramp is None:
        return
    first, last = ramp
    yield warning(
        "step_time_ramp",
        f"steps take longer and longer: {duration(first)} at first, {duration(last)} after "
        f"{plural(len(record.step), 'step')}; there is no jump",
        first_s=first,
        last_s=last,
        ratio=last / first if first > 0 else None,
        steps=len(record.step),
    )


def step_time_jump(record: Record) -> Iterator[Finding]:
    jump = _jump(record)
    if jump is None or _ramp(record) is not None:
        return
    step, before, after, lasting = jump
    later = stats.median(record.seconds[2:]) if len(record.seconds) > 2 else None
    if lasting:
        summary = (
            f"from step {step} on, a step takes {duration(after)} (before: {duration(before)})"
        )
    else:
        summary = f"step {step} takes {duration(after)}, step 0 took {duration(before)}"
        summary += "" if later is None else f", later steps {duration(later)}"
    phase = _slower_phase(record, step, lasting)
    yield warning(
        "step_time_jump",
        summary + (f"; the time goes into {phase}" if phase else ""),
        step=step,
        before_s=before,
        after_s=after,
        ratio=after / before if before > 0 else None,
        lasting=lasting,
        phase=phase,
    )


def slow_step(record: Record) -> Iterator[Finding]:
    times = record.seconds
    if len(times) < 4 or _ramp(record) is not None:
        return
    usual = stats.median(times[1:])
    limit = max(OUTLIER * usual, usual + OUTLIER_S)
    jump = _jump(record)
    slow = [
        index
        for index, time in enumerate(times)
        if time > limit and index and (jump is None or record.step[index] != jump[0])
    ]
    # More than these are no exceptions but a second kind of step, such as every k-th.
    if not slow or len(slow) > max(2, len(times) // 10) or (jump and jump[3]):
        return
    worst = max(slow, key=times.__getitem__)
    phase = max(_phases(record), key=lambda name: record.phases[name][worst], default=None)
    others = f" ({plural(len(slow), 'such step')} in total)" if len(slow) > 1 else ""
    # A log that tells of every fifth step tells of five at once.
    covers = record.step[worst] - record.step[worst - 1]
    what, each = f"step {record.step[worst]} takes {duration(times[worst])}", ""
    if covers > 1:
        together = f"{duration(covers * times[worst])} together"
        first = record.step[worst - 1] + 1
        what, each = f"steps {first} to {record.step[worst]} take {together}", " each"
    yield info(
        "slow_step",
        f"{what}, others {duration(usual)}{each}{others}; most of it is {phase}",
        step=record.step[worst],
        seconds=times[worst],
        median_s=usual,
        count=len(slow),
        phase=phase,
    )


def first_step_slow(record: Record) -> Iterator[Finding]:
    times = record.seconds
    # Of a training that is known by its log, nothing says how long step 0 took.
    if len(times) < 3 or record.step[0] != 0:
        return
    usual = stats.median(times[1:])
    if times[0] <= max(FIRST * usual, usual + FIRST_S):
        return
    yield info(
        "first_step_slow",
        f"step 0 takes {duration(times[0])}, later steps {duration(usual)}: MLX compiles and "
        "loads its kernels once",
        first_s=times[0],
        median_s=usual,
    )


def deferred_work(record: Record) -> Iterator[Finding]:
    if record.end is None or not record.seconds:
        return
    drain, usual = record.end.drain_s, stats.median(record.seconds)
    if drain <= max(DRAIN * usual, DRAIN_S):
        return
    yield info(
        "deferred_work",
        f"{duration(drain)} of work was left after the last step (a step takes "
        f"{duration(usual)}): no step evaluated it",
        drain_s=drain,
        median_step_s=usual,
    )


def deferred_evaluation(record: Record) -> Iterator[Finding]:
    nodes = dict(zip(record.node_step, record.nodes, strict=True))
    ran = {
        step: carried
        for step, carried in zip(record.left_step, record.carried, strict=True)
        if step and carried > CARRIED * nodes.get(step, carried)
    }
    if not ran:
        yield from _deferred_to_the_last(record, nodes)
        return
    step, carried = next(iter(ran.items()))
    at = record.step.index(step)
    own = nodes.get(step, 0) - record.left[record.left_step.index(step)]
    share = f" of its {count(own)}" if own >= carried else ""
    later = sum(other > step for other in record.left_step)
    again = f"; so did {len(ran) - 1} of {plural(later, 'later sampled step')}" if later else ""
    first, what = _origin(record, step, nodes)
    yield info(
        "deferred_evaluation",
        f"step {step} ({duration(record.seconds[at])}) also ran {what}: {count(carried)}{share} "
        f"operations; step {step - 1} took {duration(record.seconds[at - 1])}{again}",
        step=step,
        seconds=record.seconds[at],
        before_s=record.seconds[at - 1],
        operations=carried,
        of=own if own >= carried else None,
        from_step=first,
        steps=len(ran),
        looked_at=len(record.left_step),
    )


def _deferred_to_the_last(record: Record, nodes: dict[int, int]) -> Iterator[Finding]:
    """The same of a step whose evaluation has not returned: a hang or a crash."""
    step = record.built.step if record.built else 0
    if not record.left_step or record.left_step[-1] != step - 1 or step not in nodes:
        return
    left = record.left[-1]
    if left <= CARRIED * nodes[step]:
        return
    first, what = _origin(record, step, nodes)
    yield info(
        "deferred_evaluation",
        f"step {step} did not return and also has to run {what}: {count(left)} of its "
        f"{plural(nodes[step], 'operation')}; step {step - 1} took {duration(record.seconds[-1])}",
        step=step,
        before_s=record.seconds[-1],
        operations=left,
        of=nodes[step],
        from_step=first,
        looked_at=len(record.left_step),
    )


def _origin(record: Record, step: int, nodes: dict[int, int]) -> tuple[int, str]:
    """(the first step, words) of what was pending when `step` began.

    A step that read its loss has run its forward pass; what is left of it is the backward pass and
    the update, if it announced a backward pass and reading the loss ran a part of its graph.
    """
    at = bisect_left(record.loss_step, step)
    read = record.loss_step[at - 1] if at else -1
    whole = record.step[bisect_right(record.step, read) : bisect_left(record.step, step)]
    what = f"all of step{'s' * (len(whole) > 1)} {_span(whole)}"
    if read < 0:
        return whole[0], what
    left = dict(zip(record.left_step, record.left, strict=True)).get(read)
    announced = any(record.phases.get("backward", ()))
    if left is not None and left < nodes.get(read, 0) and announced:
        rest = f"the backward pass and update of step {read}"
    else:
        rest = f"work left over from step {read}"
    return read, f"{rest} and {what}" if whole else rest


def _span(steps: Sequence[int]) -> str:
    if len(steps) < 3:
        return " and ".join(map(str, steps))
    return f"{steps[0]} to {steps[-1]}"


def _jump(record: Record) -> tuple[int, float, float, bool] | None:
    """(step, seconds before, seconds after, whether it lasts) of the jump upwards, if any."""
    times = record.seconds
    if len(times) < 2:
        return None
    if record.step[0] != 0:
        # Of a log, whose first report has no time: no step here has the costs of first calls.
        return _later_jump(record, times)
    rest = times[1:]
    if _exceeds(times[0], times[1], OUTLIER, OUTLIER_S) and (
        len(rest) < 3 or _exceeds(stats.median(rest[1:]), times[1], OUTLIER, OUTLIER_S)
    ):
        return record.step[1], times[0], times[1], False
    if len(rest) >= 3:
        least = min(times[1], stats.quantile(rest, 0.1))
        if _exceeds(times[0], least, JUMP_AT_ONE, JUMP_S):
            return record.step[1], times[0], stats.median(rest), True
    return _later_jump(record, rest)


def _later_jump(record: Record, rest: array[float]) -> tuple[int, float, float, bool] | None:
    """The same in `rest`, the last times of the record, each of an ordinary step."""
    if len(rest) < 5:
        return None
    at = _split(rest)
    before, after = rest[:at], rest[at:]
    if len(before) < 2 or len(after) < 3:
        return None
    level, raised, least = stats.median(before), stats.median(after), stats.quantile(after, 0.1)
    # Where a slow kind of step comes every so often, the two sides overlap: no change of level.
    # And of a few noisy steps at the end two may be long by chance, but not all of them.
    if stats.quantile(before, 0.9) >= least or least < JUMP_AT_ONE * level:
        return None
    step = record.step[len(record.step) - len(rest) + at]
    return (step, level, raised, True) if _exceeds(level, raised, JUMP, JUMP_S) else None


def _ramp(record: Record) -> tuple[float, float] | None:
    """(seconds at first, seconds at the end) where times rise steadily; None where they do not."""
    times = record.seconds[1:]
    if len(times) < RAMP_STEPS:
        return None
    levels = [level for _, level in stats.blocks(times)]
    tenth = max(2, len(levels) // 10)
    first, last = stats.median(levels[:tenth]), stats.median(levels[-tenth:])
    if not _exceeds(first, last, JUMP, JUMP_S):
        return None
    # Whichever describes the times better: two levels, or a line; growth by a factor is a line too.
    for values in (levels, [_log(level) for level in levels]):
        slope = stats.theil_sen([(float(at), value) for at, value in enumerate(values)])
        middle = stats.median([value - slope.value * at for at, value in enumerate(values)])
        off = sum(abs(value - middle - slope.value * at) for at, value in enumerate(values))
        at = stats.change_of_level(values)
        sides = values[:at], values[at:]
        stepped = sum(abs(value - stats.median(side)) for side in sides for value in side)
        before, after = values[max(0, at - NEAR) : at], values[at : at + NEAR]
        near = stats.median(after) - stats.median(before)
        whole = stats.median(sides[1]) - stats.median(sides[0])
        if slope.low > 0 and (off < STEADY * stepped or near < AT_ONCE * whole):
            return first, last
    return None


def _exceeds(low: float, high: float, ratio: float, difference: float) -> bool:
    return high >= ratio * low and high - low >= difference


def _split(times: array[float]) -> int:
    """Find the largest change of level in `times`, on a log scale: first roughly, then exactly."""
    rough = stats.blocks(times)
    start = rough[stats.change_of_level([_log(time) for _, time in rough])][0]
    size = rough[1][0]
    if size == 1:
        return start
    low = max(0, start - size)
    return low + stats.change_of_level([_log(time) for time in times[low : start + size]])


def _log(time: float) -> float:
    return math.log(max(time, 1e-6))


def _phases(record: Record) -> list[str]:
    return [name for name in record.phases if name not in NOT_WORK]


def _slower_phase(record: Record, step: int, lasting: bool) -> str | None:
    at = record.step.index(step)
    end = len(record.step) if lasting else at + 1
    start = min(1, at - 1)

    def more(name: str) -> float:
        column = record.phases[name]
        return stats.median(column[at:end]) - stats.median(column[start:at])

    return max(_phases(record), key=more, default=None)
