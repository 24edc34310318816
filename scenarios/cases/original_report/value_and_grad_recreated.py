"""The report's third candidate, the other way round: a new value_and_grad in every step.

The baseline makes it once and reuses it; neither helps.
"""

from _limited import limited

SETTINGS = {"steps": 4, "batch_size": 1, "seq_len": 16}

make_step = limited("value_and_grad_recreated")
