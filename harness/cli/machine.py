"""The part of `harness doctor` about the machine: what works here, and why the rest does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from harness.cli import consoles, known
from harness.detect.blindness import blind
from harness.detect.policy import STANDARD
from harness.model import Bound, Mac
from harness.observe import environment, gpu, installation, processes, psutil_memory
from harness.stacks import tools
from harness.supervise import launch
from harness.text import mac
from harness.text.units import plural, size


def examine() -> dict[str, Any]:
    """Examine the machine. MLX runs in a process of its own, because it can hang or crash."""
    memory, seen = psutil_memory.memory(), processes.machine()
    # Both wait for processes: together they take half of the time.
    with ThreadPoolExecutor(1) as pool:
        examination = pool.submit(_examine_mlx)
        machine, stack_tools = environment.gather(), tools.available()
        blind = _blindness()
        mlx = examination.result()
    if mlx["ok"]:
        machine = environment.on_device(machine, mlx["device"], mlx.pop("memory"))
    gpus = gpu.visible(os.environ)
    return {
        "mlx": mlx,
        "environment": msgspec.to_builtins(machine),
        "gpus": None if gpus is None else len(gpus),
        "memory": {
            "total": memory.total,
            "available": seen.available if memory.available is None else memory.available,
            "usable": machine.usable_memory,
            "usable_of": machine.usable_of.value,
            "swap_total": memory.swap_total,
            "swap_used": seen.swap_used if memory.swap_used is None else memory.swap_used,
        },
        "processes": {"ok": not blind, "reason": blind},
        "stack_tools": [msgspec.to_builtins(tool) for tool in stack_tools],
        "known_issues": known.concerning(machine),
    }


def _blindness() -> str:
    """The reason why a process that we start cannot be looked into; empty where it can."""
    reason = ""
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            for _ in range(STANDARD.blind_looks):
                if not (reason := blind(processes.processes(child.pid), child.pid)):
                    break
                time.sleep(0.25)  # it may not have run yet
            return reason
        finally:
            child.kill()


def _examine_mlx() -> dict[str, Any]:
    if not installation.has_mlx():
        return {"ok": False, "reason": installation.missing("MLX")}
    try:
        answer = subprocess.run(
            launch.boot("harness.training.device"), capture_output=True, text=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        return {"ok": False, "reason": "one addition with MLX took more than 60 s"}
    if answer.returncode:
        last = (answer.stderr.strip() or f"exit code {answer.returncode}").splitlines()[-1]
        return {"ok": False, "reason": last}
    return {"ok": True, **json.loads(answer.stdout)}


def _gpus(number: int | None) -> str:
    if number is None:
        return "the driver does not say how many GPUs there are"
    if number == 0:
        return "no GPU here"
    return f"up to {plural(number, 'rank')}, one for each GPU" if number > 1 else "one GPU here"


def show(document: dict[str, Any]) -> None:
    """Print what `examine` has returned."""
    mlx, machine, memory = document["mlx"], document["environment"], document["memory"]
    bound = Bound(memory["usable_of"])
    rows: dict[str, str] = {}
    reason, _, cure = str(mlx.get("reason", "")).partition(installation.REMEDY)
    if mlx["ok"]:
        name = f" ({mlx['name']})" if mlx["name"] else ""
        rows["mlx"] = f"{mlx['version']}, device {mlx['device']}{name}"
    else:
        rows["mlx"] = f"does not work: {reason}"
    rows["machine"] = (
        f"{machine['platform']}, {machine['machine']}, {plural(machine['cpu_count'], 'CPU')}, "
        f"Python {machine['python']}"
    )
    rows["memory"] = f"{size(memory['total'])}, {_size(memory['available'])} free"
    if bound is not Bound.MACHINE:
        rows["memory"] += f"; {bound.sentence} {size(memory['usable'])}"
    nccl = next((v for name in environment.NCCL if (v := machine["versions"].get(name))), None)
    if nccl is not None:
        rows["nccl"] = f"{nccl}, for --backend nccl: {_gpus(document['gpus'])}"
    if machine["variables"]:
        rows["variables"] = " ".join(
            f"{name}={value}" for name, value in machine["variables"].items()
        )
    rows["swap"] = f"{_size(memory['swap_total'])}, {_size(memory['swap_used'])} used"
    rows["processes"] = document["processes"]["reason"] or "can be looked into"
    if machine["mac"] is not None:
        rows |= mac.lines(msgspec.convert(machine["mac"], Mac))
    on_gpu = str(machine["device"] or "").startswith("gpu")
    rows["compiler"] = (
        machine["compiler"]
        or f"no g++: mx.compile has no effect on the CPU{', and the GPU needs none' * on_gpu}"
    )
    for tool in document["stack_tools"]:
        rows[f"stacks: {tool['name']}"] = "works" if tool["ok"] else tool["reason"]
    rows["known issues"] = known.count(document)
    console = consoles.console(sys.stdout)
    consoles.pairs(console, rows.items(), None)
    if cure:
        consoles.suggest(console, "to install MLX, run:", cure)


def _size(number: int | None) -> str:
    return "not known" if number is None else size(number)
