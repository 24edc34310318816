"""Processes that wait for a person. Linux only."""

from __future__ import annotations

from harness.model import Process, Thread
from harness.observe.linux import file_table, foreground
from harness.observe.linux.file_peers import Ends
from harness.observe.linux.waited_files import waited


def at_prompt(process: Process, arch: str, ends: Ends | None = None) -> bool:
    """Whether a thread waits for what a person types, in a read or in a set of any size.

    Who passes on what is typed (`script`, `mpirun`) waits for its children as well, and is at no
    prompt. `ends`: those of one look at several processes.
    """
    ends = ends or Ends()
    return any(_at_prompt(process.pid, thread, arch, ends) for thread in process.threads)


def _at_prompt(pid: int, thread: Thread, arch: str, ends: Ends) -> bool:
    waits = waited(pid, thread, arch)
    typed = [each for each in waits if each.reads is not False and _is_typed(pid, each.file)]
    if not typed:
        return False
    rest = (ends.link(pid, each.file, each.reads) for each in waits if each not in typed)
    return not any(
        ends.table.descends(peer, pid) for link in rest if link is not None for peer in link.peers
    )


def _is_typed(pid: int, file: int) -> bool:
    target = file_table.target(pid, file)
    return target is not None and foreground.is_terminal(target) and foreground.person(pid, file)
