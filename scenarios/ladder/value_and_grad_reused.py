"""Make value_and_grad once and use it in every step.

Varies: nothing against the baseline, on purpose: it is the baseline's twin, so what differs
between the two is this machine's noise. Its counterpart is value_and_grad_recreated.
Separates: graph corruption through a transformed function that is kept.
"""

from baseline_update import make_step

__all__ = ["make_step"]
