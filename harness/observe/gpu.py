"""The work of this machine's GPUs, as their vendor's tool shows it. NVIDIA's only."""

from __future__ import annotations

import re
import threading

from harness.observe import run_tool

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


def busy(lines: list[str]) -> bool:
    """Check whether one of the lines of `utilization` tells of work."""
    return any(re.search(r", [1-9]\d* %", line) for line in lines)


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
