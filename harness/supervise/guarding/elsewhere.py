"""A guard's family where neither /proc nor libproc shows it: the table that `ps` prints.

What loses its parent is not seen any more.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable

from harness.supervise.guarding.tree import below


class Elsewhere:
    def enter(self, supervisor: int, guard: int) -> bool:
        return True

    def adopt(self, worker: int) -> None:
        pass

    def below(self, childless: bool) -> list[tuple[int, bool]]:
        return below(_table(), os.getpid())

    def calm(self, left: list[int], rest: Iterable[int], childless: bool) -> bool:
        return not left

    def same(self, pid: int) -> bool:
        return True

    def in_kernel(self, pid: int) -> object:
        return None

    def sources(self) -> list[int]:
        return []

    def news(self) -> bool:
        return False


def _table() -> list[tuple[int, int, bool]]:
    command = ["ps", "-axo", "pid=,ppid=,stat="]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ps:
        rows = [line.split() for line in ps.communicate()[0].splitlines()]
    seen = [(int(row[0]), int(row[1]), row[2].startswith("Z")) for row in rows]
    # It shows itself, as our child. It has ended by now.
    return [row for row in seen if row[0] != ps.pid]
