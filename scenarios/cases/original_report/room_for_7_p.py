"""The report's step again, with room for seven times the parameters. Completes."""

from _limited import limited

SETTINGS = {"steps": 4, "batch_size": 1, "seq_len": 16}

make_step = limited(room=7)
