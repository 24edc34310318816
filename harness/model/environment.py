"""Where a run took place: the machine, its memory, and the versions."""

from __future__ import annotations

import msgspec

from harness.model.enums import Word


class Bound(Word):
    """Whose memory a training is given."""

    MACHINE = "machine"
    CONTAINER = "container"
    PROCESS = "process"
    """There is a limit on its address space."""
    GPU = "gpu"

    @property
    def sentence(self) -> str:
        """A size follows."""
        return _HAS[self]


_HAS = {
    Bound.MACHINE: "this machine has",
    Bound.CONTAINER: "this container may use",
    Bound.PROCESS: "this process may use",
    Bound.GPU: "the GPU has",
}


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The machine and the versions, chosen field by field: nothing that names a person."""

    platform: str
    machine: str
    python: str
    cpu_count: int
    memory: int
    """Physical memory, whatever of it may be used."""
    swap: int | None = None
    usable_memory: int | None = None
    """Bytes that a training on the device may use; None: not known, in an older run."""
    usable_of: Bound = Bound.MACHINE
    """Whose memory that is."""
    versions: dict[str, str | None] = {}
    """Distribution name to version; None when it is not installed."""
    device: str | None = None
    """MLX's default device, as a worker saw it."""
    compiler: str | None = None
    variables: dict[str, str] = {}
    """The few environment variables that change how MLX runs (`MLX_*`)."""
