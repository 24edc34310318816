"""Whose machine this is. Kept in a run's folder, so that its reports can be redacted elsewhere."""

from __future__ import annotations

import getpass
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from harness.privacy.redact import Personal

NAME = "personal.json"


def gather() -> Personal:
    """The person and the machine, as they are now."""
    home = Path.home()
    host = platform.node()
    folders = (
        (Path.cwd(), "<project>"),
        (home, "~"),
        (Path(__file__).parents[2], "<harness>"),
        (Path(sys.prefix), "<python>"),
        (Path(sys.base_prefix), "<python>"),
    )
    named = {name: "<host>" for name in (host, host.partition(".")[0]) if name}
    return Personal(folders=tuple(_both(folders)), users=_users(home), hosts=tuple(named.items()))


def joined(one: Personal, other: Personal) -> Personal:
    """What either of them knows; a host that both know is called as the first one calls it."""
    return Personal(
        folders=tuple(dict.fromkeys((*one.folders, *other.folders))),
        users=tuple(dict.fromkeys((*one.users, *other.users))),
        hosts=tuple((dict(other.hosts) | dict(one.hosts)).items()),
    )


def keep(personal: Personal, folder: Path) -> None:
    """Write it into `folder`, readable by this user alone. Raises OSError."""
    file = os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(msgspec.json.encode(personal))


def recall(folder: Path) -> Personal:
    """Of whoever made the run in `folder`; of this person where nothing says so."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=Personal)
    except (OSError, msgspec.MsgspecError):
        return gather()


def _both(folders: Iterable[tuple[Path, str]]) -> Iterator[tuple[str, str]]:
    """Each by its name and, where that is a link, by its true one; none that any machine has."""
    seen = set()
    for folder, mark in folders:
        for path in (folder, folder.resolve()):
            if path not in seen and (len(path.parts) > 2 or path == Path.home() != Path("/")):
                yield str(path), mark
            seen.add(path)


def _users(home: Path) -> tuple[str, ...]:
    try:
        login = getpass.getuser()
    except (OSError, KeyError):
        login = ""  # a container's user may have no name
    found = (login, os.environ.get("SUDO_USER", ""), home.name)
    return tuple(dict.fromkeys(name for name in found if name))
