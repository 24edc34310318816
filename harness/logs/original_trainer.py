"""The Rust trainer of the report that this project starts from; its sizes are binary.

[DEBUG] Step 1: Clearing MLX cache
[DEBUG] Step 1: Skipping gradient update (diagnostic mode)
[00:00:12] ####---- 10/5000 ETA:1h loss: 2.4521 (avg: 2.50) | lr: 5.00e-05 | ... | mem: 18.42 GB
{"avg_loss":2.5,"elapsed_secs":12.0,"loss":2.4521,"lr":5e-05,"memory_gb":18.4,"step":10,...}
{"location":"trainer.rs:...","phase":"post_grad","step":1,"mlx_active_mb":1.0,"rss_mb":1.0,...}
  [MEM] Active: 18.42 GB | Peak: 30.10 GB | Cache: 1.20 GB
"""

from __future__ import annotations

import re

import msgspec

from harness.logs.jsonlines import clock, decode
from harness.logs.numbers import NAN, NUMBER, count, number, size
from harness.logs.reading import Reading
from harness.text import late

_DEBUG = late.compile(r"\[DEBUG\] Step (\d{1,15}): ([^\n]{0,100})", re.ASCII)
_PHASES = (("Clearing MLX cache", "clear_cache"), ("Skipping gradient update", "skip_update"))
_BAR = late.compile(
    r"\[(?:\d{1,4}d )?\d{2,5}:\d\d:\d\d\] "
    r"(?:\[[#>=█▉▊▋▌▍▎▏░▒▓ -]{1,400}\]|[#>=█▉▊▋▌▍▎▏░▒▓-]{1,400}) "
    r"([\d,]{1,20})/([\d,]{1,20})(?= )([^|]{0,60})",
    re.ASCII,
)
_LOSS = late.compile(rf"loss: ({NUMBER})", re.ASCII)
_RATE = late.compile(rf"\| lr: ({NUMBER})", re.ASCII)
_MEMORY = late.compile(rf"\| mem: ({NUMBER}) ([KMGT])i?B", re.ASCII)
_ACTIVE = late.compile(rf"\[MEM\] Active: ({NUMBER}) GB", re.ASCII)
_PEAK = late.compile(rf"\| Peak: ({NUMBER}) GB", re.ASCII)
_POWERS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def read(line: str) -> Reading | None:
    if "{" in line:
        return _json(line)
    bar = _bar(line) if "] " in line else None
    # On a terminal what is printed stands behind the bar, which has no end of line.
    other = _debug(line) or _memory(line)
    if bar is None or other is None:
        return bar or other
    memory = other.memory_bytes or bar.memory_bytes
    return msgspec.structs.replace(
        bar, phase=other.phase, memory_bytes=memory, peak_bytes=other.peak_bytes
    )


def _debug(line: str) -> Reading | None:
    match = _DEBUG.search(line) if "[DEBUG] Step " in line else None
    if match is None:
        return None
    phase = next((phase for prefix, phase in _PHASES if match[2].startswith(prefix)), None)
    return Reading(step=count(match[1]), phase=phase)


def _memory(line: str) -> Reading | None:
    match = _ACTIVE.search(line) if "[MEM] Active" in line else None
    peak = _PEAK.search(line, match.end()) if match else None
    return match and Reading(
        memory_bytes=size(match[1], 2**30), peak_bytes=size(peak[1], 2**30) if peak else None
    )


def _bar(line: str) -> Reading | None:
    match = _BAR.search(line)
    if match is None:
        return None
    at = match.end(2)
    loss, rate, memory = (pattern.search(line, at) for pattern in (_LOSS, _RATE, _MEMORY))
    return Reading(
        step=count(match[1]),
        total=count(match[2]),
        loss=number(loss[1]) if loss else None,
        learning_rate=number(rate[1]) if rate else None,
        memory_bytes=size(memory[1], _POWERS[memory[2]]) if memory else None,
    )


def _json(line: str) -> Reading | None:
    if '"elapsed_secs"' not in line and '"location"' not in line:
        return None
    given = decode(line[line.find("{") :])
    if given is None or count(given.get("step")) is None:
        return None
    if "elapsed_secs" in given:
        memory, peak = size(given.get("memory_gb"), 2**30), None
        phase = None
    else:
        memory = size(given.get("mlx_active_mb"), 2**20)
        peak = size(given.get("mlx_peak_mb"), 2**20)
        phase = given.get("phase")
    figures = {
        name: value
        for name in ("avg_loss", "grad_norm")
        if (value := number(given.get(name))) is not None
    }
    if given.get("loss", 0.0) is None:
        figures["loss"] = NAN  # serde_json has no other word for it
    return Reading(
        step=count(given["step"]),
        phase=phase[:40] if isinstance(phase, str) else None,
        figures=figures or None,
        clock=clock(given),
        loss=number(given.get("loss")),
        learning_rate=number(given.get("lr")),
        memory_bytes=memory or None,  # it writes 0 where it could not ask
        peak_bytes=peak or None,
    )
