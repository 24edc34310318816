"""The facts of an end that only the supervisor has: limits, children, the kernel's word."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from harness.model import Snapshot
from harness.model.death import DeadChild, EndFacts
from harness.observe import platform
from harness.supervise.launch import Launched
from harness.supervise.post_mortem import PostMortem


class Autopsy:
    """Looks on while a process lives, and says at its end what became of it."""

    def __init__(self) -> None:
        self._witness = platform.current().witness()
        self._names: dict[int, str] = {}
        self._post_mortem: PostMortem | None = None

    def expect_cores(
        self, program: str, folder: Path, inject: bool
    ) -> tuple[int | None, dict[str, str]]:
        """Look for the cores of a command that is about to start.

        Returns the most bytes that one may have, as of `PostMortem`, and variables for it.
        """
        self._post_mortem = PostMortem(program, folder, inject)
        return self._post_mortem.limit, self._post_mortem.variables

    def look(self, snapshot: Snapshot) -> None:
        """Note what the tree uses now."""
        self._names.update({process.pid: process.name for process in snapshot.processes})
        self._witness.look(process.pid for process in snapshot.processes)
        if self._post_mortem is not None:
            self._post_mortem.look(snapshot)

    def of(self, process: Launched) -> EndFacts:
        """The facts; to be called once, when everything has ended."""
        children = tuple(
            DeadChild(
                pid=pid, name=self._names.get(pid, ""), code=os.waitstatus_to_exitcode(status)
            )
            for pid, status in process.bad_children
        )
        crash = self._post_mortem and self._post_mortem.stack(
            process.pid or 0, process.exit_code, process.signal, children
        )
        return msgspec.structs.replace(
            self._witness.tell(process.pid or 0),
            cpu_s=process.cpu_s,
            limits=process.limits,
            children=children,
            timed="timeout" in self._names.values(),
            crash=crash,
        )
