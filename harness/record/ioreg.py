"""The registry of drivers without what names programs or people. Pure.

All numbers stay, and the names of keys. Of texts those alone stay that name the hardware and its
drivers.
"""

from __future__ import annotations

import plistlib
from typing import Any

from harness.text import late

KEPT = (
    "model",
    "IORegistryEntryName",
    "IOObjectClass",
    "IOClass",
    "IONameMatched",
    "CFBundleIdentifier",
)
"""The keys whose texts stay."""
_CREATOR = "IOUserClientCreator"
_PID = late.compile(r"pid (\d{1,9}), ")
OTHER, LEFT_OUT = "other", "<text>"


def published(text: str, pid: int) -> str | None:
    """The output of `ioreg -a`, with the name of the process `pid` alone. None for no such list."""
    try:
        found = plistlib.loads(text.encode("utf-8", "replace"), fmt=plistlib.FMT_XML)
        return plistlib.dumps(_cleaned("", found, pid)).decode()
    except Exception:  # expat, plistlib and the types that it makes have many errors of their own
        return None


def _cleaned(key: str, value: Any, pid: int) -> Any:
    if isinstance(value, dict):
        return {name: _cleaned(name, each, pid) for name, each in value.items()}
    if isinstance(value, list):
        return [_cleaned(key, each, pid) for each in value]
    if isinstance(value, bool | int | float) or (isinstance(value, bytes) and key == "model"):
        return value
    if isinstance(value, bytes):
        return b""
    if not isinstance(value, str):
        return LEFT_OUT
    if key == _CREATOR:
        creator = _PID.match(value)
        own = creator is not None and int(creator[1]) == pid
        return value if own else f"{creator[0]}{OTHER}" if creator else LEFT_OUT
    return value if key in KEPT else LEFT_OUT
