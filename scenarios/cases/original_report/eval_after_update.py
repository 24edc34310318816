"""Parameters and optimizer state are evaluated in the step that made them.

Nothing is deferred any more: what died in step 1 dies in step 0.
"""

from _limited import limited

SETTINGS = {"steps": 4, "batch_size": 1, "seq_len": 16}

make_step = limited("eval_after_update")
