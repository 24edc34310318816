"""The folder of this user's cache that the harness keeps its files in."""

from __future__ import annotations

import os
from pathlib import Path


def folder() -> Path:
    """Its path; it may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mlx-hang-harness"
