"""The parts that the benchmarks share: the run of a victim's step, the machine, and a table."""

from __future__ import annotations

import contextlib
import json
import platform
import signal
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from harness.observe.environment import gather
from harness.stats import median, quantile

VICTIM = Path(__file__).with_name("victim.py")
ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("harness", "mlx_harness", "scenarios")
"""The folders whose changes change what is measured."""


def machine() -> str:
    """The machine and the versions, in one line."""
    env = gather()
    return (
        f"{env.platform}, {platform.processor() or env.machine}, {env.cpu_count} CPUs, "
        f"Python {env.python}, mlx {env.versions.get('mlx')}"
    )


def commit() -> str:
    """The last commit that changed the product; with `+` where the product differs from it."""
    sha = _git("log", "-1", "--format=%h", "--abbrev=7", "--", *PRODUCT)
    return f"{sha}+" if sha and _git("status", "--porcelain", "--", *PRODUCT) else sha or "unknown"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def interrupted_once() -> None:
    """Raise KeyboardInterrupt at the first SIGINT, also in the background of a shell, which lets it
    be ignored. `timeout` sends its signal twice, and what has ended is to be kept."""

    def interrupted(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupted)


class Deadline:
    """The time by which a benchmark is to have ended, if there is one."""

    def __init__(self, minutes: float | None) -> None:
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    def leaves(self, seconds: float) -> bool:
        """True if what takes so long may still begin."""
        return self._end is None or time.monotonic() + seconds <= self._end


class _Answers(socketserver.StreamRequestHandler):
    """Answers a call after as many seconds as it asks for."""

    def handle(self) -> None:
        time.sleep(float(self.rfile.readline() or 0))
        with contextlib.suppress(OSError):  # whoever asked has been ended
            self.wfile.write(b"!")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


@contextlib.contextmanager
def server() -> Iterator[int]:
    """A server that runs beside the benchmark; gives its port."""
    with _Server(("127.0.0.1", 0), _Answers) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        try:
            yield one.server_address[1]
        finally:
            one.shutdown()


def figures(values: Sequence[float]) -> dict[str, float]:
    """Median, p95 and the highest of `values`; empty without values."""
    if not values:
        return {}
    return {"median": median(values), "p95": quantile(values, 0.95), "max": max(values)}


def shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if value < 1 else f"{value:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column left, the others right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for line in lines
    )


def save(file: Path | None, benchmark: str, result: Any) -> None:
    """Write the benchmark's summary as JSON, if a file was asked for.

    A summary has the figures that the docs give, with their spread. Single runs are not in it.
    """
    if file is None:
        return
    document = {
        "benchmark": benchmark,
        "commit": commit(),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "result": result,
        "environment": to_builtins(gather()),
    }
    part = file.with_name(f".{file.name}.part")  # one that is interrupted leaves a whole one
    part.write_text(_lines(_rounded(document)) + "\n")
    part.replace(file)


WIDTH = 400
"""Of a line of JSON, so that a row of a table stays one line."""
DIGITS = 4
"""That are kept of a measured figure."""


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if abs(value) < 10**DIGITS else round(value)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def _lines(value: Any, indent: int = 0) -> str:
    """JSON in which whatever fits into a line is on one."""
    flat = json.dumps(value, ensure_ascii=False)
    if indent + len(flat) <= WIDTH or not isinstance(value, dict | list) or not value:
        return flat
    inner = " " * (indent + 1)
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_lines(one, indent + 1)}" for key, one in value.items()]
    else:
        parts = [_lines(one, indent + 1) for one in value]
    begin, end = "{}" if isinstance(value, dict) else "[]"
    return f"{begin}\n{inner}" + f",\n{inner}".join(parts) + f"\n{' ' * indent}{end}"


def put(shown: str, page: str, name: str) -> str:
    """`page` with what stands between the marks `<!-- NAME: begin -->` and `end` replaced."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = page.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"the page has no {begin} ... {end}")
    return f"{before}{begin}\n{shown}\n{end}{after}"
