"""The settings that slow a Mac down, in lines for people."""

from __future__ import annotations

from harness.model import Mac
from harness.text.units import size

_LOW_POWER = {True: "on: it slows the GPU", False: "off", None: ""}


def lines(mac: Mac) -> list[tuple[str, str]]:
    """(name, value) of each figure; where one is not known, the reason."""
    rows = {
        "wired_limit": ("GPU memory limit", _wired(mac.wired_limit)),
        "low_power": ("low power mode", _LOW_POWER[mac.low_power]),
        "thermal": ("heat", mac.thermal),
    }
    return [
        (label, value or f"not known: {mac.unread.get(name, 'not told')}")
        for name, (label, value) in rows.items()
    ]


def _wired(limit: int | None) -> str:
    if limit is None:
        return ""
    return f"{size(limit)} (sysctl iogpu.wired_limit_mb)" if limit else "macOS chooses"
