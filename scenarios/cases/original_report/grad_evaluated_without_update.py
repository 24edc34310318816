"""Test 2 done right: the gradients are evaluated, and no update is applied.

The backward pass runs, and completes: two times the parameters, and there is room for three.
"""

from _limited import limited

SETTINGS = {"steps": 4, "batch_size": 1, "seq_len": 16}
EXPECTS = ("parameters_unchanged",)

make_step = limited("grad_evaluated_without_update")
