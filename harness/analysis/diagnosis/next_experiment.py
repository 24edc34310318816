"""The order of the ladder, and the most informative next run. Pure."""

from __future__ import annotations

import functools
import math
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from harness.analysis.diagnosis import effects
from harness.analysis.diagnosis.effects import CHANCE
from harness.analysis.diagnosis.evidence import Evidence, cell, informative_runs, stays
from harness.analysis.diagnosis.hypotheses import HYPOTHESES, TABLE, TWINS, Cell, Effect, Theory
from harness.analysis.diagnosis.quantities import may_hide
from harness.model import Hypothesis, Settings, Support
from harness.scenario.load import BASELINE
from harness.text import invocation

DEFAULTS = Settings()
OWN = (
    "these scenarios are your own, so the ladder's runs do not compare with them; to test a "
    "hypothesis, write a file with the name of the scenario that it needs"
)
COMMAND = (
    "a command compares only with its own variants; to test a hypothesis, add the variant that it "
    "needs (docs/guide/watch.md)"
)
NOTHING = "no scenario of the ladder can test the hypotheses that are left"
RARE_RUNS, RARE_STEPS = 10, 10
"""Runs, and multiples of the steps, of a healthy training before it is called healthy."""


def order(names: Sequence[str]) -> tuple[str, ...]:
    """`names` in the order that separates the hypotheses fastest; those not in the table last.

    Each next one is that which tells most pairs of hypotheses apart; a pair that has been told
    apart n times before counts 1 / (1 + n) as much.
    """
    known = frozenset(name for name in names if name in TABLE)
    return (*_fastest(known), *(name for name in names if name not in TABLE))


@functools.cache
def _fastest(names: frozenset[str]) -> tuple[str, ...]:
    """Names of the table in that order."""
    told_apart: Counter[tuple[str, str]] = Counter()
    ordered = [name for name in TABLE if name in names and name == BASELINE]
    left = [name for name in TABLE if name in names and name != BASELINE]
    while left:
        best = max(
            left,
            key=lambda name: sum(
                worth / (1 + told_apart[pair]) for pair, worth in _separates(name).items()
            ),
        )
        told_apart.update(_separates(best).keys())
        left.remove(best)
        ordered.append(best)
    return tuple(ordered)


@functools.cache
def _separates(name: str) -> dict[tuple[str, str], int]:
    """The pairs of hypotheses that `name` separates: 2 when any result contradicts one of both."""
    pairs = combinations([theory.id for theory in HYPOTHESES], 2)
    return {pair: worth for pair in pairs if (worth := _worth(name, pair))}


def _worth(name: str, pair: tuple[str, str]) -> int:
    a, b = (TABLE[name].get(id) for id in pair)
    if _clears(a) == _clears(b) and not _shows(a) and not _shows(b):
        return 0
    return sum(c.firm for c in (a, b) if c is not None)


def _clears(expected: Cell | None) -> bool | None:
    return None if expected is None else expected.effect is Effect.CLEARS


def _shows(expected: Cell | None) -> bool:
    return expected is not None and expected.effect is Effect.SHOWS


def tells(name: str, theory: Theory, evidence: Evidence) -> float:
    """Rate what a run of `name` can still say about an untested hypothesis; 0 is nothing."""
    expected = cell(name, theory)
    references = [run for twin in TWINS for run in evidence.groups.get(twin, ())]
    if expected is None:
        return 0.0
    if not references:
        return float(name == BASELINE)
    if expected.effect is Effect.SHOWS:
        return 1.0
    if _may_hide(theory, evidence) and stays(name, theory):
        return 0.5
    if name in TWINS:
        return 0.0
    if effects.reference(theory, evidence.groups) is not None:
        return 1.0 + expected.firm + 2.0 * (name in theory.needs)
    # There is no symptom of its own to compare with: it may show where something else is out of
    # the way, but not where all is well.
    well = all(run.completed and not run.kinds for run in references)
    elsewhere = any(run.kinds & theory.explains for run in evidence.runs)
    return 0.0 if well and not elsewhere else 0.25


def _may_hide(theory: Theory, evidence: Evidence) -> bool:
    """Return True if the symptom is absent, but in too few runs to exclude it."""
    if any(run.kinds & theory.explains for run in evidence.runs):
        return False
    return may_hide(informative_runs(theory, evidence)) > theory.unseen


def open_theories(hypotheses: Iterable[Hypothesis]) -> list[Theory]:
    """Those that no run has tested yet, in their order."""
    untested = {h.id for h in hypotheses if h.verdict is Support.UNTESTED}
    return [theory for theory in HYPOTHESES if theory.id in untested]


def decided(hypotheses: Sequence[Hypothesis], evidence: Evidence, remaining: Sequence[str]) -> bool:
    """Return True if no scenario in `remaining` can test an untested hypothesis."""
    still = open_theories(hypotheses)
    return not any(tells(name, theory, evidence) for name in remaining for theory in still)


def next_experiment(
    hypotheses: Sequence[Hypothesis],
    evidence: Evidence,
    available: Sequence[str],
    run: str | None = None,
) -> str | None:
    """The most informative single run, as a command; None when there is none.

    With `run`, the folder of a run, it is added to that.
    """
    still = open_theories(hypotheses)
    left = [name for name in order(available) if name in TABLE and name not in evidence.groups]
    if BASELINE in left and not evidence.groups.keys() & TWINS:
        return command(BASELINE, evidence.settings, run)
    worth = {name: sum(tells(name, theory, evidence) for theory in still) for name in left}
    best = max(left, key=lambda name: worth[name], default=None)
    if best is not None and worth[best]:
        return command(best, evidence.settings, run)
    if any(h.verdict is Support.SUPPORTED for h in hypotheses):
        return None
    return _again(hypotheses, evidence, available, run)


def no_experiment(
    hypotheses: Sequence[Hypothesis], evidence: Evidence, available: Sequence[str]
) -> str | None:
    """Explain why there is no next experiment; None when nothing is untested."""
    still = open_theories(hypotheses)
    if not still:
        return None
    if not available:
        return COMMAND if evidence.settings is None else OWN
    need = max(theory.steps for theory in still)
    if evidence.settings is not None and evidence.settings.steps < need:
        return f"--steps {evidence.settings.steps} is too low: give --steps {need} or more"
    return NOTHING


def _again(
    hypotheses: Sequence[Hypothesis], evidence: Evidence, available: Sequence[str], run: str | None
) -> str | None:
    """Repeat the baseline, where every scenario ran and nothing is supported."""
    runs = [run_of_twin for twin in sorted(TWINS) for run_of_twin in evidence.groups.get(twin, ())]
    if BASELINE not in available or not runs or len(runs) >= RARE_RUNS:
        return None
    rate = sum(bool(run_of_twin.kinds) for run_of_twin in runs) / len(runs)
    if any(h.conflicts for h in hypotheses if h.verdict is Support.UNTESTED):
        return command(BASELINE, evidence.settings, run, repeat=RARE_RUNS)
    if 0 < rate < 1:
        need = math.ceil(math.log(CHANCE) / math.log(1 - rate))
        return command(BASELINE, evidence.settings, run, repeat=max(need, RARE_RUNS))
    if rate == 0:
        if evidence.settings is None:
            return None
        # The steps of a run that is added to are what they are.
        more = {} if run is not None else {"steps": RARE_STEPS * evidence.settings.steps}
        return command(BASELINE, evidence.settings, run, more, repeat=RARE_RUNS)
    return None


def command(
    name: str,
    settings: Settings | None,
    run: str | None = None,
    more: Mapping[str, int] | None = None,
    repeat: int = 1,
) -> str:
    """`harness run NAME --continue RUN`, or with the settings that are not the default.

    Of outside commands, whose variants somebody has to describe, what is to be added to them.
    """
    if settings is None:
        again = f", run with --repeat {repeat}" if repeat > 1 else ""
        listed = invocation.command("list")
        return f"a variant [variants.{name}] of the command (see: {listed}){again}"
    argv = [*invocation.words(), "run", name]
    if run is not None:
        argv += [f"--continue={run}"] if run.startswith("-") else ["--continue", run]
    else:
        argv += _changed(settings, more or {})
    if repeat > 1:
        argv += ["--repeat", str(repeat)]
    return shlex.join(argv)


def vary(path: str, settings: Settings) -> str:
    """The command that runs the user's step in the file `path` in every variation."""
    return shlex.join([*invocation.words(), "run-all", "--own", path, *_changed(settings, {})])


def _changed(settings: Settings, more: Mapping[str, int]) -> list[str]:
    """The options that give `settings`, with `more` in place of some."""
    argv: list[str] = []
    for field in Settings.__struct_fields__:
        value = more.get(field, getattr(settings, field))
        if value is not None and (field == "steps" or value != getattr(DEFAULTS, field)):
            argv += option(field, value)
    return argv


def option(field: str, value: object) -> list[str]:
    """The words by which the command line is given a field of Settings."""
    name = f"--{field.replace('_', '-')}"
    if isinstance(value, bool):
        # What is on if nothing is said can only be turned off.
        return [] if value else [f"--no-{name[2:]}"]
    # In one word where the value could be taken for an option.
    return [f"{name}={value}"] if f"{value}".startswith("-") else [name, f"{value}"]
