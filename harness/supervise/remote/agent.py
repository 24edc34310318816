"""The host's end of a far rank: starts its worker under a guard, and tells of it on stdout.

Nothing outlives the connection: a line on stdin at least once a minute is the lease of life of all
that is started here, and the terminal that ssh gives us hangs up with it.
"""

from __future__ import annotations

import base64
import os
import select
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from harness import worker
from harness.beats.file import BeatReader, read_position
from harness.detect.policy import QUIET, Policy
from harness.detect.watchdog import Watchdog
from harness.model import Position, Process, Snapshot, WorkerSpec
from harness.observe import processes as observe
from harness.supervise import launch
from harness.supervise.gather import Gatherer
from harness.supervise.inspection import Inspector
from harness.supervise.remote import lease
from harness.supervise.remote.frame import MARK, Frame, line

POLL_S = 0.1
LOOK_S = 0.5
"""Between two looks at the worker's processes; a frame is sent at least as often."""
_CHUNK = 1 << 16
_KEEP = 1 << 20
"""Bytes of output that wait to be sent at most."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a job that every host is given."""

    spec: WorkerSpec
    source: bytes
    """The scenario's file."""
    near: tuple[int, ...]
    """The ranks on the supervisor's own machine, which share its file system."""
    policy: Policy


def pack(sent: Sent) -> str:
    """As one word of a command line."""
    return base64.b64encode(zlib.compress(msgspec.json.encode(sent), 9)).decode()


def unpack(word: str) -> Sent:
    return msgspec.json.decode(zlib.decompress(base64.b64decode(word)), type=Sent)


def main(argv: list[str]) -> int:
    sent = unpack(argv[1])
    rank = int(os.environ["MLX_RANK"])
    if rank in sent.near:
        return worker.main(["", str(Path(sent.spec.folder) / launch.SPEC)])
    beside = lease.begin()
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        return _Far(sent, rank, Path(folder), beside).run()


class _Output:
    """The output of the worker, until it is sent: the worker must never wait for a slow
    connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        with self._lock:
            self._data += data[: max(0, _KEEP - len(self._data))]

    def take(self) -> bytes:
        with self._lock:
            data, self._data = bytes(self._data), bytearray()
        return data.replace(MARK, b"")


class _Far:
    """A worker of this host, from its start to its end."""

    def __init__(self, sent: Sent, rank: int, folder: Path, beside: lease.Lease) -> None:
        self._lease = beside
        self._output = _Output()
        self._folder = folder / f"rank-{rank}"
        self._reader = BeatReader(self._folder)
        self._looked_at = -LOOK_S
        self._end_told = False
        self._beat_at = time.monotonic()
        self._position: Position | None = None
        self._watchdog = Watchdog(QUIET)
        spec = msgspec.structs.replace(
            sent.spec, folder=str(folder), path=str(_scenario(sent, folder))
        )
        hear: list[Callable[[bytes], None]] = [self._output.add, self._output.add]
        self._worker = launch.worker(spec, hear=hear)
        self._policy = sent.policy
        self._inspector: Inspector | None = None

    def run(self) -> int:
        """The worker's exit code, as a shell would tell it."""
        process = self._worker
        try:
            while not process.quiet:
                select.select([process.channel], [], [], POLL_S)
                process.listen()
                self._tell(time.monotonic())
            process.close(keep_kernels=process.exit_code == 0)
            self._say(self._output.take())
            while self._tell(time.monotonic(), last=True):
                pass
        finally:
            lease.end(process)
        code = os.waitstatus_to_exitcode(process.status or 0)
        return code if code >= 0 else 128 - code

    def _tell(self, now: float, last: bool = False) -> bool:
        """Send what is new; returns whether there were beats."""
        # In this order: no beat must be missing of what the position says.
        position = read_position(self._folder)
        beats = self._reader.read(_CHUNK)
        self._say(self._output.take())
        moved = bool(beats) or position != self._position
        if moved:
            self._beat_at = now
        looks = now - self._looked_at >= LOOK_S
        # At once, and not when all that it has left is gone: the others fail without it, and the
        # launcher then cuts this connection.
        ended = self._worker.status is not None and not self._end_told
        if not (moved or looks or ended or last):
            return False
        frame = Frame(
            now=now,
            beats=tuple(beats),
            position=position,
            status=self._worker.status,
        )
        self._end_told |= ended
        if looks and self._worker.pid is not None and not last:
            self._looked_at = now
            frame = self._look(frame, observe.processes(self._worker.pid))
        self._position = position
        self._say(line(frame))
        return bool(beats)

    def _look(self, frame: Frame, processes: tuple[Process, ...]) -> Frame:
        """`frame` with what is seen of the worker from outside."""
        pid = self._worker.pid
        assert pid is not None
        if self._inspector is None:
            gatherer = Gatherer(pid, self._worker.guard_pid, ours=True)
            self._inspector = Inspector(gatherer, self._folder / "looks", self._policy)
        snapshot = Snapshot(t=frame.now, position=frame.position, processes=processes)
        self._watchdog.look(snapshot)
        asked = frame.now - self._lease.asked < lease.ASKED_S
        seen = self._inspector.look(frame.now, self._beat_at) if asked else None
        return msgspec.structs.replace(
            frame, processes=processes, stuck=seen is not None and not seen.alive
        )

    @staticmethod
    def _say(data: bytes) -> None:
        while data:
            data = data[os.write(1, data) :]


def _scenario(sent: Sent, folder: Path) -> Path:
    """The scenario's file here: among its neighbors where they are as over there, else a copy."""
    same = Path(sent.spec.path)
    try:
        if same.read_bytes() == sent.source:
            return same
    except OSError:
        pass
    copy = folder / same.name
    copy.write_bytes(sent.source)
    return copy
