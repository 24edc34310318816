"""The hosts of a job: how its ranks are started on them, and what is known of those far away."""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from harness.detect.policy import Policy
from harness.model import Finding, Process, WorkerSpec
from harness.model.finding import warning
from harness.supervise import launch
from harness.supervise.remote import agent, lease, ssh
from harness.supervise.remote.frame import Seen
from harness.text.units import duration

NEAR = "127.0.0.1"
"""The host that `mlx.launch` uses no ssh for."""
SILENT_S = 5.0
"""A host sends something twice a second; one that has not for so long is cut off, as it seems."""
PULSE_S = 1.0
APART = 1 << 32
"""Processes of other machines get numbers from here on, each rank's in a range of its own."""


class Hosts:
    """The known state of the ranks on other machines; about those on this one it says nothing."""

    def __init__(self, spec: WorkerSpec, folders: Sequence[Path]) -> None:
        listed = spec.hostfile.hosts if spec.hostfile else ()
        self.names: list[str | None] = [host.ssh for host in listed] or [None] * spec.ranks
        self._folders = folders
        self._far = [rank for rank, host in enumerate(listed) if host.ssh != NEAR]
        self._seen: dict[int, Seen] = {}
        self._pulse: int | None = None
        self._next_pulse = 0.0

    def __contains__(self, rank: int) -> bool:
        """True if it is on another machine."""
        return rank in self._far

    def look(self, now: float) -> None:
        """Take in what has been heard, and let the hosts know that we are there."""
        self._seen = {rank: ssh.read(self._folders[rank]) for rank in self._far}
        if now >= self._next_pulse:
            self._next_pulse = now + PULSE_S
            self._say(b"\n")

    def inspect(self) -> None:
        """Ask whether the workers use the CPU and get nowhere; `stuck` has the answer, later."""
        self._say(lease.INSPECT)

    def speak(self, pipe: int) -> None:
        """From now on talk to the launcher's input `pipe`, which it passes on to all ranks."""
        if self._far:
            os.set_blocking(pipe, False)
            self._pulse = pipe
        else:
            os.close(pipe)

    def close(self) -> None:
        if self._pulse is not None:
            os.close(self._pulse)
            self._pulse = None

    def _say(self, line: bytes) -> None:
        if self._pulse is not None:
            with contextlib.suppress(OSError):  # it is gone, or stopped and has enough to read
                os.write(self._pulse, line)

    def of(self, rank: int) -> Seen:
        return self._seen.get(rank) or Seen()

    def number(self, rank: int, pid: int) -> int:
        """A process's number, unlike any other's on whatever machine."""
        return APART * (rank + 1) + pid if rank in self._far else pid

    def processes(self) -> list[Process]:
        """Those of all far ranks, as they were when their hosts were last heard."""
        return [
            msgspec.structs.replace(
                one, pid=self.number(rank, one.pid), ppid=self.number(rank, one.ppid)
            )
            for rank, seen in self._seen.items()
            for one in seen.processes
            if seen.status is None
        ]

    def cut_off_since(self, rank: int, now: float) -> float | None:
        """When its host was last heard, if it is not any more, though its worker has not ended."""
        seen = self.of(rank)
        if seen.heard is None or seen.status is not None or seen.ended:
            return None
        return seen.heard if seen.closed or now - seen.heard > SILENT_S else None

    def unreached(self) -> list[int]:
        """The ranks of which nothing was ever heard, and nothing will be."""
        seen = self._seen.items()
        return [rank for rank, one in seen if one.closed and one.heard is None and not one.ended]

    def findings(self, ranks: Iterable[int]) -> list[Finding]:
        """The hosts of `ranks` that were silent for a while."""
        silent = [(rank, self.of(rank).silence) for rank in ranks if rank in self._far]
        return [
            warning(
                "host_silent",
                f"the host of rank {rank}, {self.names[rank]}, was not heard for "
                f"{duration(silence)}",
                rank=rank,
                host=self.names[rank],
                silence_s=round(silence, 3),
            )
            for rank, silence in silent
            if silence > SILENT_S
        ]


def command(spec: WorkerSpec, launcher: Sequence[str], policy: Policy) -> list[str]:
    """The command that lets `launcher` start the ranks on the hosts of `spec`."""
    hostfile, folder = spec.hostfile, Path(spec.folder)
    assert hostfile is not None
    file = folder / "hosts.json"
    file.write_bytes(msgspec.json.encode(hostfile))
    sent = agent.Sent(
        spec=msgspec.structs.replace(spec, hostfile=None),
        source=Path(spec.path).read_bytes(),
        near=tuple(rank for rank, host in enumerate(hostfile.hosts) if host.ssh == NEAR),
        policy=policy,
    )
    assert spec.settings is not None
    backend = spec.settings.backend
    kind = (hostfile.backend or "ring") if backend == "any" else backend
    # Which ports are free over there nobody knows; of two runs each takes others, most likely.
    option = "--nccl-port" if kind == "nccl" else "--starting-port"
    ports = [option, str(random.randrange(20_000, 32_000, 16))]
    return [
        *(*launcher, "--hostfile", str(file), "--backend", kind, *ports, "--"),
        *launch.boot("harness.supervise.remote.agent", agent.pack(sent)),
    ]


def variables(folder: Path) -> dict[str, str]:
    """Environment in which our own ssh, which keeps what it hears in `folder`, is found first.

    Raises OSError when there is no ssh.
    """
    real = shutil.which("ssh")
    if real is None:
        raise FileNotFoundError("ssh is not installed here, and a host file asks for it")
    home = folder / "bin"
    home.mkdir(exist_ok=True)
    script = home / "ssh"
    words = launch.boot("harness.supervise.remote.ssh", str(folder), real)
    script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    script.chmod(0o755)
    return {"PATH": f"{home}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
