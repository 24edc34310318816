"""Tells which MLX, mlx-lm and Python a process runs."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

PROCESSES = "processes.jsonl"
UTILS = "mlx.utils"
NAMES = {"mlx.core": "mlx", UTILS: "mlx", "mlx_lm": "mlx-lm"}
"""The distribution that a module belongs to."""


def _installed(name: str) -> str | None:
    """The version of a distribution, as its files tell it."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def wrap(module: Any, folder: str) -> None:
    """Tell the version of `module`, which was just imported."""
    name = NAMES.get(module.__name__)
    version = getattr(module, "__version__", None)
    if version is None and module.__name__ == UTILS:  # mlx.core, which tells it, may never come
        version = _installed("mlx")
    if name is None or version is None:
        return
    python = ".".join(map(str, sys.version_info[:3]))
    told = {"k": "ran", "pid": os.getpid(), "python": python, "name": name, "version": str(version)}
    line = (json.dumps(told) + "\n").encode()
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        file = os.open(os.path.join(folder, PROCESSES), flags, 0o644)
        os.write(file, line)
        os.close(file)
    except OSError:
        pass  # the harness has gone, or the disk is full: the beats must not suffer
