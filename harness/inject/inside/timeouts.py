"""The timeouts of the waits of a process's own threads, for a platform that shows none.

Only functions of the standard library are known, by their code: each has its timeout in a variable.
A lock that is acquired directly has it in none.
"""

from __future__ import annotations

import sys
import threading
from types import CodeType, FrameType

_SELECTS = (
    ("SelectSelector", 1.0), ("KqueueSelector", 1.0), ("EpollSelector", 1.0),
    ("_PollLikeSelector", 1e-3),
)  # fmt: skip
"""The classes of `selectors`, each with the seconds in its unit."""
NONE = "none"


def known() -> dict[CodeType, float]:
    """The functions whose `timeout` is that of their wait, each with the seconds in its unit."""
    selectors = sys.modules.get("selectors")
    waits = [
        (threading.Condition.wait, 1.0),
        (threading.Thread.join, 1.0),
        (getattr(threading.Thread, "_wait_for_tstate_lock", None), 1.0),  # to Python 3.12
        *((getattr(getattr(selectors, name, None), "select", None), unit)
          for name, unit in _SELECTS),
    ]  # fmt: skip
    codes = ((getattr(function, "__code__", None), unit) for function, unit in waits)
    return {code: unit for code, unit in codes if code is not None}


def told(frame: FrameType, functions: dict[CodeType, float]) -> str:
    """The seconds of the timeout of a wait, or NONE of a wait without one; empty where that is not
    known."""
    unit = functions.get(frame.f_code)
    if unit is None:
        return ""
    timeout = frame.f_locals.get("timeout")
    if timeout is None or (type(timeout) in (int, float) and timeout < 0):
        return NONE
    return f"{timeout * unit:.3f}" if type(timeout) in (int, float) else ""
