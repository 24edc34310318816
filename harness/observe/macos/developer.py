"""Apple's developer tools, which may be there in name alone."""

from __future__ import annotations

import subprocess


def opens_a_window(program: str) -> bool:
    """True of a program in whose place Apple asks the user to install what it belongs to.

    `xcode-select` itself asks nobody: it says where the tools are, or fails.
    """
    if not program.startswith("/usr/bin/"):
        return False
    try:
        answer = subprocess.run(["xcode-select", "-p"], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return True
    return answer.returncode != 0
