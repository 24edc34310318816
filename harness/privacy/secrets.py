"""The secrets in a text, recognized by its form or by the word before it. Pure.

Where it is open whether a word is a secret it is taken for one: a report that lacks a word can be
mended, a published token cannot.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from harness.privacy import values

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
    r"|[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}|eyJ[\w-]{8,}(?:\.[\w-]*){1,4}"
    r"|ATATT[\w-]{16,}|xkeysib-[\w-]{8,}|GOCSPX-[\w-]{16,}|tskey-[\w-]{16,}|glsa_\w{16,}"
    r"|EAA[A-Za-z0-9]{20,}|figd_[\w-]{16,}|lin_api_\w{16,}|key-[0-9a-z]{32}|PMAK-[\w-]{16,}"
    r"|NR[A-Z]{2}-[A-Z0-9]{16,}|\$(?:apr1|1|5|6|y|2[abxy])\$[./\w=,$-]{16,}"
    r")|(?<![0-9A-Fa-f])(?!(?<=\d\.)\d{32,}(?![0-9A-Fa-f]))[0-9A-Fa-f]{32,}"
)
_LONG = re.compile(r"(?<![\w/+-])(?!_[ZR])[\w/+-]{24,}={0,2}")
_HEADER = re.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookies?|x-[\w-]{0,40}(?:key|token))\b"
    r"([ \t]*[\"']?[ \t]*[:=][ \t]*)[^\s][^\n]*",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(bearer|basic)([ \t]+)(?=[\w.~+/-]*[\d=])[\w.~+/=-]{8,}", re.IGNORECASE)
_USERINFO = re.compile(
    r"(\b[A-Za-z][\w+.-]{0,30}://)(?:[^\s/\"']{1,256}@|[^\s@:/\"']{1,64}:[^\s@\"']{1,256}@)"
)
_QUERY = re.compile(r"(\b[A-Za-z][\w+.-]{0,30}://[^\s?#\"'<>]{1,512}\?)[^\s\"'<>]+")
_HOOK = re.compile(r"(\bhooks\.slack\.com/services/|/api/webhooks/)[^\s\"'<>]+")
_PARAMETER = re.compile(r"([?&](?:sig|signature|key|code|auth|token)=)[^\s&\"'<>]+", re.IGNORECASE)


def hidden(text: str) -> str:
    """`text` with a word in angle brackets in place of each secret."""
    for replace in _ALL:
        text = replace(text)
    return text


def _key_ends(text: str) -> str:
    """The lines that are left of a key's block whose beginning was cut off."""
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
    token = match[0]
    kinds = [(c.isupper(), c.islower(), c.isdigit()) for c in token if c.isalnum()]
    if len(set(kinds)) < 3:
        return token
    changes = sum(map(tuple.__ne__, kinds, kinds[1:])) / len(token)
    known = ("/" not in token or changes >= 0.3) if len(token) >= 40 else changes >= 0.4
    return "<token>" if known else token


_ALL: tuple[Callable[[str], str], ...] = (
    lambda text: _KEY_BLOCK.sub("<key>", text),
    _key_ends,
    lambda text: _HEADER.sub(r"\1\2<secret>", text),
    lambda text: _BEARER.sub(r"\1\2<secret>", text),
    lambda text: _USERINFO.sub(r"\1<credentials>@", text),
    lambda text: _QUERY.sub(r"\1<query>", text),
    lambda text: _PARAMETER.sub(r"\1<secret>", text),
    lambda text: _HOOK.sub(r"\1<token>", text),
    lambda text: _TOKENS.sub("<token>", text),
    values.hidden,
    lambda text: _LONG.sub(_random, text),
)
