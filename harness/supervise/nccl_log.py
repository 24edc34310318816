"""The words of NCCL and of MLX's backend for it on a failure, and the rank that says them.

MLX ends a rank in which NCCL fails by `exit(1)`: there is no exception, only a line on its output.
"""

from __future__ import annotations

import re

from harness.text import late

_WARNS = re.compile(rb":(\d+):\d+ \[[^\]\n]*\] [^\n]*?NCCL WARN ([^\n]+)")
"""`host:process:thread [GPU] file:line NCCL WARN ...`, which NCCL_DEBUG=WARN asks for."""
_MLX = re.compile(rb"^NCCL error [^\n']*'([^\n]+)'\r?$", re.MULTILINE)
_CUDA = re.compile(rb"^CUDA error [^\n']*'([^\n]+)'\r?$", re.MULTILINE)
_FAILS = late.compile(
    r"failure|failed|error|closed by|refused|reset by|timed? ?out|Duplicate GPU|mismatch", re.I
)
"""A warning that tells of a failure. NCCL warns of settings as well."""
_NAMES = {
    "unhandled cuda error": "ncclUnhandledCudaError",
    "unhandled system error": "ncclSystemError",
    "internal error": "ncclInternalError",
    "invalid argument": "ncclInvalidArgument",
    "invalid usage": "ncclInvalidUsage",
    "remote process exited": "ncclRemoteError",
}
"""The begins of NCCL's sentences for its results, and the results' names."""
_LONGEST = 1000
"""Bytes of a line, of which a part may come later than the rest."""


def error(output: bytes) -> str | None:
    """The failure of NCCL that the output of one rank shows; None without one."""
    warnings = [text for _, text in _WARNS.findall(output)]
    return _told(warnings, [*_MLX.findall(output)], [*_CUDA.findall(output)])


class NcclErrors:
    """Hears the failures of all ranks in the output that they share."""

    def __init__(self) -> None:
        self._warnings: dict[int, dict[bytes, None]] = {}
        """By process, in order, each once."""
        self._results: dict[bytes, None] = {}
        self._cuda: dict[bytes, None] = {}
        self._rest = b""

    def hear(self, data: bytes) -> None:
        text = self._rest + data
        whole, _, rest = text.rpartition(b"\n")
        for pid, warning in _WARNS.findall(whole):
            self._warnings.setdefault(int(pid), {})[warning] = None
        self._results |= dict.fromkeys(_MLX.findall(whole))
        self._cuda |= dict.fromkeys(_CUDA.findall(whole))
        self._rest = rest[-_LONGEST:]

    def of(self, pid: int | None, alone: bool) -> str | None:
        """The failure of the rank that is process `pid`. Lines that name no process are about it
        only if it is the one rank that failed (`alone`)."""
        warnings = [*self._warnings.get(pid, ())] if pid is not None else []
        if not alone:
            return _told(warnings, [], [])
        return _told(warnings, [*self._results], [*self._cuda])


def _told(warnings: list[bytes], results: list[bytes], cuda: list[bytes]) -> str | None:
    reasons = [text.decode("utf-8", "replace").strip() for text in warnings]
    known = [text for text in reasons if _FAILS.search(text)] or reasons[-1:]
    said = results[-1].decode("utf-8", "replace") if results else ""
    name = next((name for begin, name in _NAMES.items() if said.lower().startswith(begin)), "")
    if known:
        return f"NCCL: {known[0]}" + (f" ({name})" if name else "")
    if said:
        return f"NCCL: {said}" if not name else f"{name}: {said.partition(' (run with')[0]}"
    return f"CUDA: {cuda[-1].decode('utf-8', 'replace')}" if cuda else None
