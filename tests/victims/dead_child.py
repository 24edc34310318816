"""A process that waits for what a dead child can no longer send.

`killed`: by a signal, `exited`: with code 3, `memory GROUP`: for want of memory in a control group.
`reaped` first: the parent asks for the end of its child, and so nobody else can.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time


def load(batches, how: str, group: str) -> None:
    batches.put(0)
    time.sleep(0.5)
    if how == "exited":
        os._exit(3)
    if how == "memory":
        with open(f"{group}/cgroup.procs", "w") as procs:
            procs.write(str(os.getpid()))
        held = []
        while True:
            held.append(bytearray(os.urandom(1 << 20)))
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    reaps = sys.argv[1] == "reaped"
    how, group = (*sys.argv[1 + reaps :], "", "")[:2]
    context = multiprocessing.get_context("fork")
    batches = context.Queue()
    loader = context.Process(target=load, args=(batches, how, group))
    loader.start()
    batches.get()
    if reaps:
        threading.Thread(target=loader.join, daemon=True).start()
    print(f"{os.getpid()} {loader.pid}", flush=True)
    print("step 1", flush=True)
    batches.get()


if __name__ == "__main__":
    main()
