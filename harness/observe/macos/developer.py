"""Apple's developer tools, which may be there in name alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_SHIMS = "/usr/bin/"
"""Programs in this folder stand for those of the developer tools. Where these are not installed,
each asks for them in a window."""
_PLACES = ("usr/bin", "Toolchains/XcodeDefault.xctoolchain/usr/bin")
"""The folders of the command line tools, and of Xcode."""


def program(found: str) -> str | None:
    """The program that may be started in place of `found`: the one for which a shim stands. None
    where there is none. No shim is started.

    `xcode-select -p` asks nobody: it says where the tools are, or fails.
    """
    resolved = os.path.realpath(found)
    if not resolved.startswith(_SHIMS):
        return found
    try:
        answer = subprocess.run(
            ["xcode-select", "-p"], capture_output=True, text=True, errors="replace", timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode != 0:
        return None
    folder, name = Path(answer.stdout.strip() or "/nowhere"), Path(resolved).name
    real = [folder / place / name for place in _PLACES]
    return next((str(one) for one in real if os.access(one, os.X_OK)), None)
