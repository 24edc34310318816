"""`harness doctor`: what can be used on this machine, and why the rest cannot."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from harness import environment
from harness.cli import options
from harness.errors import Exit
from harness.supervise import stacks

_ASK_MLX = """
import json, mlx.core as mx
device = mx.default_device()
mx.eval(mx.zeros(1) + 1)
info = mx.device_info() if hasattr(mx, "device_info") else {}
print(json.dumps({"version": mx.__version__, "device": str(device.type).rpartition(".")[2],
                  "name": str(info.get("device_name", ""))}))
"""


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands, "doctor", "say what can be used on this machine, and why not", "harness doctor"
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    document = examine()
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        _print(document)
    return Exit.OK if document["mlx"]["ok"] else Exit.INTERNAL


def examine() -> dict[str, Any]:
    """Everything doctor knows. MLX is asked in a process of its own: it may hang or crash."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "mlx": _ask_mlx(),
        "environment": msgspec.to_builtins(environment.gather()),
        "memory": {
            "total": memory.total,
            "available": memory.available,
            "swap_total": swap.total,
            "swap_used": swap.used,
        },
        "stack_tools": [msgspec.to_builtins(tool) for tool in stacks.available()],
    }


def _ask_mlx() -> dict[str, Any]:
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _ASK_MLX], capture_output=True, text=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        return {"ok": False, "reason": "importing mlx and adding two numbers took over a minute"}
    if answer.returncode:
        last = (answer.stderr.strip() or f"exit code {answer.returncode}").splitlines()[-1]
        return {"ok": False, "reason": last}
    return {"ok": True, **json.loads(answer.stdout)}


def _print(document: dict[str, Any]) -> None:
    mlx, machine, memory = document["mlx"], document["environment"], document["memory"]
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    gib = 1 << 30
    if mlx["ok"]:
        name = f" ({mlx['name']})" if mlx["name"] else ""
        table.add_row("mlx", f"{mlx['version']}, device {mlx['device']}{name}")
    else:
        table.add_row("mlx", f"cannot be used: {mlx['reason']}")
    table.add_row("machine", f"{machine['platform']}, {machine['machine']}, "
                  f"{machine['cpu_count']} CPUs, Python {machine['python']}")  # fmt: skip
    table.add_row(
        "memory", f"{memory['total'] / gib:.1f} GiB, {memory['available'] / gib:.1f} free"
    )
    table.add_row(
        "swap", f"{memory['swap_total'] / gib:.1f} GiB, {memory['swap_used'] / gib:.1f} used"
    )
    table.add_row("compiler", machine["compiler"] or "no g++: mx.compile does nothing on the CPU")
    for tool in document["stack_tools"]:
        table.add_row(f"stacks: {tool['name']}", "works" if tool["ok"] else tool["reason"])
    Console().print(table)
