"""The settings that slow a Mac down, or bound its GPU's memory: wired limit, low power, heat.

The wired limit is a sysctl. The rest `pmset` prints, which is started once for a run, never at a
look. The forms are those of Apple's pmset.c and of public texts. None was read on a Mac.
"""

from __future__ import annotations

import re

from harness.model import Mac
from harness.observe import run_tool
from harness.observe.macos import kernel
from harness.text import late
from harness.text.units import percent

WIRED_LIMIT = "iogpu.wired_limit_mb"
"""MiB that the GPU may keep in memory; 0 where macOS chooses."""
SETTINGS, HEAT = ("pmset", "-g"), ("pmset", "-g", "therm")
TIMEOUT_S = 5.0
_LOW_POWER = late.compile(r"^\s*(?:low)?powermode\s+(\d{1,3})\b", re.MULTILINE)
"""1 is low power mode. Some Macs call it `powermode`, and have 2 for high power."""
_WARNING = late.compile(r"\b(Thermal|Performance) Warning Level\s*=\s*(\d{1,6})")
_LIMIT = late.compile(r"\bCPU_(Speed|Scheduler)_Limit\s*=\s*(\d{1,6})")
_NOTE = late.compile(r"\bNo (?:thermal|performance) warning level has been recorded")


def read() -> Mac:
    """This Mac now. What a tool does not tell is missing, with the reason."""
    settings, why_not = _told(SETTINGS)
    heat, no_heat = _told(HEAT)
    mib = kernel.integer(WIRED_LIMIT)
    wired = None if mib is None else kernel.size(mib << 20)
    low, thermal = low_power(settings), heat_of(heat)
    unread = {
        "wired_limit": f"there is no sysctl {WIRED_LIMIT}" if wired is None else "",
        "low_power": "" if low is not None else why_not or "pmset -g does not tell",
        "thermal": "" if thermal else no_heat or "pmset -g therm does not tell",
    }
    return Mac(
        wired_limit=wired,
        low_power=low,
        thermal=thermal,
        unread={name: reason for name, reason in unread.items() if reason},
    )


def _told(command: tuple[str, ...]) -> tuple[str, str]:
    """(what a tool printed, "") or ("", why it did not)."""
    name = " ".join(command)
    try:
        answer = run_tool.run(command, TIMEOUT_S)
    except OSError as error:
        return "", f"{name}: {error.strerror or error}"
    if answer.code != 0:
        return "", f"{name}: {answer.problem or f'exit code {answer.code}'}"
    return answer.output, ""


def low_power(text: str) -> bool | None:
    """Low power mode by the output of `pmset -g`; None where it does not say. Pure."""
    found = _LOW_POWER.search(text)
    return None if found is None else found[1] == "1"


def heat_of(text: str) -> str:
    """The limit of the CPU, by the output of `pmset -g therm`, as a clause. Empty: not told. Pure.

    A level or a limit is a number that macOS has recorded; it records none before the first.
    """
    parts = [
        f"{kind.lower()} warning level {level}"
        for kind, level in _WARNING.findall(text)
        if int(level) > 0
    ]
    parts += [
        f"the CPU's {kind.lower()} is limited to {percent(int(limit) / 100)}"
        for kind, limit in _LIMIT.findall(text)
        if int(limit) < 100
    ]
    if parts:
        return ", ".join(dict.fromkeys(parts))
    told = _NOTE.search(text) or _LIMIT.search(text) or _WARNING.search(text)
    return NO_LIMIT if told else ""


NO_LIMIT = "no limit"
