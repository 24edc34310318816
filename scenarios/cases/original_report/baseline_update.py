"""The report's step: the loss is read, AdamW applied, nothing else evaluated.

Step 0 evaluates a loss and passes. Step 1 must evaluate step 0's gradients and its update too.
"""

from _limited import limited

SETTINGS = {"steps": 4, "batch_size": 1, "seq_len": 16}

make_step = limited()
