"""What in a text names a person, a machine or a secret is replaced by a word in angle brackets.

Pure. A text that has been redacted is left as it is by a second pass. Where it is open whether a
word is a secret it is taken for one: a report that lacks a word can be mended, a published token
cannot.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec


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
)
"""Names that name nobody: they are words of any log."""
_SHORTEST = 3

_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_TOKENS = re.compile(
    r"\b(?:"
    r"(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"
    r"|hf_[A-Za-z0-9]{8,}|sk-[\w-]{16,}|[spr]k_(?:live|test)_\w{8,}|xox[a-z]-[\w-]{8,}"
    r"|xapp-[\w-]{8,}|AIza[\w-]{20,}|ya29\.[\w-]+|npm_[A-Za-z0-9]{16,}|pypi-[\w-]{16,}"
    r"|dop_v1_[a-f0-9]{16,}|SG\.[\w-]{8,}\.[\w-]{8,}|eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?"
    r"|[0-9A-Fa-f]{32,}"
    r")"
)
_RANDOM = re.compile(r"(?<![\w/+-])(?!_[ZR])[\w+-]{40,}={0,2}")
"""So long a word with capitals, small letters and digits is nobody's name for anything."""
_HEADER = re.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]{0,40}(?:key|token))\b(\s*[\"']?\s*[:=]\s*)[^\n]*",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(bearer|basic)(\s+)[\w.~+/=-]{8,}", re.IGNORECASE)
_SECRET = (
    r"(?:secret|passw(?:or)?d|passphrase|passwd|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|credentials?|token(?!s|iz))"
)
_OPTION = re.compile(
    rf"(--?[\w-]{{0,40}}{_SECRET}[\w-]{{0,40}}(?:\s+|=))[^\s\"'-][^\s\"']*", re.IGNORECASE
)
_ASSIGNED = re.compile(
    rf"({_SECRET}[\w.-]{{0,64}}[\"']?\s{{0,8}}(?::=|[:=])\s{{0,8}})"
    r"(\"[^\"\n]*\"|'[^'\n]*'|[^\s,;\"'(){}\[\]]+)",
    re.IGNORECASE,
)
_PLAIN_VALUE = re.compile(r"-?[\d.,]+(?:[eE][+-]?\d+)?%?|None|True|False|null|true|false|<[\w-]+>")
_USERINFO = re.compile(r"(\b[A-Za-z][\w+.-]{0,30}://)[^\s/@]+@")
_QUERY = re.compile(r"(\b[A-Za-z][\w+.-]{0,30}://[^\s?#\"'<>]{1,512}\?)[^\s\"'<>]+")
_EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@(?!GLIBC|GCC|CXXABI|LIB)(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"
)
_AT_HOST = re.compile(r"(?<![\w.+@-])[A-Za-z_][\w.-]{0,31}@[A-Za-z][\w.-]{0,63}(?=[:\s]|$)(?!\.)")
_MAC = re.compile(r"(?<![\w:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?:%\w+)?(?![\w:])")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)")
_PORT = ("127.0.0.1", "0.0.0.0", "::", "::1", "255.255.255.255")
"""Addresses of every machine."""
_HOMES = re.compile(r"(?:/(?:home|Users)/[^\s/:\"'<>|,;()\[\]]+|(?<![\w./~>-])/root(?![\w-]))")
_WINDOWS_HOME = re.compile(r"\b[A-Za-z]:\\+Users\\+[^\s\\:\"'<>|]+", re.IGNORECASE)
_PRIVATE_TMP = re.compile(r"(?:/private)?/var/folders/[\w+]+/[\w+]+")
_SYSTEM = (
    "usr|lib|lib32|lib64|bin|sbin|opt|etc|proc|sys|dev|tmp|var|run|nix|snap|private"
    "|System|Library|Applications"
)
_ABSOLUTE = re.compile(
    rf"(?<![\w.~>/:<-])/(?!(?:{_SYSTEM})(?![\w-]))"
    r"(?:[^\s/:\"'<>|,;()\[\]]+/)+([^\s/:\"'<>|,;()\[\]]*)"
)


def redacted(text: str, personal: Personal) -> str:
    """`text` without names, addresses and secrets.

    Paths begin with `<project>`, `~` or, where they are of neither and of no system's folder, with
    `<path>`, of which only the file's name is left.
    """
    return _redacted(text, personal) if len(text) > _SHORTEST else text


@lru_cache(maxsize=1 << 15)
def _redacted(text: str, personal: Personal) -> str:
    for replace in (*_SECRETS, _paths(personal), *_ADDRESSES, _names(personal)):
        text = replace(text)
    return text


def arguments(argv: Sequence[str], personal: Personal) -> tuple[str, ...]:
    """A command's words; one that follows an option for a secret is a secret."""
    told, secret = [], False
    for word in argv:
        told.append("<secret>" if secret and not word.startswith("-") else redacted(word, personal))
        secret = bool(re.fullmatch(rf"--?[\w-]*{_SECRET}[\w-]*", word, re.IGNORECASE))
    return tuple(told)


def _random(match: re.Match[str]) -> str:
    word = match[0]
    kinds = (any(map(kind, word)) for kind in (str.isupper, str.islower, str.isdigit))
    return "<token>" if all(kinds) else word


def _assigned(match: re.Match[str]) -> str:
    name, value = match[1], match[2]
    bare = value.strip("\"'")
    if re.search("token", name, re.IGNORECASE) and not re.search(
        "secret|passw|key|credential", name, re.IGNORECASE
    ):
        # A tokenizer's words and counts are a trainer's daily bread.
        quoted = bare != value
        if _PLAIN_VALUE.fullmatch(bare) or len(bare) < (6 if quoted else 8):
            return match[0]
        if not quoted and not any(map(str.isdigit, bare)):
            return match[0]
    mark = value[0] if bare != value else ""
    return f"{name}{mark}<secret>{mark}" if bare and bare != "<secret>" else match[0]


def _address(match: re.Match[str]) -> str:
    word = match[0]
    try:
        ipaddress.ip_address(word.partition("%")[0])
    except ValueError:
        return word
    return word if word in _PORT else "<address>"


_SECRETS: tuple[Callable[[str], str], ...] = (
    lambda text: _KEY_BLOCK.sub("<key>", text),
    lambda text: _HEADER.sub(r"\1\2<secret>", text),
    lambda text: _BEARER.sub(r"\1\2<secret>", text),
    lambda text: _USERINFO.sub(r"\1<credentials>@", text),
    lambda text: _QUERY.sub(r"\1<query>", text),
    lambda text: _TOKENS.sub("<token>", text),
    lambda text: _OPTION.sub(r"\1<secret>", text),
    lambda text: _ASSIGNED.sub(_assigned, text),
    lambda text: _RANDOM.sub(_random, text),
)
_ADDRESSES: tuple[Callable[[str], str], ...] = (
    lambda text: _EMAIL.sub("<email>", text),
    lambda text: _AT_HOST.sub("<user>@<host>", text),
    lambda text: _MAC.sub("<address>", text),
    lambda text: _IPV6.sub(_address, text),
    lambda text: _IPV4.sub(_address, text),
)


@lru_cache(maxsize=64)
def _paths(personal: Personal) -> Callable[[str], str]:
    # The longer first: a project lies in somebody's home.
    known = sorted(personal.folders, key=lambda one: -len(one[0]))
    own = [(re.compile(rf"{re.escape(path)}(?![\w-])"), mark) for path, mark in known]

    def replace(text: str) -> str:
        if "/" not in text and "\\" not in text:
            return text
        for pattern, mark in own:
            text = pattern.sub(mark, text)
        text = _WINDOWS_HOME.sub("~", _HOMES.sub("~", text))
        return _ABSOLUTE.sub(r"<path>/\1", _PRIVATE_TMP.sub("<tmp>", text))

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
