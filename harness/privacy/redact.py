"""What in a text names a person, a machine or a secret is replaced by a word in angle brackets.

Pure. A text that has been redacted is left as it is by a second pass.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec

from harness.plain import plain
from harness.privacy import secrets


class Personal(msgspec.Struct, frozen=True, kw_only=True):
    """What this person and this machine are called, so that it can be told from other words."""

    folders: tuple[tuple[str, str], ...] = ()
    """Folders, and what stands for each: the home, the one the harness was started in."""
    users: tuple[str, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    """Names of hosts, and what stands for each."""


COMMON = frozenset(
    ("root", "user", "users", "admin", "administrator", "ubuntu", "debian", "runner", "guest")
    + ("python", "home", "test", "mlx", "mac", "macbook", "localhost", "local", "dev", "train")
    + ("adam", "lion", "sam", "lora", "max", "min", "mark", "ray", "ada", "grace", "rich", "will")
    + ("may", "jan", "step", "loss", "rank", "eval", "model", "data", "worker", "node", "gpu")
)
"""Names that name nobody: they are words of any log or of any training's code."""
_SHORTEST = 3

_WRITTEN = re.compile(
    r"\\+(?:u001b|x1b|033|e)\[[\d;?]*[A-Za-z]|\\+(?:u(?:00ad|200[b-f]|2060|feff)|xad)",
    re.IGNORECASE,
)
"""Terminal sequences and unseen characters as JSON and `repr` write them."""

_EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}(?:@|%40|&#64;)(?!GLIBC|GCC|CXXABI|LIB)"
    r"(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"
)
_AT_HOST = re.compile(
    # Not the matrix product of two names.
    r"(?<![\w.+@-])(?<![=+*/,(-] )(?<!return )"
    r"[A-Za-z_][\w.-]{2,31}@(?!GLIBC|GCC|CXXABI|LIB)[A-Za-z][\w.-]{3,63}(?=[:\s,;\"')\]\\]|$)"
)
_MAC = re.compile(r"(?<![\w:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])")
_DOTTED = r"\d{1,3}(?:\.\d{1,3}){3}"
_IPV6 = re.compile(
    rf"(?<![\w:.])(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}(?:{_DOTTED}|[0-9A-Fa-f]{{0,4}})(?:%\w+)?(?![\w:])"
)
_IPV4 = re.compile(rf"(?<![\w.]){_DOTTED}(?!\w|\.\d)")
_HOST_OF_ADDRESS = re.compile(r"\bip-\d{1,3}(?:-\d{1,3}){3}\b(?:\.[\w-]+){0,8}")
_HOMES = re.compile(
    r"(?:/|%2[Ff])(?:home|Users)(?:/|%2[Ff])[^\s/:\"'<>|,;()\[\]%]+"
    r"|(?<![\w./~>-])/root(?![\w-])|(?<![\w./~-])~[a-z_][\w-]{0,31}(?=/)"
)
_WINDOWS_HOME = re.compile(r"\b[A-Za-z]:\\+Users\\+[^\s\\:\"'<>|]+", re.IGNORECASE)
_PRIVATE_TMP = re.compile(r"(?:/private)?/var/folders/[\w+]+/[\w+]+")
_FILE_URL = re.compile(r"\bfile://(?=/)")
_SYSTEM = (
    r"(?!(?:usr|lib|lib32|lib64|bin|sbin|opt|etc|proc|sys|dev|tmp|var|run|nix|snap|private"
    r"|System|Library|Applications)(?![\w-]))"
)
_QUOTED = re.compile(rf"([\"'])/(?!/){_SYSTEM}(?:[^/\"'\n]{{1,128}}/)+([^/\"'\n]{{0,128}})(?=\1)")
"""A path between quotes may have spaces in it."""
_ABSOLUTE = re.compile(
    rf"(?:(?<![\w.~>/<-])|(?<=\s-[A-Z]))/(?!/){_SYSTEM}"
    r"(?:[^\s/:\"'<>|,;()\[\]]+/)+([^\s/:\"'<>|,;()\[\]]*)"
)


def redacted(text: str, personal: Personal) -> str:
    """`text` without names, addresses and secrets, and without what cannot be seen.

    Paths begin with `<project>`, `~` or, where they are of neither and of no system's folder, with
    `<path>`, of which only the file's name is left.
    """
    return _redacted(text, personal) if len(text) > _SHORTEST else text


@lru_cache(maxsize=1 << 15)
def _redacted(text: str, personal: Personal) -> str:
    # A colour in the middle of a word would hide it here, and be gone where it is shown.
    text = secrets.hidden(_WRITTEN.sub("", plain(text)))
    for replace in (_paths(personal), *_ADDRESSES, _names(personal)):
        text = replace(text)
    return text


def arguments(argv: Sequence[str], personal: Personal) -> tuple[str, ...]:
    """A command's words; one that follows an option for a secret is a secret."""
    told, secret = [], False
    for word in argv:
        told.append("<secret>" if secret and not word.startswith("-") else redacted(word, personal))
        secret = secrets.names_secret(word)
    return tuple(told)


def _address(match: re.Match[str]) -> str:
    word = match[0]
    try:
        address = ipaddress.ip_address(word.partition("%")[0])
    except ValueError:
        return word
    everywhere = address.is_loopback or address.is_unspecified or word == "255.255.255.255"
    return word if everywhere else "<address>"


_ADDRESSES: tuple[Callable[[str], str], ...] = (
    lambda text: _EMAIL.sub("<email>", text),
    lambda text: _AT_HOST.sub("<user>@<host>", text),
    lambda text: _MAC.sub("<address>", text),
    lambda text: _IPV6.sub(_address, text),
    lambda text: _IPV4.sub(_address, text),
    lambda text: _HOST_OF_ADDRESS.sub("<host>", text),
)


@lru_cache(maxsize=64)
def _paths(personal: Personal) -> Callable[[str], str]:
    # The longer first: a project lies in somebody's home.
    known = sorted(personal.folders, key=lambda one: -len(one[0]))
    own = [(re.compile(rf"{re.escape(path)}(?![\w-])"), mark) for path, mark in known]

    def replace(text: str) -> str:
        if "/" not in text and "\\" not in text and "%2" not in text:
            return text
        text = _FILE_URL.sub("file:", text)
        for pattern, mark in own:
            text = pattern.sub(mark, text)
        text = _WINDOWS_HOME.sub("~", _HOMES.sub("~", text))
        text = _QUOTED.sub(r"\1<path>/\2", _PRIVATE_TMP.sub("<tmp>", text))
        return _ABSOLUTE.sub(r"<path>/\1", text)

    return replace


@lru_cache(maxsize=64)
def _names(personal: Personal) -> Callable[[str], str]:
    marks = {name.lower(): mark for name, mark in personal.hosts}
    marks |= {name.lower(): "<user>" for name in personal.users}
    marks = {
        name: mark for name, mark in marks.items() if len(name) >= _SHORTEST and name not in COMMON
    }
    if not marks:
        return lambda text: text
    words = "|".join(re.escape(name) for name in sorted(marks, key=len, reverse=True))
    pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])", re.IGNORECASE)
    return lambda text: pattern.sub(lambda match: marks[match[0].lower()], text)
