"""Network namespaces as hosts: each with its address, its ssh server, its clock and its disk.

They hang on a switch of ours, a thread that passes frames from one TAP device to the others: there
a link is cut, drops frames or is slow. This takes no module of the kernel but TUN, and root.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import itertools
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_TUNSETIFF = 0x400454CA
_TAP_NO_PI = 0x0002 | 0x1000
_SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
_NUMBERS = itertools.count()
CLOCK_APART_S = 100_000
"""So far ahead the clock is of each host than that of the host before, where the kernel can."""


def missing() -> str | None:
    """Why there can be no such hosts here; None when there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces as hosts need root on Linux"
    for tool, found in (("ip", shutil.which("ip")), ("sshd", _SSHD), ("ssh", shutil.which("ssh"))):
        if not found:
            return f"{tool} is not installed"
    try:
        os.close(_tap(f"try{os.getpid()}"[:15]))  # several processes of tests try at once
        _ip("netns", "add", f"harness-try-{os.getpid()}")
        _ip("netns", "del", f"harness-try-{os.getpid()}")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no TAP devices or network namespaces here: {error}"
    return None


@dataclass
class Link:
    """A host's cable."""

    up: bool = True
    loss: float = 0.0
    """Share of the frames that get lost."""
    delay: float = 0.0
    """Seconds that a frame takes more."""


class Network:
    """Hosts `names` on one switch. The first is where the harness runs; it has no ssh server."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.folder = folder
        self.names = names
        self.links = [Link() for _ in names]
        number = f"{os.getpid()}-{next(_NUMBERS)}"
        self._spaces = [f"harness-{number}-{name}" for name in names]
        self._servers: list[subprocess.Popen] = []
        self._taps: list[int] = []
        self._closing = False
        self._switch = threading.Thread(target=self._forward, name="switch", daemon=True)
        try:
            for index, space in enumerate(self._spaces):
                self._plug(index, space)
            self._switch.start()
            self._configure()
            for index in range(1, len(names)):
                self._serve(index)
        except BaseException:
            self.close()
            raise

    def _plug(self, index: int, space: str) -> None:
        device = f"tap{os.getpid()}-{index}"[:15]
        _ip("netns", "add", space)
        self._taps.append(_tap(device))
        _ip("link", "set", device, "netns", space, "name", "eth0")
        _ip("-n", space, "link", "set", "lo", "up")
        _ip("-n", space, "address", "add", f"{self.address(index)}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "mtu", "9000", "up")

    @staticmethod
    def address(index: int) -> str:
        return f"10.77.0.{index + 1}"

    def interface(self, index: int, up: bool) -> None:
        """Switch a host's network device itself."""
        _ip("-n", self._spaces[index], "link", "set", "eth0", "up" if up else "down")

    def _forward(self) -> None:
        """The switch: to the port where an address was seen, else to all."""
        seen: dict[bytes, int] = {}
        due: list[tuple[float, int, int, bytes]] = []
        order = itertools.count()
        while not self._closing:
            wait = max(0.0, min(0.05, due[0][0] - time.monotonic())) if due else 0.05
            for tap in select.select(self._taps, [], [], wait)[0]:
                source = self._taps.index(tap)
                frame = os.read(tap, 1 << 16)
                seen[frame[6:12]] = source
                target = seen.get(frame[:6])
                for port in [target] if target is not None else range(len(self._taps)):
                    delay = self._passes(source, port)
                    if delay is not None:
                        when = time.monotonic() + delay
                        heapq.heappush(due, (when, next(order), port, frame))
            while due and due[0][0] <= time.monotonic():
                _, _, port, frame = heapq.heappop(due)
                with contextlib.suppress(OSError):  # the device is down
                    os.write(self._taps[port], frame)

    def _passes(self, source: int, port: int) -> float | None:
        """Seconds that a frame takes from one port to another; None if it is lost."""
        if source == port:
            return None
        ends = self.links[source], self.links[port]
        if any(not link.up or random.random() < link.loss for link in ends):
            return None
        return sum(link.delay for link in ends)

    def _configure(self) -> None:
        """Keys for all, and an ssh that knows the hosts by name."""
        for name in ("host_key", "user_key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name]
            subprocess.run(command, check=True)
        public = (self.folder / "host_key.pub").read_text()
        known = "".join(f"{self.address(i)} {public}" for i in range(len(self.names)))
        (self.folder / "known_hosts").write_text(known)
        lines = [
            f"Host {name}\n  HostName {self.address(index)}\n"
            for index, name in enumerate(self.names)
        ]
        (self.folder / "ssh_config").write_text(
            "".join(lines) + "Host *\n  User root\n  BatchMode yes\n  IdentitiesOnly yes\n"
            f"  IdentityFile {self.folder}/user_key\n"
            f"  UserKnownHostsFile {self.folder}/known_hosts\n"
        )
        # ssh itself looks for its configuration in the user's home and nowhere else.
        home = self.folder / "bin"
        home.mkdir()
        script = home / "ssh"
        real = shutil.which("ssh")
        script.write_text(f'#!/bin/sh\nexec {real} -F {self.folder}/ssh_config "$@"\n')
        script.chmod(0o755)

    def _serve(self, index: int) -> None:
        config = self.folder / f"sshd_config_{index}"
        config.write_text(
            f"ListenAddress {self.address(index)}\nHostKey {self.folder}/host_key\n"
            f"AuthorizedKeysFile {self.folder}/user_key.pub\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nPermitRootLogin yes\nPidFile none\nPrintMotd no\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        hidden = self.folder / "out"
        hidden.mkdir(exist_ok=True)
        # What the harness writes cannot be seen from the hosts: each has a disk of its own there.
        script = f"mount -t tmpfs none {hidden} && exec {_SSHD} -D -e -f {config}"
        with (self.folder / f"sshd-{index}.log").open("w") as log:
            self._servers.append(
                subprocess.Popen(
                    [*self.inside(index), *_clock(index), "sh", "-c", script],
                    stdin=subprocess.DEVNULL,
                    stderr=log,
                )
            )

    def stop_server(self, index: int) -> None:
        """Nobody answers ssh on this host any more."""
        self._servers[index - 1].kill()
        self._servers[index - 1].wait()

    def inside(self, index: int) -> list[str]:
        """The words in front of a command that let it run on a host."""
        return ["ip", "netns", "exec", self._spaces[index]]

    def processes(self, index: int) -> set[int]:
        """What runs on a host, but for ssh's servers: one whose client is silent waits for long."""
        return {pid for pid in self.everything(index) if not _serves(pid)}

    def everything(self, index: int) -> list[int]:
        """All that runs on a host, ssh's servers too: its death is theirs."""
        command = ["ip", "netns", "pids", self._spaces[index]]
        told = subprocess.run(command, capture_output=True, text=True)
        return [int(word) for word in told.stdout.split()]

    def start(self, *command: str, **popen) -> subprocess.Popen:
        """Start a command on the first host, where ssh knows the others."""
        path = f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **popen.pop("env", {}), "PATH": path}
        return subprocess.Popen([*self.inside(0), *command], env=environment, **popen)

    def close(self) -> None:
        for server in self._servers:
            server.kill()
            server.wait()
        for index in range(len(self._spaces)):
            for pid in self.everything(index):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
        self._closing = True
        if self._switch.is_alive():
            self._switch.join()
        for tap in self._taps:
            os.close(tap)
        for space in self._spaces:
            subprocess.run(["ip", "netns", "del", space], capture_output=True)


def _tap(name: str) -> int:
    """A TAP device's descriptor; the device is there as long as it is open."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP_NO_PI))
    except OSError:
        os.close(tap)
        raise
    return tap


def _clock(index: int) -> list[str]:
    """The words in front of a command that give it a clock of its own."""
    command = ["unshare", "--time", "--monotonic", str(index * CLOCK_APART_S), "--"]
    tried = subprocess.run([*command, "true"], capture_output=True)
    return command if tried.returncode == 0 else []


def _serves(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("sshd")
    except OSError:
        return True


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
