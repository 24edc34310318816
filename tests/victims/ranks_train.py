"""Ranks that add up, step by step, and print; knows nothing of the harness.

    mlx.launch -n 3 --backend ring -- python ranks_train.py FAULT

FAULT is what befalls rank 1 in step 5: killed, raises, leaves or nothing.
"""

import os
import signal
import sys
import time

import mlx.core as mx

group = mx.distributed.init(strict=True, backend="ring")
for step in range(10):
    if group.rank() == 1 and step == 5:
        if sys.argv[1] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif sys.argv[1] == "raises":
            raise ValueError("rank 1 has had enough")
        elif sys.argv[1] == "leaves":
            sys.exit(0)
    loss = mx.distributed.all_sum(mx.array(1.0 / (step + 1))).item()
    if group.rank() == 0:
        print(f"step {step} loss {loss:.4f}", flush=True)
    time.sleep(0.05)
