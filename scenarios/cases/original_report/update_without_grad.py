"""The other half: the update is evaluated, and there is no backward pass.

Needs as much memory as the report's step, and dies as it does: the update needs it, and not its
gradients' origin.
"""

from _limited import limited

SETTINGS = {"steps": 4, "batch_size": 1, "seq_len": 16}

make_step = limited("update_without_grad")
