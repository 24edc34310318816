"""The report's Test 2: compute the gradients, apply no update.

It completes, and that says nothing: nobody reads the gradients, so that they are never computed.
"""

from _limited import limited

SETTINGS = {"steps": 4, "batch_size": 1, "seq_len": 16}
EXPECTS = ("parameters_unchanged",)

make_step = limited("grad_without_update")
