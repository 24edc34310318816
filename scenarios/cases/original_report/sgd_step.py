"""SGD in place of AdamW: no optimizer state. Completes."""

import mlx.optimizers as optim
from _limited import limited

SETTINGS = {"steps": 4, "batch_size": 1, "seq_len": 16}

make_step = limited(optimizer=optim.SGD)
