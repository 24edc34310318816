"""The figures that MLX gives of its device, and a setting of it that is flipped on request.

The caller has imported mlx.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.inject.inside import flips

_SIZES = ("max_recommended_working_set_size", "memory_size", "total_memory")
"""The names of a GPU's memory in `mx.device_info`, the most telling first: Metal's two, then
CUDA's."""


def main(argv: Sequence[str]) -> int:
    """Print as JSON which MLX this is and what it computes on, once it has added two numbers."""
    import mlx.core as mx

    device = mx.default_device()
    mx.eval(mx.zeros(1) + 1)
    info = mx.device_info() if hasattr(mx, "device_info") else {}
    known = {
        "version": version(mx),
        "device": str(device.type).rpartition(".")[2],
        "name": str(info.get("device_name", "")),
        "memory": memory(mx),
    }
    print(json.dumps(known))
    return 0


def version(mx: Any) -> str:
    """MLX's version, by MLX itself: to import the metadata of packages takes 30 ms."""
    return str(mx.__version__)


def memory(mx: Any) -> int | None:
    """Bytes that the default device may use; None: it is no GPU, or MLX does not say."""
    if mx.default_device().type == mx.DeviceType.cpu:
        return None
    try:
        # Older versions have it only under mx.metal.
        return size(mx.device_info() if hasattr(mx, "device_info") else mx.metal.device_info())
    except Exception:  # a figure is no reason not to train
        return None


def flip(folder: str) -> None:
    """Flip the setting that an environment ladder asks for, before the scenario is imported."""
    flips.install(str(Path(folder).absolute()))


def size(info: Mapping[str, object]) -> int | None:
    sizes = (info.get(name) for name in _SIZES)
    return next((size for size in sizes if isinstance(size, int) and size > 0), None)
