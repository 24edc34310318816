"""The same step on a model of 0.1 million parameters, under the same limit. Completes.

A deadlock in the runtime would not care how large the model is.
"""

from _limited import TINY, limited

SETTINGS = {"steps": 4, "batch_size": 1, "seq_len": 16}

make_step = limited(size=TINY)
