"""Ranks that add up, step by step, and print; knows nothing of the harness.

    mlx.launch -n 3 --backend ring -- python ranks_train.py FAULT [BACKEND]

FAULT is what befalls rank 1 in step 5: killed, raises, leaves, waits, stopped or nothing.
"""

import os
import signal
import sys
import time

import mlx.core as mx

group = mx.distributed.init(strict=True, backend=(*sys.argv[2:], "ring")[0])
rank, fault = group.rank(), sys.argv[1]
for step in range(10):
    if rank == 1 and step == 5:
        if fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif fault == "raises":
            raise ValueError("rank 1 has had enough")
        elif fault == "leaves":
            os._exit(0)
        elif fault == "waits":
            os.read(os.pipe()[0], 1)
    loss = mx.distributed.all_sum(mx.array(1.0 / (step + 1))).item()
    print(f"step {step} loss {loss + rank:.4f}", flush=True)
    time.sleep(0.05)
