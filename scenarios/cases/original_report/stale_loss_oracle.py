"""Is the graph corrupted by the update in place? A loss read after it, compared with one before.

They agree. It keeps both graphs alive, so that it is given room for 7 P.
"""

from _limited import limited

SETTINGS = {"steps": 4, "batch_size": 1, "seq_len": 16}

make_step = limited("stale_loss_oracle", room=7)
