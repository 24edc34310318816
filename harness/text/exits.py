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


def of_child(name: str, how: str, oom_killer: bool | None) -> str:
    """Such as `process 12 (python ...), its child, was killed by SIGKILL`; `how` as of `ended`."""
    text = f"{name}, its child, {how}"
    if oom_killer:
        return f"{text}, probably by the kernel's out-of-memory killer"
    if oom_killer is False and how.endswith("SIGKILL"):
        return f"{text}, not by the kernel's out-of-memory killer"
    return text
