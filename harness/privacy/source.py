"""Python source without names, addresses and secrets, which does what it did. Pure.

Redacted is what stands in string literals and comments, and of identifiers those with the name of a
person or a machine in them: an operator or a slice tells nothing. A string that is given to a name
that means a secret is hidden whole.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import warnings
from functools import lru_cache

from harness.privacy import values
from harness.privacy.redact import WRITTEN, Personal, names_only, redacted
from harness.text import late
from harness.text.sanitize import sanitize

_TOKEN = late.compile(
    r"(?P<comment>#[^\n]*(?:\n[ \t]*#[^\n]*)*)"
    r"|(?P<prefix>[bBfFuU]?[rR]?|[rR][bBfF])(?P<quotes>\"\"\"|'''|\"|')"
    r"|(?P<name>[^\W\d]\w*)|\d[\w.]*|\s+|.",
    re.DOTALL,
)
_LITERAL = late.compile(r"\\.|[^\\]", re.DOTALL)
_IN_FORMAT = late.compile(r"\{\{|\}\}|\\N\{[^}]*\}|\\.|[^\\]", re.DOTALL)
_MADE = (
    r"(?:(?:\w{1,30}\.)?(?:(?-i:[A-Z])\w{0,40}|str|bytes|repr)\(|(?P<list>[\[(])"
    r"|\{\s{0,40}[\"'][\w-]{1,30}[\"'][ \t]{0,4}:)\s{0,40}"
)
_HEADER = r"(?:proxy-)?authorization|(?:set-)?cookies?|x-[\w-]{0,40}(?:key|token)"
_GIVEN_TO = late.compile(
    rf"(?:(?P<key>{values.NAME})|{_HEADER})"
    rf"(?:[\"']\]?[ \t]{{0,8}}{values.SIGN}\s{{0,40}}"
    r"|\]?[ \t]{0,8}(?::[^=\n,]{1,60}=|:=|[!=]=|=)\s{0,40}|[ \t]{0,8}:[ \t]{0,8}"
    r"|(?P<pair>[\"'],\s{0,40}(?:default[ ]?=[ ]?)?))"
    rf"(?:{_MADE})?$",
    re.IGNORECASE,
)
"""The text before a string that is a secret."""
_BEFORE = 240
_FIXED = frozenset((*keyword.kwlist, *keyword.softkwlist, *dir(builtins)))


@lru_cache(maxsize=1 << 10)
def redacted_source(text: str, personal: Personal) -> str:
    """Redact a source; like any text, where it cannot be read as Python."""
    text = sanitize(text)
    if not _parses(text):
        return redacted(text, personal)
    published = _Redactor(text, personal).result()
    return published if _parses(published) else redacted(text, personal)


class _Redactor:
    def __init__(self, text: str, personal: Personal) -> None:
        self._text = text
        self._personal = personal
        self._names = _renamed(text, personal)
        self._made: list[str] = []
        self._hidden_end = -1
        """The end of the last secret: a string that goes on with it is one as well."""
        self._in_list = False

    def result(self) -> str:
        self._code(0, in_format=False)
        return "".join(self._made)

    def _code(self, at: int, in_format: bool) -> int:
        """Redact from `at` on, in a format string's field up to the end of its expression."""
        text, depth = self._text, 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            assert match is not None
            token = match[0]
            if match["quotes"]:
                at = self._string(match)
                continue
            if in_format and depth == 0 and token in ("}", ":", "!") and text[at : at + 2] != "!=":
                return at
            depth += (token in ("(", "[", "{")) - (token in (")", "]", "}"))
            if match["comment"]:
                token = self._comment(token)
            elif match["name"]:
                token = self._names.get(token, token)
            self._made.append(token)
            at = match.end()
        return at

    def _comment(self, text: str) -> str:
        published = redacted(text, self._personal)
        if all(line.lstrip().startswith("#") for line in published.split("\n")):
            return published
        return "\n".join(redacted(line, self._personal) for line in text.split("\n"))

    def _string(self, match: re.Match[str]) -> int:
        prefix, quotes = match["prefix"], match["quotes"]
        key, paired = self._secret(match.start())
        self._made.append(prefix + quotes)
        at = start = match.end()
        formatted = "f" in prefix.lower()
        parts = _IN_FORMAT if formatted else _LITERAL
        hidden = False
        while True:
            ends = at >= len(self._text) or self._text.startswith(quotes, at)
            part = None if ends else parts.match(self._text, at)
            if part is not None and not (formatted and part[0] == "{"):
                at = part.end()
                continue
            raw = self._text[start:at]
            if (
                key is None
                or values.stays(key, raw, True)
                or (paired and not values.follows(key, raw))
            ):
                self._made.append(self._inner(raw, match, goes_on=start != match.end()))
            else:
                self._made.append("<secret>")
                hidden = True
            if part is None:
                break
            at = start = self._field(at)
        self._made.append(quotes)
        end = at + len(quotes)
        if hidden:
            self._hidden_end = end
        return end

    def _field(self, at: int) -> int:
        """`{expression!r:format}`; its format may have fields itself."""
        self._made.append("{")
        at = self._code(at + 1, in_format=True)
        depth = 1
        while at < len(self._text):
            sign = self._text[at]
            if sign == "{":
                at = self._field(at)
                continue
            self._made.append(sign)
            at += 1
            depth -= sign == "}"
            if depth == 0:
                break
        return at

    def _secret(self, start: int) -> tuple[str | None, bool]:
        """The name that the string at `start` is given to, if that means a secret; whether it is
        but after a comma."""
        between = self._text[self._hidden_end : start] if self._hidden_end >= 0 else "-"
        if not between.strip(" \t\n\\") or (self._in_list and not between.strip(" \t\n,")):
            return "secret", False
        given = _GIVEN_TO.search(self._text[max(0, start - _BEFORE) : start])
        self._in_list = given is not None and given["list"] == "["
        if given is None:
            return None, False
        return given["key"] or "secret", given["pair"] is not None

    def _inner(self, raw: str, string: re.Match[str], goes_on: bool) -> str:
        """Redact what stands between the quotes: also when it is read, nothing is left to hide."""
        published = self._part(raw, goes_on)
        if published == WRITTEN.sub("", raw):
            published = raw  # terminal sequences that it writes are its own
        if published == raw and "\\" not in raw:
            return raw
        quotes = string["quotes"]
        prefix = re.sub("[fF]", "", string["prefix"])
        value = _value(prefix, quotes, published, strict=published != raw)
        if value is None:  # an escape was cut
            published, value = "", _value(prefix, quotes, raw)
        if value is None:
            return "<hidden>"
        again = self._part(value, goes_on)
        if published and again in (value, WRITTEN.sub("", sanitize(value))):
            return published
        if "r" in prefix.lower():
            return again if _value(prefix, quotes, again) == again else "<hidden>"
        again = again.encode("unicode_escape").decode()
        return again.replace('"', '\\"').replace("'", "\\'")

    def _part(self, text: str, goes_on: bool) -> str:
        """After a field of a format string it is no beginning: not of a path either."""
        published = redacted("_" * goes_on + text, self._personal)
        return published[1:] if goes_on and published.startswith("_") else published


def _value(prefix: str, quotes: str, inner: str, strict: bool = False) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error" if strict else "ignore")
            value = ast.literal_eval(prefix + quotes + inner + quotes)
    except (SyntaxError, ValueError, Warning):
        return None
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _renamed(text: str, personal: Personal) -> dict[str, str]:
    """The free name that stands for each name with a person or a machine in it, by name."""
    known = set(re.findall(r"[^\W\d]\w*", text))
    renamed = {}
    for name in sorted(known - _FIXED):
        free = re.sub(r"\W", "_", re.sub(r"[<>]", "", names_only(name, personal)))
        if free == name:
            continue
        while free in known:
            free += "_"
        renamed[name] = free
        known.add(free)
    return renamed


def _parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
