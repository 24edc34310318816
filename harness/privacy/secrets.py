"""What in a text is a secret, by its form or by the word before it. Pure.

Where it is open whether a word is a secret it is taken for one: a report that lacks a word can be
mended, a published token cannot.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_NAME = r"PRIVATE KEY(?: BLOCK)?-----"
_KEY_BLOCK = re.compile(rf"-----BEGIN [A-Z ]*{_NAME}.*?(?:-----END [A-Z ]*{_NAME}|\Z)", re.DOTALL)
_KEY_END = re.compile(rf"-----END [A-Z ]*{_NAME}")
_KEY_LINE = re.compile(r"\s*[A-Za-z0-9+/=]+\s*")
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"
    r"|hf_[A-Za-z0-9]{8,}|api_org_[A-Za-z0-9]{8,}|sk-[\w-]{16,}|[spr]k_(?:live|test)_\w{8,}"
    r"|xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,}|AIza[\w-]{20,}|ya29\.[\w-]+|npm_[A-Za-z0-9]{16,}"
    r"|pypi-[\w-]{16,}|dop_v1_[a-f0-9]{16,}|SG\.[\w-]{8,}\.[\w-]{8,}"
    r"|(?:nvapi|xai|pplx|tvly)-[\w-]{16,}|(?:gsk|r8|dckr_pat|lsv2_[a-z]{2}|shp[a-z]{2})_[\w-]{16,}"
    r"|hv[sbr]\.[\w-]{16,}|AGE-SECRET-KEY-1[0-9A-Z]{16,}|\d{8,10}:AA[\w-]{30,}"
    r"|[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}|eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?"
    r")|(?<![0-9A-Fa-f])[0-9A-Fa-f]{32,}"
)
_LONG = re.compile(r"(?<![\w/+-])(?!_[ZR])[\w/+-]{24,}={0,2}")
_GAP = r"[^\S\r\n]"
"""Between a key and its value, which are on one line."""
_HEADER = re.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]{0,40}(?:key|token))\b"
    rf"({_GAP}*[\"']?{_GAP}*[:=]{_GAP}*)(?=\S)[^\n]*",
    re.IGNORECASE,
)
_BEARER = re.compile(
    rf"\b(bearer|basic)({_GAP}+)(?=[\w.~+/-]*[\d=])[\w.~+/=-]{{8,}}", re.IGNORECASE
)
_SECRET = (
    r"(?:secret|passw(?:or)?d|passphrase|passcode|(?<![a-z])pwd(?![a-z])|(?-i:_PASS(?![A-Z]))"
    r"|(?:access|account|api|auth|encryption|license|private|service|shared|signing|storage)[_-]?key"
    r"|credentials?|session[_-]?id|csrf|token(?!s|iz))"
)
_BACK = r"\\{0,64}"
"""JSON within JSON has a backslash before its quotes, and twice as many and one in each further."""
_QUOTED = r"\\{1,64}\"[^\"\\\n]*\\{1,64}\"|\\{1,64}'[^'\\\n]*\\{1,64}'|\"[^\"\n]*\"|'[^'\n]*'"
_OPTION = re.compile(
    rf"(--?(?:[\w-]{{0,40}}{_SECRET}[\w-]{{0,40}}|auth)(?:{_BACK}[\"'],\s{{0,4}}|{_GAP}+|=))"
    rf"(?:{_QUOTED}|[^\s\"'<-][^\s\"']*)",
    re.IGNORECASE,
)
_USER_OPTION = re.compile(rf"(\s-u{_GAP}+)[^\s:/]{{1,64}}:[^\s:/]{{1,256}}(?!\S)")
_ASSIGNED = re.compile(
    rf"({_SECRET}[\w.-]{{0,64}}{_BACK}[\"']?{_GAP}{{0,8}}(?::=|[:=]){_GAP}{{0,8}})"
    rf"({_QUOTED}|[^\s,;\"'(){{}}\[\]]+)",
    re.IGNORECASE,
)
_SPOKEN = re.compile(
    r"\b(passwords?|passphrase|passcode|(?:secret|api|access)[ _-]key)"
    rf"({_GAP}+(?:is{_GAP}+|was{_GAP}+)?)"
    r"(?=\S{0,64}\d)(?=\S{0,64}[A-Za-z])[^\s'\"<]{6,}",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"-?[\d.,]+(?:[eE][+-]?\d+)?%?|<[\w-]+>")
_NO_VALUE = re.compile(r"None|True|False|null|true|false|str|bytes|getpass\.getpass")
_CODE = re.compile(r"[A-Za-z_][A-Za-z_.]*")
_USERINFO = re.compile(
    r"(\b[A-Za-z][\w+.-]{0,30}://)(?:[^\s/\"']{1,256}@|[^\s@:/\"']{1,64}:[^\s@\"']{1,256}@)"
)
_QUERY = re.compile(r"(\b[A-Za-z][\w+.-]{0,30}://[^\s?#\"'<>]{1,512}\?)[^\s\"'<>]+")
_PARAMETER = re.compile(r"([?&](?:sig|signature|key|code|auth|token)=)[^\s&\"'<>]+", re.IGNORECASE)


def hidden(text: str) -> str:
    """`text` with a word in angle brackets in place of each secret."""
    for replace in _ALL:
        text = replace(text)
    return text


def names_secret(word: str) -> bool:
    """Whether a command's word is an option whose value is a secret."""
    return bool(re.fullmatch(rf"--?(?:[\w-]*{_SECRET}[\w-]*|auth)", word, re.IGNORECASE))


def _key_ends(text: str) -> str:
    """Of a key's block whose beginning was cut off, the lines that are left of it."""
    while (end := _KEY_END.search(text)) is not None:
        lines = text[: end.start()].split("\n")
        while len(lines) > 1 and _KEY_LINE.fullmatch(lines[-2]):
            del lines[-2]
        if len(lines) == 2 and _KEY_LINE.fullmatch(lines[0]):
            del lines[0]
        text = "\n".join(lines) + "<key>" + text[end.end() :]
    return text


def _random(match: re.Match[str]) -> str:
    """A word of capitals, small letters and digits that change too often to be words or a path."""
    word = match[0]
    kinds = [(c.isupper(), c.islower(), c.isdigit()) for c in word if c.isalnum()]
    if len(set(kinds)) < 3:
        return word
    changes = sum(map(tuple.__ne__, kinds, kinds[1:])) / len(word)
    known = ("/" not in word or changes >= 0.3) if len(word) >= 40 else changes >= 0.4
    return "<token>" if known else word


def _assigned(match: re.Match[str]) -> str:
    name, value = match[1], match[2]
    bare = value.strip("\\\"'")
    quoted = bare != value
    if not bare or bare == "<secret>" or (not quoted and _is_code(bare, match)):
        return match[0]
    if re.search("token", name, re.IGNORECASE) and not re.search(
        "secret|passw|key|credential", name, re.IGNORECASE
    ):
        # A tokenizer's words and counts are a trainer's daily bread.
        if _NUMBER.fullmatch(bare) or len(bare) < (6 if quoted else 8):
            return match[0]
        if not quoted and not any(map(str.isdigit, bare)) and not _one_word(bare):
            return match[0]
    mark = value[: value.index(bare)]
    return f"{name}{mark}<secret>{mark}"


def _one_word(bare: str) -> bool:
    return len(bare) >= 16 and bare.isalpha()


def _is_code(bare: str, match: re.Match[str]) -> bool:
    """Whether it is an expression of a program and no value: what is published must still run."""
    if _NO_VALUE.fullmatch(bare) or bare == re.split(r"\W", match[1])[0]:
        return True
    return bool(_CODE.fullmatch(bare)) and match.string[match.end() : match.end() + 1] in ("(", "[")


_ALL: tuple[Callable[[str], str], ...] = (
    lambda text: _KEY_BLOCK.sub("<key>", text),
    _key_ends,
    lambda text: _HEADER.sub(r"\1\2<secret>", text),
    lambda text: _BEARER.sub(r"\1\2<secret>", text),
    lambda text: _USERINFO.sub(r"\1<credentials>@", text),
    lambda text: _QUERY.sub(r"\1<query>", text),
    lambda text: _PARAMETER.sub(r"\1<secret>", text),
    lambda text: _TOKENS.sub("<token>", text),
    lambda text: _OPTION.sub(r"\1<secret>", text),
    lambda text: _USER_OPTION.sub(r"\1<credentials>", text),
    lambda text: _ASSIGNED.sub(_assigned, text),
    lambda text: _SPOKEN.sub(r"\1\2<secret>", text),
    lambda text: _LONG.sub(_random, text),
)
