"""The work of this machine's GPUs, as their vendor's tool shows it. NVIDIA's only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Mapping

import msgspec
import psutil

from harness.model.world import Gpus, GpuUse
from harness.observe import nvml, run_tool

SECONDS = 5.0
"""Seconds back for which the driver's samples of processes are asked for."""
_QUERY = ("--query-gpu=name,utilization.gpu,memory.used", "--format=csv,noheader")


def memory(timeout: float = 5.0) -> list[int]:
    """The memory of each GPU, in bytes; empty when nobody can say."""
    query = ("--query-gpu=memory.total", "--format=csv,noheader,nounits")
    try:
        answer = run_tool.run(["nvidia-smi", *query], timeout)
    except OSError:
        return []
    return parse_memory(answer.output) if answer.code == 0 else []


def parse_memory(output: str) -> list[int]:
    """Parse nvidia-smi's lines, which are in MiB; some boards say `[N/A]`."""
    return [int(line) << 20 for line in output.splitlines() if line.strip().isdigit()]


def utilization(timeout: float = 5.0, stop: threading.Event | None = None) -> list[str]:
    """A line for each GPU, such as `NVIDIA H100, 100 %, 1024 MiB`; empty when nobody can say.

    A host that waits for a kernel which never ends, and one that waits for work which was never
    queued, look the same from /proc: whether the GPU is busy tells them apart.
    """
    try:
        answer = run_tool.run(["nvidia-smi", *_QUERY], timeout, stop=stop)
    except OSError:
        return []
    return answer.output.split("\n")[:-1] if answer.code == 0 else []


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU, as `harness.observe.nvml` prints it. None: the driver does not tell."""

    busy: int | None = None
    memory: int | None = None
    """Percent of the time in which its memory was read or written."""
    memory_used: int | None = None
    """Bytes of its memory that are in use."""
    power_w: float | None = None
    samples: tuple[tuple[int, int], ...] = ()
    """Process, and percent of a moment in which the multiprocessors worked for it."""
    contexts: tuple[int, ...] | None = None
    """Processes that have the GPU open for computations."""
    total: int | None = None
    """Bytes of its memory."""
    held: tuple[tuple[int, int], ...] = ()
    """Process, and bytes of the GPU's memory that it holds."""


def devices(timeout: float = 5.0, stop: threading.Event | None = None) -> tuple[Device, ...] | None:
    """The GPUs of this machine as NVIDIA's driver tells of them; None when nobody can say."""
    script = [sys.executable, nvml.__file__, str(SECONDS)]
    try:
        answer = run_tool.run(script, timeout, stop=stop)
        if answer.code == nvml.NO_DRIVER:
            return ()
        return msgspec.json.decode(answer.output, type=tuple[Device, ...])
    except (OSError, msgspec.DecodeError):
        return None


def visible(variables: Mapping[str, str]) -> tuple[str, ...] | None:
    """The names by which CUDA knows the GPUs that these variables leave; None when nobody can
    say."""
    found = devices()
    if found is None:
        return None
    given = variables.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return tuple(map(str, range(len(found))))
    names: list[str] = []
    for name in map(str.strip, given.split(",")):
        # CUDA believes the list up to the first name that is none of a GPU.
        if not name or name.startswith("-") or name in names:
            break
        if name.isdecimal() and int(name) >= len(found):
            break
        names.append(name)
    return tuple(names)


class Driver:
    """The answers of NVIDIA's driver about processes, at one time after the other.

    Its samples are silent about a process that does nothing, and in a PID namespace they have other
    numbers than ours. Its silence means something only for those that it has named before.
    """

    def __init__(self) -> None:
        self._named: set[tuple[int, float]] = set()
        """Process and when it was started."""

    def use(
        self, pids: Iterable[int], timeout: float = 5.0, stop: threading.Event | None = None
    ) -> GpuUse | None:
        """The work of the GPUs for `pids` in the last seconds; None when nobody can say."""
        found = devices(timeout, stop)
        return self.judge(found, {pid: _started(pid) for pid in pids}) if found else None

    def judge(self, devices: Iterable[Device], started: Mapping[int, float | None]) -> GpuUse:
        """`started`: the processes that are asked about; None of one that has ended."""
        # In a namespace it lists no process at all, and samples those of the whole machine.
        devices = tuple(
            one
            if one.contexts != () or not any(percent for _, percent in one.samples)
            else msgspec.structs.replace(one, samples=())
            for one in devices
        )
        named = {pid for one in devices for pid, _ in one.samples}
        named |= {pid for one in devices for pid in one.contexts or ()}
        self._named |= {(pid, at) for pid, at in started.items() if at is not None and pid in named}
        known = any((pid, at) in self._named for pid, at in started.items())
        own = [_share(one, lambda pid: pid in started) for one in devices]
        others = [_share(one, lambda pid: pid not in started) for one in devices]
        busy = [one.busy for one in devices if one.busy is not None]
        power = [one.power_w for one in devices if one.power_w is not None]
        opened = [one for one in devices if started.keys() & set(one.contexts or ())]
        memory = [one.memory for one in opened or devices if one.memory is not None]
        return GpuUse(
            own=max(own) if known else None,
            named=known,
            others=any(others),
            busy=max(busy, default=None),
            memory=max(memory, default=None),
            power_w=sum(power) if power else None,
        )


def _share(device: Device, counts: Callable[[int], bool]) -> int:
    """Percent of the time for some processes: the busiest moment of each, together."""
    most: dict[int, int] = {}
    for pid, percent in device.samples:
        if counts(pid):
            most[pid] = max(percent, most.get(pid, 0))
    return min(100, sum(most.values()))


def _started(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


_DRIVER = Driver()


def gpu_use(
    pids: Iterable[int], timeout: float = 5.0, stop: threading.Event | None = None
) -> GpuUse | None:
    """The work of the GPUs for `pids` in the last seconds; None when nobody can say.

    What the driver has named in this process is remembered from call to call.
    """
    return _DRIVER.use(pids, timeout, stop)


def of(on: frozenset[int], stop: threading.Event | None = None) -> Gpus:
    """The state of NVIDIA's GPUs, which the processes `on` have open."""
    if not on:
        return Gpus()
    return Gpus(on=on, lines=tuple(utilization(timeout=2.0, stop=stop)), use=gpu_use(on))
