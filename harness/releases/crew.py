"""The hosts that carry out runs of a plan, each over an ssh of its own, one run at a time.

    crew -> ssh ~~~ far -> guard -> harness cell -> guard -> worker

Only what the user named is connected to, and no port is opened. A host that is not heard is used no
more; what it ran goes to another one.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import HarnessError, UsageError
from harness.model import Hostfile
from harness.releases import probe
from harness.releases.deal import Deal
from harness.releases.news import News, Order
from harness.releases.plan import Plan, cell_of
from harness.releases.probe import Ran
from harness.supervise.launch import boot
from harness.supervise.remote.frame import Splitter
from harness.supervise.remote.hosts import NEAR
from harness.supervise.remote.lease import LEASE_S
from harness.text.units import duration

CONNECT_S = 20
"""The time in which a host must answer ssh, in seconds."""
PULSE_S = 1.0
LOOK_S = 0.5
LEAVE_S = 15.0
"""The time in which a host must end what it runs, in seconds."""
OPTIONS = ("-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_S}",
           "-o", "LogLevel=ERROR")  # fmt: skip
"""A question would be one that nobody answers. `-T`: what comes back is no terminal's."""


class NoHostError(HarnessError):
    """No host is left, and runs are. The message says why, for each host."""


class Crew:
    """The hosts of a host file. Leave it as a context manager: that ends what still runs there."""

    def __init__(
        self, plan: Plan, folder: Path, file: Hostfile, said: Callable[[str], None]
    ) -> None:
        """`said` gets a line about each host that is lost."""
        self._plan = plan
        self._folder = folder
        self._file = file
        self._said = said
        self._deal = Deal([host.ssh for host in file.hosts])
        self._links: dict[int, Link] = {}
        if any(host.ssh != NEAR for host in file.hosts) and shutil.which("ssh") is None:
            raise UsageError("ssh is not installed here, and the host file asks for it")

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: Any) -> None:
        self._end()

    @property
    def size(self) -> int:
        """The number of hosts that are left, at least 1."""
        return max(1, self._deal.left)

    def run(self, numbers: Sequence[int]) -> Iterator[Ran]:
        """Carry out the runs, each on the next host that is free; yields them as they end.

        Raises NoHostError when no host is left.
        """
        self._deal.add(numbers)
        while self._deal.open:
            for host, number in self._deal.give():
                self._links[host] = self._connect(host, number)
            if not self._links:
                raise NoHostError(f"no host is left: {self._deal.why_none()}")
            yield from self._listen()

    def _connect(self, host: int, number: int) -> Link:
        name = self._deal.hosts[host]
        words = boot("harness.releases.far")
        if self._file.envs:
            words = ["env", *self._file.envs, *words]
        if name != NEAR:
            # A name with a dash in front must not be an option.
            words = ["ssh", *OPTIONS, "--", name, shlex.join(words)]
        home = self._folder / cell_of(self._plan, number).name
        return Link(words, Order(plan=self._plan, number=number), home)

    def _listen(self) -> Iterator[Ran]:
        """Take in what the hosts say for a moment; yields the runs that ended."""
        readable = {link.output for link in self._links.values()}
        writable = {link.input for link in self._links.values() if link.pending}
        ready, open_ends, _ = select.select(readable, writable, [], LOOK_S)
        now = time.monotonic()
        for host, link in list(self._links.items()):
            if link.output in ready:
                link.read(now)
            if now >= link.next_pulse:
                link.pulse(now + PULSE_S)
            if link.input in open_ends:
                link.write()
            if not link.over and now - link.heard <= LEASE_S:
                continue
            del self._links[host]
            ran = self._settled(host, link)
            if ran is not None:
                yield ran

    def _settled(self, host: int, link: Link) -> Ran | None:
        """The run of a link that is over, or None if it goes to another host."""
        name = self._deal.hosts[host]
        if link.whole:
            link.close(LEAVE_S)
            self._deal.ended(host)
            assert link.ran is not None
            return msgspec.structs.replace(link.ran, host=name)
        reason = link.reason()
        link.discard()
        self._said(f"{name} is used no more: {reason}")
        given_up = self._deal.lost(host, reason, during=link.began)
        if given_up is None:
            return None
        number, reasons = given_up
        cell = cell_of(self._plan, number)
        return probe.skipped(cell, f"lost with its host twice: {reasons}", number)

    def _end(self) -> None:
        for link in self._links.values():
            link.let_go()
        end = time.monotonic() + LEAVE_S
        for link in self._links.values():
            link.close(max(0.0, end - time.monotonic()))
            link.discard()
        self._links.clear()


class Link:
    """The connection to a host for one run, and what has come of it."""

    def __init__(self, words: Sequence[str], order: Order, home: Path) -> None:
        self._home = home
        self._splitter = Splitter(News)
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the link
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints,
            start_new_session=True,  # Ctrl-C is for us: the host is told by us
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.input = self._process.stdin.fileno()
        self.output = self._process.stdout.fileno()
        os.set_blocking(self.input, False)
        self.pending = msgspec.json.encode(order) + b"\n"
        self.heard = time.monotonic()
        self.next_pulse = self.heard + PULSE_S
        self.began = self.over = self.whole = False
        self.ran: Ran | None = None
        self._problem: str | None = None
        self._folder: Path | None = None
        self._tail = b""

    def pulse(self, next_one: float) -> None:
        """Let the host know that we are there."""
        self.next_pulse = next_one
        if not self.pending:
            self.pending = b"\n"
            self.write()

    def write(self) -> None:
        try:
            self.pending = self.pending[os.write(self.input, self.pending) :]
        except BlockingIOError:
            pass
        except OSError:
            self.pending = b""  # its end is read

    def read(self, now: float) -> None:
        data = os.read(self.output, 1 << 18)
        self.over = self.over or not data
        text, frames = self._splitter.feed(data)
        self._tail = (self._tail + text)[-4096:]
        for news in frames:
            self.heard, self.began = now, True
            self._take(news)

    def _take(self, news: News) -> None:
        if news.problem is not None:
            self._problem, self.over = news.problem, True
        elif news.ran is not None:
            self.ran = self._with_folder(news.ran)
        elif news.file is not None and self._folder is not None:
            self._keep(self._folder, news.file, news)
        elif news.whole:
            self.whole = self.over = True

    def _with_folder(self, ran: Ran) -> Ran:
        """`ran` with a new folder here: two hosts may have given theirs the same name."""
        if ran.run is None:
            return ran
        name = re.sub(r"[^\w-]", "", Path(ran.run).name) or "run"
        made, number = self._home / name, 1
        while True:
            try:
                made.mkdir(parents=True)
            except FileExistsError:
                number += 1
                made = self._home / f"{name}-{number}"
            else:
                break
        self._folder = made
        return msgspec.structs.replace(ran, run=os.path.relpath(made, self._home.parent))

    @staticmethod
    def _keep(folder: Path, name: str, news: News) -> None:
        """Write the next piece of a file, which can lie nowhere but in `folder`."""
        path = Path(name)
        if path.is_absolute() or ".." in path.parts:
            raise HarnessError(f"a host sent a file with the path {name}, which is refused")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        with os.fdopen(os.open(folder / path, flags, news.mode & 0o777), "wb") as file:
            file.write(news.data)

    def reason(self) -> str:
        """The reason why nothing came of it, in one line."""
        if self._problem is not None:
            return self._problem
        if not self.over:
            return f"not heard for {duration(time.monotonic() - self.heard)}"
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LEAVE_S)
        self._complaints.seek(0)
        said = _last_line(self._complaints.read()[-4096:])
        if self.began:
            return "the connection broke" + (f": {said}" if said else "")
        return said or _last_line(self._tail) or "it did not answer"

    def discard(self) -> None:
        """Close, and delete what has come: it is not whole."""
        self.close(0.0 if not self.over else LEAVE_S)
        if self._folder is not None and not self.whole:
            shutil.rmtree(self._folder, ignore_errors=True)

    def let_go(self) -> None:
        """Tell the host to end what it runs: the end of its input does."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self.pending = b""

    def close(self, grace: float) -> None:
        """Let go, and wait so long for the host to end what it runs."""
        self.let_go()
        end = time.monotonic() + grace
        output = self._process.stdout
        # What it still says must be read, or it waits for that.
        while output is not None and not output.closed and time.monotonic() < end:
            if not select.select([output], [], [], LOOK_S)[0]:
                continue
            if not os.read(output.fileno(), 1 << 18):
                output.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, end - time.monotonic()))
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if output is not None:
            output.close()
        self._complaints.close()


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
