"""The part of `harness doctor` about the machine: what works here, and why the rest does not."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.model import Bound
from harness.observe import environment, installation
from harness.stacks import tools
from harness.supervise import launch
from harness.text.units import plural, size


def examine() -> dict[str, Any]:
    """Examine the machine. MLX runs in a process of its own, because it can hang or crash."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    # Both wait for processes: together they take half of the time.
    with ThreadPoolExecutor(1) as pool:
        examination = pool.submit(_examine_mlx)
        machine, stack_tools = environment.gather(), tools.available()
        mlx = examination.result()
    if mlx["ok"]:
        machine = environment.on_device(machine, mlx["device"], mlx.pop("memory"))
    return {
        "mlx": mlx,
        "environment": msgspec.to_builtins(machine),
        "memory": {
            "total": memory.total,
            "available": memory.available,
            "usable": machine.usable_memory,
            "usable_of": machine.usable_of.value,
            "swap_total": swap.total,
            "swap_used": swap.used,
        },
        "stack_tools": [msgspec.to_builtins(tool) for tool in stack_tools],
    }


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


def show(document: dict[str, Any]) -> None:
    """Print what `examine` has returned."""
    mlx, machine, memory = document["mlx"], document["environment"], document["memory"]
    bound = Bound(memory["usable_of"])
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    if mlx["ok"]:
        name = f" ({mlx['name']})" if mlx["name"] else ""
        table.add_row("mlx", f"{mlx['version']}, device {mlx['device']}{name}")
    else:
        table.add_row("mlx", f"does not work: {escape(mlx['reason'])}")
    table.add_row("machine", f"{machine['platform']}, {machine['machine']}, "
                  f"{plural(machine['cpu_count'], 'CPU')}, Python {machine['python']}")  # fmt: skip
    table.add_row(
        "memory",
        f"{size(memory['total'])}, {size(memory['available'])} free"
        + ("" if bound is Bound.MACHINE else f"; {bound.sentence} {size(memory['usable'])}"),
    )
    table.add_row("swap", f"{size(memory['swap_total'])}, {size(memory['swap_used'])} used")
    table.add_row(
        "compiler",
        machine["compiler"] or "no g++: mx.compile has no effect on the CPU",
    )
    for tool in document["stack_tools"]:
        table.add_row(f"stacks: {tool['name']}", "works" if tool["ok"] else tool["reason"])
    Console().print(table)
