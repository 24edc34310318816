"""Mounted file systems, and which of them may wait for somebody else. Linux only.

Below such a mount nothing is opened and nothing is asked of a file: either could wait for ever.
"""

from __future__ import annotations

import os
import re
import stat
from typing import NamedTuple

from harness.observe.linux import file_table, reading
from harness.observe.linux.file_table import FileTable

_REMOTE = frozenset(
    ("9p", "acfs", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "fuse", "fuseblk",
     "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "ocfs2", "orangefs", "pvfs2",
     "smb3", "smbfs", "virtiofs", "wekafs")
)  # fmt: skip
_ESCAPED = re.compile(rb"\\([0-7]{3})")
_LINKS = 40
"""Symbolic links that are followed at most, as the kernel has it."""


class Mount(NamedTuple):
    id: int
    device: str
    """Major and minor number, in decimal digits, as in `0:45`."""
    root: str
    """The folder of the file system that is seen at the place."""
    place: str
    type: str
    options: str
    """The file system's own, which it shares with its other mounts."""

    @property
    def remote(self) -> bool:
        """Check whether another program or another machine answers for it."""
        return self.type in _REMOTE or self.type.startswith("fuse.")

    @property
    def fuse(self) -> bool:
        return self.type in ("fuse", "fuseblk") or self.type.startswith("fuse.")


def mounts(pid: int) -> list[Mount]:
    """As the process sees them, in the order in which they were mounted; empty if unreadable."""
    return parse(reading.read(f"/proc/{pid}/mountinfo"))


def parse(text: bytes) -> list[Mount]:
    found = []
    for line in text.splitlines():
        before, separator, after = line.partition(b" - ")
        fields, kind = before.split(), after.split()
        if separator and len(fields) > 4 and len(kind) > 2:
            found.append(
                Mount(
                    int(fields[0]),
                    fields[2].decode(),
                    _plain(fields[3]),
                    _plain(fields[4]),
                    kind[0].decode("ascii", "replace"),
                    os.fsdecode(kind[2]),
                )
            )
    return found


def _plain(field: bytes) -> str:
    return os.fsdecode(_ESCAPED.sub(lambda one: bytes([int(one[1], 8)]), field))


def remote_devices(pid: int) -> frozenset[str]:
    """The devices of file systems that may wait, as /proc/PID/maps writes them."""
    return frozenset(in_maps(one.device) for one in mounts(pid) if one.remote)


def in_maps(device: str) -> str:
    """A device's numbers as /proc/PID/maps and the lines of locks write them: hexadecimal."""
    major, _, minor = device.partition(":")
    return f"{int(major):02x}:{int(minor):02x}"


def of_file(pid: int, file: int, mounted: list[Mount]) -> Mount | None:
    """The mount that an open file lies in."""
    found = re.search(rb"^mnt_id:\s*(\d+)", reading.read(f"/proc/{pid}/fdinfo/{file}"), re.M)
    return next((one for one in mounted if found and one.id == int(found[1])), None)


def of_path(path: str, mounted: list[Mount]) -> Mount | None:
    """The mount that a path without symbolic links lies in."""
    over = [
        one for one in mounted if path == one.place or path.startswith(one.place.rstrip("/") + "/")
    ]
    # Of two at one place the later one covers the earlier.
    return max(enumerate(over), key=lambda one: (len(one[1].place), one[0]))[1] if over else None


def mode(pid: int, base: str, path: str, mounted: list[Mount]) -> tuple[Mount | None, int | None]:
    """The mount that a path of a process leads into, and the mode of the file that it names.

    `base`: the link in /proc/PID that a relative path begins at. Where a folder or link on the way
    lies in a file system that may wait, nothing is asked of it: the mode is None.
    """
    root = f"/proc/{pid}/root"
    try:
        begin = "/" if path.startswith("/") else os.readlink(f"/proc/{pid}/{base}")
    except OSError:
        return None, None
    todo = [part for part in reversed(f"{begin}/{path}".split("/")) if part not in ("", ".")]
    at, links = "", 0
    while todo:
        part = todo.pop()
        here = os.path.dirname(at).rstrip("/") if part == ".." else f"{at}/{part}"
        mount = of_path(here or "/", mounted)
        if mount is None or mount.remote:
            return mount, None
        try:
            found = os.lstat(f"{root}{here}").st_mode if here else stat.S_IFDIR
            if stat.S_ISLNK(found) and links < _LINKS:
                links += 1
                target = os.readlink(f"{root}{here}")
                at = "" if target.startswith("/") else at
                todo += [one for one in reversed(target.split("/")) if one not in ("", ".")]
                continue
        except OSError:
            return mount, None
        at = here
        if not todo:
            return mount, found
    return of_path("/", mounted), None


def daemons(mount: Mount, table: FileTable) -> tuple[tuple[int, ...], bool]:
    """The processes that answer for a FUSE file system, and whether it is certain that they do.

    Newer kernels say which connection an open /dev/fuse is of. Else it is who has one open: the
    only one, or those whose command line names the mount point.
    """
    minor = mount.device.partition(":")[2]
    holders = table.holders("/dev/fuse")
    certain = [one for one in holders if file_table.info_line(*one, "fuse_connection") == minor]
    if certain:
        return file_table.others(certain, 0), True
    place = os.fsencode(mount.place)
    named = [one for one in holders if place in _command(one.pid)]
    found = file_table.others(named or holders, 0)
    return found, len(found) == 1 and table.complete(found[0], anybody=True)


def has_requests(mount: Mount) -> bool:
    """Check whether requests to a FUSE file system may be unanswered."""
    minor = mount.device.partition(":")[2]
    return reading.read(f"/sys/fs/fuse/connections/{minor}/waiting").strip() != b"0"


def _command(pid: int) -> list[bytes]:
    return reading.read(f"/proc/{pid}/cmdline").split(b"\0")
