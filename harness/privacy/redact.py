"""Redaction: what names a person, a machine or a secret is replaced by a word in angle brackets.

Pure. A text that has been redacted is left as it is by a second pass.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import msgspec

from harness.privacy import hostnames, secrets, values
from harness.text import late
from harness.text.sanitize import sanitize


class Personal(msgspec.Struct, frozen=True, kw_only=True):
    """The names of this person and this machine, so that it can be told from other words."""

    folders: tuple[tuple[str, str], ...] = ()
    """Folders, and what stands for each: the home, the one the harness was started in."""
    users: tuple[str, ...] = ()
    """Names to log in by, and names of people, of which the parts stand together."""
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
_PAUSE = r"[\s._,-]{0,2}"
"""The text that may stand between the parts of a person's name."""

WRITTEN = late.compile(
    r"\\+(?:u001b|x1b|033|e)\[[\d;?]*[A-Za-z]|\\+(?:u(?:00ad|200[b-f]|2060|feff)|xad)",
    re.IGNORECASE,
)
"""Terminal sequences and unseen characters as JSON and `repr` write them."""

_EMAIL = late.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}(?:@|%40|&#64;)(?!GLIBC|GCC|CXXABI|LIB)"
    r"(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"
)
_AT_HOST = late.compile(
    # Not the matrix product of two names; with a path behind it, it is none.
    r"(?<![\w.+@-])(?:(?<![=+*/,(] )(?<!return )|(?=[\w.-]{3,40}@[\w.-]{3,64}:[/~]))"
    r"[A-Za-z_][\w.-]{2,31}@(?!GLIBC|GCC|CXXABI|LIB)[A-Za-z][\w.-]{2,63}(?=[:\s,;\"')\]\\>]|$)"
)
_AT_ADDRESS = late.compile(r"(?<![\w.+@-])[A-Za-z_][\w.-]{1,31}@(?=<address>)")
_MAC = late.compile(
    r"(?<![\w:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])"
    r"|(?<![\w:])(?:[0-9A-Fa-f]{4}:){3}[0-9A-Fa-f]{4}(?![\w:])"
    r"|(?<![\w.])(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}(?![\w.]*\w)"
    r"|(?<=HWaddr )[0-9A-Fa-f]{12}\b|(?<=ether )[0-9A-Fa-f]{12}\b"
)
_DOTTED = r"\d{1,3}(?:\.\d{1,3}){3}"
_IPV6 = late.compile(
    r"(?<![A-Za-z0-9:.])(?:[0-9A-Fa-f]{0,4}:){2,7}"
    rf"(?:{_DOTTED}|[0-9A-Fa-f]{{1,4}}|(?<=::))(?:%\w+)?(?!\w|:[\w:])"
)
_ROUTED = late.compile(r"[23][0-9a-f]{3}:|f[cd][0-9a-f]{2}:|fe[89ab][0-9a-f]:|ff[0-9a-f]{2}:", re.I)
"""The beginning of an address of IPv6 that is in use; `1::2` is a slice."""
_IPV4 = late.compile(rf"(?<!\d)(?<!\d\.)(?<!\.so\.)(?<!\b[vV]){_DOTTED}(?!\d|\.\d)")
_ZEROS = late.compile(r"(?<![\w:])0+(?=\d)")
_HOST_OF_ADDRESS = late.compile(
    r"\b(?:(?:[a-z]\w{0,30}-){0,3}(?:ip|host|node|ec2|peer|server|vm|compute|worker)-\d{1,3}"
    r"|[a-z][\w-]{0,30}-(?:10|172|192))(?:-\d{1,3}){3}\b(?:\.[\w-]+){0,8}",
    re.IGNORECASE,
)
_ARN = late.compile(r"(\barn:aws[\w-]{0,10}:)[^\s\"'<>]+")
_OWNER = late.compile(
    r"(\b[ug]id=\d{1,10}\(|\b(?:[A-Z_]{0,30}_)?(?:USER|LOGNAME|USERNAME)="
    r"|\buser_?name\\{0,64}[\"'][ \t]{0,4}[:=][ \t]{0,4}\\{0,64}[\"'])([\w.-]+)"
)
_HOMES = late.compile(
    r"(?:/|%2[Ff])(?:home|Users)(?:/|%2[Ff]){1,8}"
    r"(?:[^\s/:\"'<>|,;()\[\]%]|%(?!2[Ff])[0-9A-Fa-f]{2})+"
    r"|(?<![\w./~>-])/root(?![\w-])|(?<![\w./~-])~[a-z_][\w-]{0,31}(?=/)"
    r"|(?<![^\s\"'])(?<![=&|,+*-] )~[a-z_][\w-]{0,31}(?=[\s:;\"')\\]|$)"
    r"|(?<=\()~[a-z_][\w-]{0,31}(?=:)"
)
_OF_USERS = late.compile(
    r"(/run/media/|/var/(?:spool/)?mail/|/var/spool/cron/(?:crontabs/)?)[^\s/:\"'<>|,;()\[\]]+"
)
_OF_PYTEST = late.compile(r"(?<=/pytest-of-)[^\s/:\"']+")
_QUOTED_HOME = late.compile(r"([\"'])/(?:home|Users)/[^/\"'\n]{1,64}(?=/[^\"'\n]{0,512}\1)")
_WINDOWS_HOME = late.compile(
    r"\b[A-Za-z]:\\+Users\\+(?:[^\\/:\"'<>|\n]{1,64}(?=\\)|[^\s\\:\"'<>|]+)", re.IGNORECASE
)
_WINDOWS = late.compile(
    r"(?<![\w\\])[A-Z]:(\\{1,64})(?=[^\\])(?:[^\\/:\"'<>|\n]{1,128}\1(?!\\))+([^\s\\/:\"'<>|,;()]{0,128})"
)
_UNC = late.compile(
    r"(?<![^\s\"'=(:,])(\\{1,32})\1([A-Za-z0-9][\w.$-]{1,62})\1([\w$.-]{1,80}(?:\1[\w$.-]{1,80}){0,16})"
    r"(?![\w$.-])"
)
"""A share of a file server: in JSON with twice as many backslashes."""
_PRIVATE_TMP = late.compile(r"(?:/private)?/var/folders/[\w+]+/[\w+]+")
_FILE_URL = late.compile(r"\bfile://(?=/)")
_SYSTEM = (
    r"(?!(?:usr|lib|lib32|lib64|bin|sbin|opt|etc|proc|sys|dev|tmp|var|run|nix|snap|private"
    r"|System|Library|Applications)(?![\w-]))"
)
_VOLUME = late.compile(
    r"(?<![\w.~>/<}-])/(?:Volumes|media)/[^/\"'<>|:;\n]{1,64}/"
    r"(?:[^\s/:\"'<>|,;()\[\]]+/)*([^\s/:\"'<>|,;()\[\]]*)"
)
"""A medium, whose name may have spaces in it."""
_PHONE = late.compile(r"(?<![\w.)\]+-])\+[1-9]\d{0,2}(?:[ -]\(?\d{2,8}\)?){2,5}(?![\w.]|[ -]\d)")
"""A telephone number as it is dialed from abroad, in groups: `+12345678` may be a difference."""
_QUOTED = late.compile(rf"([\"'])/(?!/){_SYSTEM}(?:[^/\"'\n]{{1,128}}/)+([^/\"'\n]{{0,128}})(?=\1)")
"""A path between quotes may have spaces in it."""
_ABSOLUTE = late.compile(
    rf"(?:(?<![\w.~>/<}}-])|(?<=\s-[A-Z]))/(?![/*]){_SYSTEM}"
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
    # A color in the middle of a word would hide it here, and be gone where it is shown.
    text = secrets.hidden(WRITTEN.sub("", sanitize(text)))
    for replace in (_paths(personal), *_ADDRESSES, _names(personal)):
        text = replace(text)
    return text


def names_only(text: str, personal: Personal) -> str:
    """`text` without the names of this person and this machine."""
    return _names(personal)(text)


def arguments(argv: Sequence[str], personal: Personal) -> tuple[str, ...]:
    """A command's words; one that follows an option for a secret is a secret."""
    published, before = [], ""
    for argument in argv:
        if values.names_secret(before) and not argument.startswith("-"):
            published.append("<secret>")
        elif values.names_user(before) and ":" in argument:
            published.append("<credentials>")
        elif hostnames.names_hosts(before):
            published.append(hostnames.hidden_list(redacted(argument, personal)))
        else:
            published.append(redacted(argument, personal))
        before = argument
    return tuple(published)


def _share(match: re.Match[str]) -> str:
    """Keep the file's name of a path on a file server, if that is not the share."""
    sign, path = match[1], match[3]
    _, separator, name = path.rpartition(sign)
    return f"{sign}{sign}<host>{sign}<path>" + (sign + name if separator else "")


def _owner(match: re.Match[str]) -> str:
    return match[0] if match[2].lower() in COMMON else f"{match[1]}<user>"


def _address(match: re.Match[str]) -> str:
    text = match[0]
    try:
        # Zeros before a number make it octal to some, and are no address to Python.
        address = ipaddress.ip_address(_ZEROS.sub("", text.partition("%")[0]))
    except ValueError:
        return text
    everywhere = address.is_loopback or address.is_unspecified or text == "255.255.255.255"
    return text if everywhere else "<address>"


def _address6(match: re.Match[str]) -> str:
    known = "." in match[0] or _ROUTED.match(match[0]) or match[0].count(":") >= 4
    return _address(match) if known else match[0]


_ADDRESSES: tuple[Callable[[str], str], ...] = (
    lambda text: _EMAIL.sub("<email>", text),
    lambda text: _AT_HOST.sub("<user>@<host>", text),
    lambda text: _MAC.sub("<address>", text),
    lambda text: _IPV6.sub(_address6, text),
    lambda text: _IPV4.sub(_address, text),
    lambda text: _AT_ADDRESS.sub("<user>@", text),
    lambda text: _PHONE.sub("<phone>", text),
    lambda text: _ARN.sub(r"\1<hidden>", text),
    lambda text: _OWNER.sub(_owner, text),
    lambda text: _HOST_OF_ADDRESS.sub("<host>", text),
    hostnames.hidden,
)


@lru_cache(maxsize=64)
def _paths(personal: Personal) -> Callable[[str], str]:
    # The longer first: a project lies in somebody's home.
    known = sorted(personal.folders, key=lambda one: -len(one[0]))
    own = [(re.compile(rf"{re.escape(path)}(?![\w-])"), mark) for path, mark in known]

    def replace(text: str) -> str:
        if not any(sign in text for sign in ("/", "\\", "%2", "~")):
            return text
        text = _FILE_URL.sub("file:", text)
        for pattern, mark in own:
            text = pattern.sub(mark, text)
        text = _OF_PYTEST.sub("<user>", _OF_USERS.sub(r"\1<user>", text))
        text = _WINDOWS.sub(r"<path>\1\2", _WINDOWS_HOME.sub("~", _UNC.sub(_share, text)))
        text = _HOMES.sub("~", _QUOTED_HOME.sub(r"\1~", text))
        text = _QUOTED.sub(r"\1<path>/\2", _PRIVATE_TMP.sub("<tmp>", text))
        return _ABSOLUTE.sub(r"<path>/\1", _VOLUME.sub(r"<path>/\1", text))

    return replace


@lru_cache(maxsize=64)
def _names(personal: Personal) -> Callable[[str], str]:
    marks = {name.lower(): mark for name, mark in personal.hosts}
    hosts = _any_of(f"{re.escape(name)}{hostnames.DOMAIN}" for name in _known(marks))
    users = _any_of(_PAUSE.join(map(re.escape, name.split())) for name in _known(personal.users))

    def host(match: re.Match[str]) -> str:
        whole = match[0].lower()
        return marks.get(whole) or next(
            marks[name] for name in _known(marks) if whole.startswith(name)
        )

    return lambda text: users.sub("<user>", hosts.sub(host, text))


def _known(names: Iterable[str]) -> list[str]:
    """Those that name somebody, the longer first."""
    useful = {name for name in names if len(name) >= _SHORTEST and name.lower() not in COMMON}
    return sorted(useful, key=lambda name: (-len(name), name))


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    alternatives = "|".join(patterns) or r"(?!)"
    return re.compile(rf"(?<![A-Za-z0-9])(?:{alternatives})(?![A-Za-z0-9])", re.IGNORECASE)
