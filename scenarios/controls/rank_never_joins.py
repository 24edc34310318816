"""One of three ranks never comes to the others: they wait for it before the first step."""

import os
import threading

from _event import CULPRIT
from baseline_update import make_step  # noqa: F401

SETTINGS = {"ranks": 3}
VERDICT = {
    "outcome": ("hung", "crashed"),
    "findings": "rank_never_started",
    "says": " has never come to join the others",
    "culprit": 1,
}

if os.environ.get("MLX_RANK") == str(CULPRIT):
    threading.Event().wait()
