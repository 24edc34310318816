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

from harness.cli import options
from harness.errors import Exit, UsageError
from harness.memory.law import Fit, Projection
from harness.model import Bound
from harness.observe import environment
from harness.session import plan
from harness.session.forecast import Forecast, Row, forecast
from harness.stacks import tools
from harness.text.units import count, number, plural, size

_ASK_MLX = """
import json, mlx.core as mx
from harness.training.device import memory
device = mx.default_device()
mx.eval(mx.zeros(1) + 1)
info = mx.device_info() if hasattr(mx, "device_info") else {}
print(json.dumps({"version": mx.__version__, "device": str(device.type).rpartition(".")[2],
                  "name": str(info.get("device_name", "")), "memory": memory(mx)}))
"""


def add(commands: options.Commands) -> None:
    parser = options.command(
        commands,
        "doctor",
        "say what can be used on this machine, and how much memory a training will need",
        "harness doctor --model tiny --train full --optimizer adamw",
    )
    group = parser.add_argument_group("memory that a training will hold, before it is run")
    add = group.add_argument
    options.add_model(group)
    add("--batch-size", type=options.positive, default=options.DEFAULTS.batch_size, metavar="N",
        help="sequences a step (%(default)s)")  # fmt: skip
    add("--seq-len", type=options.positive, default=options.DEFAULTS.seq_len, metavar="N",
        help="tokens a sequence (%(default)s)")  # fmt: skip
    add("--device", choices=plan.DEVICES, help="MLX's default device if not given")
    unused = {name: getattr(options.DEFAULTS, name) for name in ("steps", "learning_rate", "seed")}
    parser.set_defaults(command=run, model=None, **unused)


ASKED_OF_A_MODEL = ("train", "optimizer", "dtype", "batch_size", "seq_len", "device")


def run(arguments: argparse.Namespace) -> int:
    for name in ASKED_OF_A_MODEL:
        given = getattr(arguments, name) != getattr(options.DEFAULTS, name)
        if arguments.model is None and given:
            raise UsageError(f"--{name.replace('_', '-')} says nothing without --model")
    document = examine()
    asked = None
    if arguments.model is not None:
        if not arguments.json:
            print("tracing the training's steps: a large model takes minutes", file=sys.stderr)
        asked = forecast(options.settings(arguments))
        document["projection"] = _document(asked)
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        _print(document)
        if asked is not None:
            _print_forecast(asked)
    return Exit.OK if document["mlx"]["ok"] else Exit.INTERNAL


def examine() -> dict[str, Any]:
    """Everything doctor knows. MLX is asked in a process of its own: it may hang or crash."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    mlx, machine = _ask_mlx(), environment.gather()
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
        "stack_tools": [msgspec.to_builtins(tool) for tool in tools.available()],
    }


def _document(asked: Forecast) -> dict[str, Any]:
    """The forecast without the traced operations."""
    model = msgspec.structs.asdict(asked.model)
    del model["trace"], model["merged"], model["memory"]
    rows = []
    for row in asked.rows:
        one: dict[str, Any] = {"scenario": row.scenario, "fit": row.fit, "reason": row.reason}
        if row.projection is not None:
            one |= msgspec.to_builtins(row.projection)
            one["parts"] = dict(row.projection.parts)
            one["active_over_p"] = row.projection.active_over_p
            one["peak_over_p"] = row.projection.peak_over_p
        rows.append(one)
    return {
        "model": model,
        "memory": asked.usable.memory,
        "memory_of": asked.usable.bound.value,
        "swap": asked.usable.swap,
        "scenarios": rows,
        "verdict": asked.verdict,
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
    bound = Bound(memory["usable_of"])
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    if mlx["ok"]:
        name = f" ({mlx['name']})" if mlx["name"] else ""
        table.add_row("mlx", f"{mlx['version']}, device {mlx['device']}{name}")
    else:
        table.add_row("mlx", f"cannot be used: {mlx['reason']}")
    table.add_row("machine", f"{machine['platform']}, {machine['machine']}, "
                  f"{plural(machine['cpu_count'], 'CPU')}, Python {machine['python']}")  # fmt: skip
    table.add_row(
        "memory",
        f"{size(memory['total'])}, {size(memory['available'])} free"
        + ("" if bound is Bound.MACHINE else f"; {bound.sentence} {size(memory['usable'])}"),
    )
    table.add_row("swap", f"{size(memory['swap_total'])}, {size(memory['swap_used'])} used")
    table.add_row("compiler", machine["compiler"] or "no g++: mx.compile does nothing on the CPU")
    for tool in document["stack_tools"]:
        table.add_row(f"stacks: {tool['name']}", "works" if tool["ok"] else tool["reason"])
    Console().print(table)


def _print_forecast(asked: Forecast) -> None:
    """Scenarios that hold the same are one row."""
    model = asked.model
    console = Console()
    console.width = max(console.width, 100)  # of a pipe: 80
    console.print(
        f"\n{plural(model.parameters, 'parameter')}, {count(model.trainable)} of them trained: "
        f"P = {size(model.trainable_bytes)} ({model.dtype}); "
        f"finding this out allocated {size(model.allocated)}\n",
        highlight=False,
        soft_wrap=True,
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("scenario", min_width=max(len(row.scenario) for row in asked.rows))
    for name in ("peak", "in P", "active"):
        table.add_column(name, justify="right")
    table.add_column("at the peak")
    same: dict[Projection | None, list[Row]] = {}
    for row in asked.rows:
        same.setdefault(row.projection, []).append(row)
    for held, rows in same.items():
        names = "\n".join(row.scenario for row in rows)
        if held is None:
            table.add_row(names, "", "", "", "\n".join(row.reason or "" for row in rows))
            continue
        table.add_row(
            names,
            size(held.peak),
            number(held.peak_over_p, 3),
            size(held.active),
            ", ".join(f"{role} {size(n)}" for role, n in held.parts),
        )
    console.print(table)
    console.print(f"\n{asked.verdict}\n{_fitting(asked)}", highlight=False, soft_wrap=True)


def _fitting(asked: Forecast) -> str:
    lines = []
    for fit in Fit:
        names = [row.scenario for row in asked.rows if row.fit is fit]
        if names:
            lines.append(f"{fit.value}: {', '.join(names)}")
    return "\n".join(lines)
