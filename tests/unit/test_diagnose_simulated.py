"""The diagnosis against simulated trainings whose fault is known: see `simulated`."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import simulated
from simulated_cases import SETTINGS, drawn, those, verdicts, wrong

from harness.analysis.diagnosis.diagnose import LADDER, decided, diagnose, order
from harness.model import Support

pytestmark = pytest.mark.unmeasured
CASES, CHUNKS = 600, 6  # benchmarks/simulated_diagnosis.py judges more


def confusion(pairs):
    """Lines of `what was wrong -> what was supported`, for the message of a failure."""
    counts = Counter(
        (" + ".join(case.faults) or "healthy", id)
        for case, found in pairs
        for id in those(found, Support.SUPPORTED)
    )
    return "\n".join(f"{fault} -> {id}: {n}" for (fault, id), n in sorted(counts.items()))


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_what_it_says_is_true_in_95_of_100_cases(chunk):
    pairs = [(case, verdicts(case)) for case in map(drawn, range(chunk, CASES, CHUNKS))]
    bad = [(case.seed, case.faults, wrong(case, f)) for case, f in pairs if wrong(case, f)]
    assert len(bad) <= 0.05 * len(pairs), f"{bad}\n{confusion(pairs)}"
    # Where half of the scenarios are missing it may not know; mostly it does.
    faulty = [(case, found) for case, found in pairs if case.true]
    named = sum(bool(those(f, Support.SUPPORTED) & case.true) for case, f in faulty)
    assert named >= 0.85 * len(faulty), confusion(pairs)


@pytest.mark.parametrize("fault", simulated.NAMES)
def test_a_whole_ladder_names_the_fault(fault):
    cases = [simulated.draw_case(10_000 + seed, (fault,), 0.0) for seed in range(25)]
    pairs = [(case, verdicts(case)) for case in cases if case.true]
    named = [fault in those(found, Support.SUPPORTED) for _, found in pairs]
    assert sum(named) >= 0.9 * len(pairs), confusion(pairs)
    assert not [w for case, found in pairs if (w := wrong(case, found))], confusion(pairs)


@pytest.mark.parametrize("seed", range(20))
def test_a_healthy_ladder_supports_nothing(seed):
    case = simulated.draw_case(20_000 + seed, (), 0.0)
    assert those(verdicts(case), Support.SUPPORTED) <= case.also


def test_decided_stops_without_another_verdict_than_the_whole_ladder():
    """Run in the planned order until it is decided; what the rest says must not differ."""
    saved = differs = 0
    for seed in range(40):
        draw = random.Random(seed)
        case = simulated.draw_case(30_000 + seed, (draw.choice(simulated.NAMES),), 0.0)
        by_name = {result.scenario: result for result in case.results}
        names = order(LADDER)
        done = next(
            n
            for n in range(1, len(names) + 1)
            if decided([by_name[name] for name in names[:n]], SETTINGS, case.environment, names[n:])
        )
        saved += len(names) - done
        early = diagnose([by_name[n] for n in names[:done]], SETTINGS, case.environment)
        found = {h.id: h.verdict for h in early.hypotheses}
        supported = those(found, Support.SUPPORTED)
        differs += supported & case.true != those(verdicts(case), Support.SUPPORTED) & case.true
    assert saved > 0
    assert differs <= 2
