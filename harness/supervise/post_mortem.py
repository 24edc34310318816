"""The stack of a command that crashed, from the core that it left.

A core is asked for only where it can be found, read and removed, and the kernel's rule is never
changed. None is asked of Python: it prints its own line when it crashes, and its core would be as
large as all that it trains. The hook takes the permission back in each Python below a command.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import msgspec

from harness.death.last_words import CRASHES
from harness.inject import CORE
from harness.model import Snapshot
from harness.model.death import CrashStack, DeadChild
from harness.observe import platform
from harness.observe.witness import Core
from harness.stacks import post_mortem
from harness.text import late
from harness.text.exits import signal_name
from harness.text.units import size

SAVED = "core-gdb.txt"
"""The name of gdb's answer, among the stacks of the run."""
_PYTHON = late.compile(r"(?:python|pypy)[\d.]*t?$")


class PostMortem:
    """Decides before a command is started, and looks after its end."""

    def __init__(self, program: str, folder: Path, inject: bool) -> None:
        """`program` is the first word of the command; nothing is changed without `inject`."""
        self._began = time.time()
        self._cores = platform.current().cores()
        self._saved = folder / "stacks" / SAVED
        self.limit: int | None = None
        """The most bytes of a core that the command may leave; None: as it is."""
        self._why = ""
        cores = self._cores
        if cores is None or cores.wanted or not inject or _PYTHON.match(Path(program).name):
            return
        self._why = cores.why_not
        if not self._why and not post_mortem.can_read():
            self._why = "gdb is not installed"
        if not self._why:
            self.limit = cores.limit

    @property
    def variables(self) -> dict[str, str]:
        """The variables by which a Python below knows that it is to leave no core."""
        return {} if self.limit is None else {CORE: "1"}

    def look(self, snapshot: Snapshot) -> None:
        """Note where the processes are: there the kernel writes their cores."""
        if self._cores is not None:
            self._cores.look(process.pid for process in snapshot.processes)

    def stack(
        self, pid: int, code: int | None, signal: str | None, children: tuple[DeadChild, ...]
    ) -> CrashStack | None:
        """The stack of the process `pid`, or of what it had started; None if nothing crashed.

        To be called once, when everything has ended: the cores that were asked for are removed.
        """
        dead = [child.pid for child in children if _crash(None, child.code)]
        itself = _crash(signal, code)
        if self._cores is None:
            return self._reported([pid, *dead], itself) if itself or dead else None
        left = self._cores.left(pid)
        try:
            if not (itself or dead or (left and (signal or code))):
                return None
            return self._read(left, [pid, *dead], itself)
        finally:
            for core in left if self.limit is not None else ():
                with contextlib.suppress(OSError):
                    core.file.unlink()

    def _reported(self, dead: list[int], itself: bool) -> CrashStack | None:
        """The stack in the system's own report, where it writes one."""
        text = platform.current().crash_report(dead, self._began)
        if text is None:
            return None
        if not text:
            return CrashStack(why_not="macOS has written no report of it")
        who = "" if itself else "a process that it started"
        return msgspec.structs.replace(post_mortem.read_report(text), who=who)

    def _read(self, left: list[Core], dead: list[int], itself: bool) -> CrashStack | None:
        cores = self._cores
        assert cores is not None
        if cores.by_systemd and cores.wanted:
            return post_mortem.of_journal(dead)
        if not left:
            why = "it left no core" if self.limit is not None else self._why
            return CrashStack(why_not=why) if why else None
        core = next((one for one in left if one.pid in dead), left[-1])
        if not post_mortem.can_read():
            found = CrashStack(why_not="gdb is not installed")
        else:
            found = post_mortem.of_core(core, self._saved)
        kept = f"{core.file.name} ({size(core.nbytes)})" if self.limit is None else ""
        who = "" if itself else Path(core.program).name or "a process that it started"
        return msgspec.structs.replace(found, core=kept, who=who)


def _crash(signal: str | None, code: int | None) -> bool:
    """True of the end by a signal such as SIGSEGV, also as a shell hands it on."""
    if signal is not None:
        return signal in CRASHES
    number = -(code or 0) if (code or 0) < 0 else (code or 0) - 128
    return number > 0 and signal_name(number) in CRASHES
