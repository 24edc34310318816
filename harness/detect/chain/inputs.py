"""The open files by which something may come to a process, where its waits are not shown. Pure."""

from __future__ import annotations

from harness.detect.chain.facts import Facts
from harness.model.world import Link


def none(pid: int, facts: Facts) -> bool:
    """True if a process has no file open by which anything could come. One of which no file is told
    may have any."""
    opened = facts.observed.files.get(pid, ())
    return bool(opened) and not any(map(_brings, opened))


def _brings(link: Link) -> bool:
    """True of what others may write into, and of what is not shown. A person types no training."""
    if link.unseen:
        return True
    return link.reads is not False and not link.only_own and link.kind != "terminal"
