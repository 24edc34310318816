"""A training of `harness watch` that tells its steps by lines of output alone.

    python benchmarks/watched.py computes|asks SECONDS

In the midst of its steps it computes for so long, or asks a person at the terminal.
"""

from __future__ import annotations

import sys
import time

STEPS, AT, STEP_S = 60, 30, 0.02


def main(what: str, seconds: float) -> None:
    for step in range(STEPS):
        if step == AT and what == "asks":
            input("go on? ")
        elif step == AT:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                sum(range(100_000))
        time.sleep(STEP_S)
        print(f"step {step}: loss {1 / (1 + step):.4f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
