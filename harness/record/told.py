"""The answers of macOS's tools about the child, and their refusals."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.observe import run_tool
from harness.observe.macos import gpu, power
from harness.record import ioreg
from harness.stacks import tools

TOOLS = (
    power.SETTINGS, power.HEAT, ("sw_vers",), ("xcode-select", "-p"),
    ("sysctl", "kern.osversion", "hw.memsize", "machdep.cpu.brand_string", power.WIRED_LIMIT),
)  # fmt: skip
_OTHERS = ("Parent Process:", "Responsible:")
_Json = dict[str, Any]


def registry(pid: int) -> str:
    """The registry of drivers, with the name of the process `pid` alone; empty for none."""
    shown = asked(gpu.COMMAND, most=run_tool.LIMIT).get("output", "")
    return ioreg.published(shown, pid) or ""


def sample(pid: int, file: str) -> tuple[str, ...]:
    (tool,) = (one for one in tools.TOOLS if one.name == "sample")
    return tuple(word.format(pid=pid, file=file) for word in tool.command)


def sampled(pid: int) -> tuple[str, _Json]:
    with tempfile.TemporaryDirectory(prefix="harness-") as own:
        file = Path(own) / "sample.txt"
        answers = {"sample": asked(sample(pid, str(file)))}
        text = file.read_text("utf-8", "replace") if file.exists() else ""
        return without_others(text), answers


def without_others(text: str) -> str:
    """The output of `sample`, without the programs that have started the child, and without the
    list of its libraries. Pure."""
    shown, _, _ = text.partition("\nBinary Images:")
    lines = (line for line in shown.splitlines() if not line.startswith(_OTHERS))
    return "\n".join([*lines, ""])


def asked(command: Sequence[str], most: int = 4000) -> _Json:
    began = time.monotonic()
    try:
        answer = run_tool.run(command, 60.0)
    except OSError as error:
        return {"problem": error.strerror or str(error)}
    return {
        "code": answer.code,
        "problem": answer.problem,
        "took_s": round(time.monotonic() - began, 3),
        "output": answer.output[:most],
        "errors": answer.errors[:most],
    }
