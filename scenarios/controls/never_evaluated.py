"""The loss is never read: no step is evaluated, and the graph grows."""

from baseline_update import make_step as make_baseline

VERDICT = {"outcome": "completed", "findings": ("graph_growth",)}


def make_step(training):
    baseline = make_baseline(training)

    def step(*batch):
        baseline(*batch)

    return step
