"""One of three ranks never comes to the others: they wait for it before the first step."""

import os
import threading

from baseline_update import make_step  # noqa: F401

SETTINGS = {"ranks": 3}
VERDICT = {"outcome": ("hung", "crashed"), "culprit": 1}

if os.environ.get("MLX_RANK") == "1":
    threading.Event().wait()
