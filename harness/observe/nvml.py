"""A program that asks NVIDIA's driver, once, and prints what it says as JSON.

The driver of a broken GPU can keep whoever asks it for ever, past any signal. So it is asked by a
process of its own (`harness.observe.gpu`), which imports nothing of this package.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

_DONE = 0
NO_DRIVER = 3


def main(seconds: float) -> int:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        print(error, file=sys.stderr)
        return NO_DRIVER
    since = int((time.time() - seconds) * 1e6)
    count = pynvml.nvmlDeviceGetCount()
    devices = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
    print(json.dumps([_device(pynvml, one, since) for one in devices]))
    return _DONE


def _device(nvml: Any, device: Any, since: int) -> dict[str, Any]:
    """The figures of one GPU; null where the driver does not tell."""

    def ask(question: Any, *more: Any) -> Any:
        try:
            return question(device, *more)
        except nvml.NVMLError:
            return None

    rates = ask(nvml.nvmlDeviceGetUtilizationRates)
    power = ask(nvml.nvmlDeviceGetPowerUsage)
    used = ask(nvml.nvmlDeviceGetMemoryInfo)
    # Empty too where there is no sample of anybody: it is an error then, as where none is taken.
    samples = ask(nvml.nvmlDeviceGetProcessUtilization, since) or []
    contexts = ask(nvml.nvmlDeviceGetComputeRunningProcesses)
    return {
        "busy": None if rates is None else rates.gpu,
        "memory": None if rates is None else rates.memory,
        "memory_used": None if used is None else used.used,
        "power_w": None if power is None else power / 1000,
        "samples": [[one.pid, one.smUtil] for one in samples if one.timeStamp >= since],
        "contexts": None if contexts is None else [one.pid for one in contexts],
        "total": None if used is None else used.total,
        "held": [[one.pid, one.usedGpuMemory] for one in contexts or [] if one.usedGpuMemory],
    }


if __name__ == "__main__":
    del sys.path[0]  # no module of this folder is to stand for another one
    raise SystemExit(main(float(sys.argv[1])))
