"""macOS's reports of kernel panics: what each says, and whether it names the GPU or memory.

Their form is read from reports that people published, with Apple silicon and with Intel:
https://github.com/jundot/omlx/issues/862 and https://github.com/apple/container/issues/881, for
example. A report is text (`panic(cpu 7 caller 0x...): ...`), or a line of JSON for the head and
then one JSON document that holds this text as `panicString`. It has never been read on a Mac.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from harness.model.enums import TextEnum
from harness.observe.macos.jetsam import FOLDER as FOLDER
from harness.text import late

MOST = 32 << 20
"""Bytes of a report that are read: one with all stacks has some 3 MB."""
_BUG_TYPE = "210"
_STRING = late.compile(r'panic\(cpu \d+[^)]*\): ?(?P<said>.*?)(?=\\n|\n|"\s*,\s*"|\Z)')
_EPOCH = late.compile(r"^\s*(Boot|Calendar)\s*: 0x([0-9a-f]+) 0x([0-9a-f]+)", re.M | re.I)
_TASK = late.compile(r"^Panicked task [^:\n]*: (?:(\d+) pages, )?.*?pid (\d+): (.+?)\s*$", re.M)
_KEXTS = late.compile(
    r"Kernel Extensions in backtrace:\s*\n((?:\s+(?:dependency: )?com\.\S+.*\n?)+)", re.M
)
_KEXT = late.compile(r"^\s*(com\.[\w.]+)", re.M)
_COMPRESSOR = late.compile(r"^Compressor Info: (.*)$", re.M)
_SYSTEM = late.compile(r"^(?:macOS|OS) version: *(\S+)\s*$", re.M)
_DATE = late.compile(r"^\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}$", re.M)


class Names(TextEnum):
    """The part of the machine that a panic names."""

    GPU = "gpu"
    MEMORY = "memory"
    NEITHER = "neither"


_GPU = late.compile(
    r"IOGPU|completeMemory\(\)|remove_memory_object|fPendingMemorySet|\bAGX|\bagx_|\bGFX\b"
    r"|GPU Panic|Graphics firmware|IOAccelerator|AppleIntel\w*Graphics|AMDRadeon|GeForce",
)
"""In the panic's own words."""
_GPU_KEXT = late.compile(
    r"IOGPUFamily|\.AGX|IOAccelerator|AppleIntel\w+Graphics|AMDRadeon|AppleMuxControl|GeForce"
)
"""In the backtrace; what it depends on is not listed there."""
_MEMORY = late.compile(
    r"zone.map.exhaust|zalloc|memorystatus|out of memory|jetsam|no more (?:pages|memory)"
    r"|compressor (?:map|segment|space|pool)|vm_page_grab|vm_pageout",
    re.IGNORECASE,
)
_FULL = late.compile(r"\(BAD\)|\bLOW swap space")
"""A compressor that has reached its limit, or whose swap has."""


class Panic(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of one report."""

    said: str
    """The first line of the panic."""
    names: Names
    at: float | None = None
    """The time of the panic, in seconds since 1970."""
    boot: float | None = None
    """The time at which the machine was started before."""
    task: str = ""
    """The process that ran on the processor that panicked."""
    pid: int | None = None
    kexts: tuple[str, ...] = ()
    """The kernel extensions of the backtrace, without those that they depend on."""
    compressor: str = ""
    """The state of the compressor, in the kernel's words."""
    system: str = ""
    """The build of macOS."""
    resident: dict[int, int] = {}
    """The resident memory of each process in bytes, where the report lists them."""


def parse(text: str) -> Panic | None:
    """The contents of a report; None if it is none of a panic. Pure."""
    head, body = _split(text)
    if head is not None and str(head.get("bug_type", _BUG_TYPE)) != _BUG_TYPE:
        return None
    told = body.get("panicString") if body else None
    panic = told if isinstance(told, str) else text
    found = _STRING.search(panic)
    if found is None:
        return None
    if not isinstance(told, str):
        # The document was cut: its text has JSON's own marks for new lines.
        panic = panic.replace("\\n", "\n")
    said = " ".join(found["said"].replace('\\"', '"').split())
    kexts = _backtrace(panic)
    times = {name.lower(): int(seconds, 16) for name, seconds, _ in _EPOCH.findall(panic)}
    at = times.get("calendar") or _date(head, panic)
    task = _TASK.search(panic)
    compressor = _COMPRESSOR.search(panic)
    state = compressor[1].strip() if compressor else ""
    system = _SYSTEM.search(panic)
    return Panic(
        said=said,
        names=_names(said, kexts, state),
        at=float(at) if at else None,
        boot=float(times["boot"]) if times.get("boot") else None,
        task=task[3] if task else "",
        pid=int(task[2]) if task else None,
        kexts=kexts,
        compressor=state,
        system=system[1] if system else "",
        resident=_resident(body),
    )


def _split(text: str) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The head and the document of a report; (None, {}) of one that is text alone."""
    first, _, rest = text.partition("\n")
    head = _document(first)
    if head is None:
        return None, {}
    if "panicString" in head:
        return head, head
    return head, _document(rest) or {}


def _document(text: str) -> dict[str, Any] | None:
    try:
        # Reports hold control characters, and something may follow the document.
        found, _ = json.JSONDecoder(strict=False).raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _backtrace(panic: str) -> tuple[str, ...]:
    listed = _KEXTS.search(panic)
    return tuple(dict.fromkeys(_KEXT.findall(listed[1]))) if listed else ()


def _names(said: str, kexts: tuple[str, ...], compressor: str) -> Names:
    if _GPU.search(said):
        return Names.GPU
    if _MEMORY.search(said) or _FULL.search(compressor):
        return Names.MEMORY
    return Names.GPU if any(map(_GPU_KEXT.search, kexts)) else Names.NEITHER


def _date(head: Mapping[str, Any] | None, panic: str) -> float | None:
    """The time that the head gives, or the first lines of a text, in the machine's own zone."""
    try:
        if head is not None:
            text = str(head.get("timestamp", ""))
            return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f %z").timestamp()
        if found := _DATE.search(panic):
            return datetime.strptime(found[0], "%a %b %d %H:%M:%S %Y").astimezone().timestamp()
    except ValueError:
        pass
    return None


def _resident(body: Mapping[str, Any]) -> dict[int, int]:
    listed = body.get("processByPid")
    found: dict[int, int] = {}
    for one in listed.values() if isinstance(listed, dict) else ():
        pid, size = (one.get("pid"), one.get("residentMemoryBytes")) if isinstance(one, dict) else (
            None, None,
        )  # fmt: skip
        if isinstance(pid, int) and isinstance(size, int):
            found[pid] = size
    return found


def read(folder: Path, since: float) -> Iterator[Panic]:
    """The reports in `folder` that were written after `since`. Raises OSError.

    A report that cannot be read, or is none of a panic, is left out.
    """
    for file in sorted(folder.iterdir()):
        if file.suffix not in (".panic", ".ips"):
            continue
        try:
            if file.stat().st_mtime < since:
                continue
            with file.open(encoding="utf-8", errors="replace") as opened:
                found = parse(opened.read(MOST))
        except OSError:
            continue
        if found is not None:
            yield found
