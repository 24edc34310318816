"""The host's end of a run that a crew gave to it: starts it under a guard, and sends what it made.

Nothing outlives the connection: each line on stdin renews the lease of life of all that is started
here. What the run writes lies in a temporary folder until it is sent.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from harness.releases.folder import private
from harness.releases.news import News, Order
from harness.releases.part import Part
from harness.releases.plan import NAME, cell_of
from harness.releases.probe import Ran
from harness.supervise.launch import Launched, boot
from harness.supervise.remote import lease
from harness.supervise.remote.frame import line

ALIVE_S = 1.0
"""Between two frames at most."""
POLL_S = 0.1
CHUNK = 1 << 18
"""Bytes of a file in one frame."""
_TAIL = 1 << 12


def main(argv: list[str]) -> int:
    order = _order()
    if order is None:
        return 1
    lease.begin()
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        return _Far(order, Path(folder).resolve()).run()


def _order() -> Order | None:
    """The first line on stdin, or None when it does not come."""
    text = b""
    while b"\n" not in text:
        if not select.select([0], [], [], lease.LEASE_S)[0]:
            return None
        data = os.read(0, 1 << 16)
        if not data:
            return None
        text += data
    return msgspec.json.decode(text.partition(b"\n")[0], type=Order)


class _Far:
    """One run, from its start to its end."""

    def __init__(self, order: Order, folder: Path) -> None:
        self._order = order
        self._folder = folder
        self._said_at = 0.0
        self._errors = b""
        private(folder / NAME, msgspec.to_builtins(order.plan))
        words = ("cell", str(folder), "--number", str(order.number), "--quiet")
        hear: list[Callable[[bytes], None]] = [lambda data: None, self._hear]
        # The module of the command line is a program: to import it is to run it.
        self._process = Launched(boot("harness.__main__", *words), folder, hear=hear)

    def _hear(self, data: bytes) -> None:
        self._errors = (self._errors + data)[-_TAIL:]

    def run(self) -> int:
        """Carry it out; returns 0 once everything has been sent."""
        process = self._process
        try:
            while not process.quiet:
                select.select([process.channel], [], [], POLL_S)
                process.listen()
                if time.monotonic() - self._said_at >= ALIVE_S:
                    self._say(News())
            process.close(keep_kernels=False)
            self._hand_over()
        finally:
            with contextlib.suppress(OSError):
                lease.end(process)
        return 0

    def _hand_over(self) -> None:
        ran = self._outcome()
        if ran is None:
            self._say(News(problem=self._last_error()))
            return
        self._say(News(ran=ran))
        if ran.run is not None:
            for news in _files(self._folder / ran.run):
                self._say(news)
        self._say(News(whole=True))

    def _outcome(self) -> Ran | None:
        cell = cell_of(self._order.plan, self._order.number)
        file = self._folder / cell.name / f"part-{self._order.number}.json"
        try:
            return msgspec.convert(json.loads(file.read_bytes()), Part, strict=False).ran
        except (OSError, ValueError, msgspec.ValidationError):
            return None

    def _last_error(self) -> str:
        lines = [text.strip() for text in self._errors.decode("utf-8", "replace").splitlines()]
        said = next((text for text in reversed(lines) if text), "")
        process = self._process
        end = process.signal or f"exit code {process.exit_code}"
        return said.removeprefix("harness: error: ") or f"the harness ended there with {end}"

    def _say(self, news: News) -> None:
        self._said_at = time.monotonic()
        data = line(news)
        while data:
            data = data[os.write(1, data) :]


def _files(folder: Path) -> Iterator[News]:
    """The plain files below `folder`, in pieces. A link is no part of a run's result."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        name, mode = str(path.relative_to(folder)), path.stat().st_mode & 0o777
        with path.open("rb") as file:
            while True:
                data = file.read(CHUNK)
                yield News(file=name, mode=mode, data=data)
                if len(data) < CHUNK:
                    break
