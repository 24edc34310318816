"""The end of a process in words."""

from __future__ import annotations

import signal


def signal_name(number: int) -> str:
    """`SIGKILL`; `signal 35` of one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def ended(code: int) -> str:
    """`exited with code 3`, or `was killed by SIGKILL` of the exit code -9."""
    return f"was killed by {signal_name(-code)}" if code < 0 else f"exited with code {code}"
