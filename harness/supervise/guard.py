"""The program of a guard: a small process between the supervisor and a worker.

    supervisor -- socket --> guard (own session) --> worker (own session) --> ...

It runs as a plain file, without site-packages: it starts in some 15 ms. `guarding` is all of it.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # The last of all places: nothing there hides what Python has itself.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from harness.supervise.guarding.main import main

    main(sys.argv)
