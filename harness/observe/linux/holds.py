"""Processes that no signal ends: where each is held in the kernel, and what would let it go."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from harness.model import Process, Thread
from harness.model.world import Hold, Link
from harness.observe.linux import file_peers, freezer, tree
from harness.observe.linux.mounts import Mount

_FUSE_WAITS = "request_wait_answer"
_FAULT = -1
_ABORT = "/sys/fs/fuse/connections/{}/abort"


def holds(pids: Iterable[int], arch: str) -> tuple[Hold, ...]:
    """Say where the processes `pids` are held; those that have ended by now are left out."""
    ends, groups = file_peers.Ends(), freezer.Groups()
    found = (_hold(pid, arch, ends, groups) for pid in pids)
    return tuple(hold for hold in found if hold is not None)


def _hold(pid: int, arch: str, ends: file_peers.Ends, groups: freezer.Groups) -> Hold | None:
    process = next(iter(tree.processes([pid], deep=True)), None)
    held = [thread for thread in process.threads if thread.state not in "ZX"] if process else []
    if process is None or not held:
        return None
    thread = min(held, key=lambda one: one.state != "D")
    hold = Hold(pid=pid, name=process.name, state=thread.state, wait=f"waits in {thread.wchan}")
    if (folder := groups.frozen_in(pid)) is not None:
        text = "is in a frozen control group"
        return msgspec.structs.replace(hold, wait=text, remedies=(f"thaw {folder}",))
    links = _links(process, thread, arch, ends)
    if not links:
        return hold
    link = links[0]
    mount = next((one for one in ends.mounts(thread.tid) if one.place == link.mount), None)
    return msgspec.structs.replace(
        hold,
        wait=f"waits for {link.told}",
        mount=link.mount,
        fs=link.fs,
        served_by=link.peers,
        remedies=() if mount is None or not mount.remote else _remedies(mount, link.peers),
    )


def _links(process: Process, thread: Thread, arch: str, ends: file_peers.Ends) -> tuple[Link, ...]:
    # A main thread that has ended shows no files any more; the one that is held does.
    seen = msgspec.structs.replace(process, pid=thread.tid)
    links = file_peers.waited_for(seen, thread, arch, ends)
    if links or thread.wchan != _FUSE_WAITS:
        return links
    return (file_peers.on_fuse(thread.tid, thread.syscall == _FAULT, ends),)


def _remedies(mount: Mount, served_by: Iterable[int]) -> tuple[str, ...]:
    found = [f"umount -f {mount.place}"]
    if mount.fuse:
        found.append(f"echo 1 > {_ABORT.format(mount.device.partition(':')[2])}")
    return (*found, *(f"kill {pid}" for pid in served_by))
