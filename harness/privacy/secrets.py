"""The secrets in a text, recognized by its form or by the word before it. Pure.

Where it is open whether a word is a secret it is taken for one: a report that lacks a word can be
mended, a published token cannot.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from harness.privacy import tokens, values
from harness.text import late

_NAME = r"PRIVATE KEY(?: BLOCK)?-----"
_KEY_BLOCK = late.compile(rf"-----BEGIN [A-Z ]*{_NAME}.*?(?:-----END [A-Z ]*{_NAME}|\Z)", re.DOTALL)
_KEY_END = late.compile(rf"-----END [A-Z ]*{_NAME}")
_KEY_LINE = late.compile(r"\s*[A-Za-z0-9+/=]+\s*")
_UUID = late.compile(
    r"(\b(?:[A-Za-z][\w-]{0,40}[ _-])?(?:key|token|secret|id|uuid)\b[\"' \t:=]{1,8})"
    r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![\w-])",
    re.IGNORECASE,
)
"""Such as the API key of Heroku: a UUID after a word that says what it is."""
_LONG = late.compile(r"(?<![\w/+-])(?!_[ZR])[\w/+-]{24,}={0,2}")
_HEADER = late.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookies?|x-[\w-]{0,40}(?:key|token))\b"
    r"([ \t]*[\"']?[ \t]*[:=][ \t]*)[^\s][^\n]*",
    re.IGNORECASE,
)
_BEARER = late.compile(r"\b(bearer|basic)([ \t]+)(?=[\w.~+/-]*[\d=])[\w.~+/=-]{8,}", re.IGNORECASE)
_USERINFO = late.compile(
    r"(\b[A-Za-z][\w+.-]{0,30}://)(?:[^\s/\"']{1,256}@|[^\s@:/\"']{1,64}:[^\s@\"']{1,256}@)"
)
_QUERY = late.compile(r"(\b[A-Za-z][\w+.-]{0,30}://[^\s?#\"'<>]{1,512}\?)[^\s\"'<>]+")
_HOOK = late.compile(r"(\bhooks\.slack\.com/services/|/api/webhooks/)[^\s\"'<>]+")
_PARAMETER = late.compile(
    r"([?&](?:sig|signature|key|code|auth|token)=)[^\s&\"'<>]+", re.IGNORECASE
)


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
    lambda text: tokens.ANY.sub("<token>", text),
    lambda text: _UUID.sub(r"\1<token>", text),
    values.hidden,
    lambda text: _LONG.sub(_random, text),
)
