"""The memory that a training may use: the GPU's, the container's, or the machine's.

Never imports mlx: what it says of its GPU is told by the process that trains or traces.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.model import Bound
from harness.observe import gpu, psutil_memory


class Usable(msgspec.Struct, frozen=True, kw_only=True):
    """Memory that a training may use, in bytes."""

    memory: int
    swap: int
    bound: Bound


class Limit(msgspec.Struct, frozen=True):
    """The limits of a control group; None: as much as there is."""

    memory: int | None = None
    swap: int | None = None


def usable(device: str = "cpu", reported: int | None = None) -> Usable:
    """The memory to use on this machine now, for MLX's `device` and the memory that MLX reports of
    it."""
    total = of_gpu() if reported is None and device.startswith("gpu") else reported
    machine = psutil_memory.memory()
    return choose(machine.total, machine.swap_total or 0, limit(), _address_space(), total)


def choose(ram: int, swap: int, group: Limit, address: int | None, gpu: int | None) -> Usable:
    """The bound of a training's memory. Pure."""
    if gpu is not None:
        # Nothing of a GPU's memory is swapped; of memory that it shares with the CPU, what is
        # beyond the recommended size is no longer sure to be there.
        return Usable(memory=gpu, swap=0, bound=Bound.GPU)
    # Address space counts swapped memory, too.
    if address is not None and address < min(ram, group.memory or ram):
        return Usable(memory=address, swap=0, bound=Bound.PROCESS)
    if group.memory is not None and group.memory < ram:
        allowed = swap if group.swap is None else min(swap, group.swap)
        return Usable(memory=group.memory, swap=allowed, bound=Bound.CONTAINER)
    return Usable(memory=ram, swap=swap, bound=Bound.MACHINE)


def of_gpu() -> int | None:
    """The memory of the smallest GPU: which one is used is not told. NVIDIA's only."""
    return min(gpu.memory(), default=None)


def _address_space() -> int | None:
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if soft == resource.RLIM_INFINITY else soft


# --- control groups, of either version


def limit(root: Path = Path("/")) -> Limit:
    """The smallest limits of our control group and of those around it, as far as they are seen."""
    memory: list[int] = []
    swap: list[int] = []
    for folder, second in _groups(root):
        if second:
            memory += _number(folder / "memory.max")
            swap += _number(folder / "memory.swap.max")
        else:
            own = _number(folder / "memory.limit_in_bytes")
            memory += own
            both = _number(folder / "memory.memsw.limit_in_bytes")
            swap += [max(0, a - b) for a, b in zip(both, own, strict=False)]
    return Limit(min(memory, default=None), min(swap, default=None))


def _groups(root: Path) -> Iterator[tuple[Path, bool]]:
    """The folders of our control group and of those around it; True: of the second version."""
    own = [line.split(":", 2) for line in _read(root / "proc/self/cgroup").splitlines()]
    for line in _read(root / "proc/self/mountinfo").splitlines():
        place, _, kind = line.partition(" - ")
        second = kind.startswith("cgroup2 ")
        first = kind.startswith("cgroup ") and "memory" in kind.split()[-1].split(",")
        if not first and not second:
            continue
        subtree, mount = (_unescaped(part) for part in place.split()[3:5])
        path = next((p for _, c, p in own if ("memory" in c.split(",")) is first), "/")
        # In a container the mount may show only a part of the tree: its own group, as the root.
        below = path[len(subtree.rstrip("/")) :] if f"{path}/".startswith(f"{subtree}/") else path
        parts = [part for part in below.split("/") if part and part != ".."]
        for end in range(len(parts), -1, -1):
            yield root.joinpath(mount.lstrip("/"), *parts[:end]), second


def _unescaped(path: str) -> str:
    return re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), path)


def _number(file: Path) -> list[int]:
    """The number in a file; empty when it is not there or says `max`."""
    text = _read(file).strip()
    return [int(text)] if text.isdigit() else []


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
