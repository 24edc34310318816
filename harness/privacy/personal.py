"""Whose machine this is. Kept in a run's folder, so that its reports can be redacted elsewhere."""

from __future__ import annotations

import getpass
import os
import platform
import pwd
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from harness.privacy.redact import COMMON, Personal

NAME = "personal.json"
PACKAGES = "<site-packages>"
"""The words in place of a folder of installed packages."""
_HOSTS, _RESOLVER = Path("/etc/hosts"), Path("/etc/resolv.conf")


def gather() -> Personal:
    """The person and the machine, as they are now."""
    home = Path.home()
    folders = (
        (Path.cwd(), "<project>"),
        (home, "~"),
        *_packages(Path(__file__).parents[2]),
        (Path(sys.prefix), "<python>"),
        (Path(sys.base_prefix), "<python>"),
    )
    hosts = _hosts(platform.node(), _text(_HOSTS), _text(_RESOLVER))
    return Personal(
        folders=tuple(_both(folders)),
        users=_users(home),
        hosts=tuple((name, "<host>") for name in hosts),
    )


def _packages(own: Path) -> Iterator[tuple[Path, str]]:
    """The folders of installed packages, and the one that the harness lies in."""
    yield own, PACKAGES if own.name in ("site-packages", "dist-packages") else "<harness>"
    for name in ("purelib", "platlib"):
        yield Path(sysconfig.get_path(name)), PACKAGES


def joined(first: Personal, other: Personal) -> Personal:
    """The names that either of them knows; a host that both know is called as the first one calls
    it."""
    return Personal(
        folders=tuple(dict.fromkeys((*first.folders, *other.folders))),
        users=tuple(dict.fromkeys((*first.users, *other.users))),
        hosts=tuple((dict(other.hosts) | dict(first.hosts)).items()),
    )


def keep(personal: Personal, folder: Path) -> None:
    """Write it into `folder`, readable by this user alone. Raises OSError."""
    file = os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(msgspec.json.encode(personal))


def recall(folder: Path) -> Personal:
    """Read the names of whoever made the run in `folder`; else those of this person."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=Personal)
    except (OSError, msgspec.MsgspecError):
        return gather()


def _both(folders: Iterable[tuple[Path, str]]) -> Iterator[tuple[str, str]]:
    """Each by its name and, where that is a link, by its true one; none that any machine has."""
    listed = set()
    for folder, mark in folders:
        for path in (folder, folder.resolve()):
            if path not in listed and (len(path.parts) > 2 or path == Path.home() != Path("/")):
                yield str(path), mark
            listed.add(path)


def _hosts(node: str, hosts: str, resolver: str) -> tuple[str, ...]:
    """The machine's names, also in full: from its files, for the network may be slow to tell."""
    short = node.partition(".")[0]
    lines = [line.partition("#")[0].split() for line in hosts.splitlines()]
    in_full = [
        name
        for _, *names in filter(None, lines)
        for name in names
        if short and name.partition(".")[0].lower() == short.lower()
    ]
    domains = [
        domain.strip(".")
        for keyword, *names in filter(None, map(str.split, resolver.splitlines()))
        if keyword in ("domain", "search")
        for domain in names
        if domain.strip(".").count(".")
    ]
    return tuple(dict.fromkeys(name for name in (node, *in_full, short, *domains) if name))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _users(home: Path) -> tuple[str, ...]:
    try:
        login = getpass.getuser()
    except (OSError, KeyError):
        login = ""  # a container's user may have no name
    try:
        # Variables may say another name than the one that files belong to.
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        entry = None
    names = [login, os.environ.get("SUDO_USER", ""), home.name]
    if entry is not None:
        names += [entry.pw_name, _person(entry.pw_gecos)]
    return tuple(dict.fromkeys(name for name in names if name))


def _person(gecos: str) -> str:
    """The name of a person; nothing where it is one word, which may be of any text."""
    names = gecos.partition(",")[0].split()
    generic = COMMON.union(("system", "default", "live", "cloud", "service", "account"))
    return (
        " ".join(names) if len(names) > 1 and not generic.issuperset(map(str.lower, names)) else ""
    )
