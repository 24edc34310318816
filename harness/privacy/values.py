"""A value after a word that means a secret: `password: x`, `--token x`, `("api_key", "x")`. Pure.

A key and its value stand on one line, but for what is quoted three times and for a block of YAML.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from harness.text import late


def _spelled(word: str) -> str:
    """A pattern for `word`, also as JSON writes the letters that are not of ASCII."""
    return "".join(c if c.isascii() else rf"(?:{c}|\\{{1,64}}u{ord(c):04x})" for c in word)


_ABROAD = "|".join(
    map(
        _spelled,
        (
            "mot de passe",
            "contraseña",
            "contrasena",
            "wachtwoord",
            "senha",
            "пароль",
            "密码",
            "密碼",
        )
        + ("パスワード",),
    )
)
"""A password in French, Spanish, Dutch, Portuguese, Russian, Chinese and Japanese."""
KEY = (
    rf"(?:secret(?:[ _-]key)?|passw(?:or)?d|passwort|{_ABROAD}|passphrase|passcode"
    r"|(?<![a-z])pwd(?![a-z])"
    r"|(?<![a-z_])pw(?=[ \t]*:)"
    r"|(?-i:_PASS(?![A-Z])|(?<![A-Za-z0-9_])PASS(?=[ \t]*=)"
    r"|(?<![\w.-])(?<!forward )(?<!backward )(?<!first )(?<!second )pass"
    r"(?=\\{0,64}[\"']?[ \t]*[:=])"
    r"|(?<=[a-z])(?<!orward)(?<!ackward)Pass(?=\\{0,64}[\"']?[ \t]*[:=]))"
    r"|(?-i:(?<=[A-Z0-9])_KEY(?![A-Z_]))"
    r"|(?:access|account|admin|api|auth|client|consumer|deploy|encryption|fernet|hmac|jwt|license"
    r"|master|private|service|shared|signing|ssh|storage|webhook)[ _-]?key"
    r"|credentials?|session[_-]?id|csrf|token(?!s|iz))"
)
NAME = rf"{KEY}[\w.-]{{0,64}}"
_BACK = r"\\{0,64}"
"""JSON within JSON has a backslash before its quotes, and twice as many and one in each further."""
_CLOSED = rf"{_BACK}[\"'`]?\]?[ \t]{{0,8}}"
_TYPE = (
    r"(?:typing\.)?(?:str|bytes|int|float|Any|SecretStr|Optional\[\w{1,20}\])(?:[ ]?\|[ ]?None)?"
)
SIGN = rf"(?:(?:is|was)[ \t]{{0,4}}:|:[ \t]*{_TYPE}[ \t]*=|:=|=>|={{1,3}}|!=|:)[ \t]{{0,8}}"
_CALL = r"(?:(?:(?-i:[A-Z])\w{0,40}|str|bytes|repr)\(|\()?[ \t]{0,4}"
"""The calls that make a value of a text, and do not look one up by its name."""
_LINE = r"[ \t]{0,8}(?:\n|\\{1,64}n)"


def _quoted(name: str) -> str:
    """A text between quotes, of which `name` are one; to the line's end if they are not closed."""
    return (
        r"(?:[bBrRfFuU]{1,2})?(?:"
        rf"(?P<{name}3>{_BACK}[\"'])(?P={name}3){{2}}(?s:.){{0,4000}}?(?P={name}3){{3}}"
        rf"|(?P<{name}>{_BACK}[\"'])[^\n]{{0,4000}}?(?<!\\)(?P={name})"
        rf"|{_BACK}[\"'](?=\w)[^\n]*)"
    )


_ASSIGNED = late.compile(
    rf"(?P<key>{NAME})(?P<sign>{_CLOSED}{SIGN})"
    rf"(?:(?P<call>{_CALL})(?P<quoted>{_quoted('q')})"
    rf"|(?P<many>\[[ \t]*{_BACK}[\"'][^\]\n]*\]?|\{{[ \t]*{_BACK}[\"'][^}}\n]*\}}?)"
    r"|(?P<bare>[^\s,;\"'(){}\[\]]*[^\s,;\"'(){}\[\]\\]))",
    re.IGNORECASE,
)
_PAIR = late.compile(
    rf"(?P<key>{NAME})(?P<sign>{_BACK}[\"'](?:,[ \t]{{0,8}}|[ \t]+value=))"
    rf"(?P<quoted>{_quoted('q')})",
    re.IGNORECASE,
)
_CELL = late.compile(
    rf"(?P<key>{NAME})"
    rf"(?P<sign>[ \t]*(?:\|(?=[ \t][^|\n]{{1,400}}\|)|[│┃║]|\\{{1,64}}u25[05][0-3])[ \t]*)"
    r"(?P<bare>[^\s\\|│┃║](?:[^\\|│┃║\n]*[^\s\\|│┃║])?)",
    re.IGNORECASE,
)
_ELEMENT = late.compile(
    rf"(<(?P<tag>[\w:.-]{{0,40}}{KEY}[\w:.-]{{0,40}})"
    rf"(?:[ \t][^<>\n]{{0,200}})?>)[^<\n]+(?=</(?P=tag)>)",
    re.IGNORECASE,
)
_BLOCK = late.compile(
    rf"({NAME}{_BACK}[\"']?[ \t]{{0,8}}:[ \t]{{0,8}}[|>][-+\d]{{0,2}})"
    rf"((?:{_LINE}[ \t]+(?:[^\s\\]|\\(?![\\n]))[^\n\\]*)+)",
    re.IGNORECASE,
)
_OPTION = late.compile(
    rf"((?<![\w-])--?(?:[\w-]{{0,40}}{KEY}[\w-]{{0,40}}|auth|pass)"
    rf"(?:{_BACK}[\"'],[ \t]{{0,4}}|[ \t]+|=))"
    rf"(?:{_quoted('q')}|[^\s\"'<-][^\s\"']*)",
    re.IGNORECASE,
)
_ANY = late.compile(
    rf"pass|secret|pwd?|key|credential|session|csrf|token|auth|-u|mysql|mariadb|redis|mongo"
    rf"|{_ABROAD}",
    re.IGNORECASE,
)
"""One of these is in each of them: most lines have none."""
_KEY = late.compile(KEY, re.IGNORECASE)
_NAMES = late.compile(rf"--?(?:[\w-]*{KEY}[\w-]*|auth|pass|[\w-]+[_-]key)", re.IGNORECASE)
_KEY_OPTION = late.compile(
    rf"((?<![\w-])--[\w-]{{1,40}}[_-]key(?:{_BACK}[\"'],[ \t]{{0,4}}{_BACK}[\"']|[ \t]+|=))"
    r"(?=[\w+/=.-]*\d)[\w+/=.-]{6,}",
    re.IGNORECASE,
)
"""An option for anybody's key, before what may be one: `--sort-key loss` is none."""
_USER = late.compile(
    rf"((?<![^\s\"'])(?:-u|--(?:proxy-)?user)"
    rf"(?:{_BACK}[\"'],[ \t]{{0,4}}{_BACK}[\"']|[ \t=]*[\"']?))"
    r"[^\s:/\"'\\]{1,64}:[^\s/\"'\\][^\s\"'\\]{0,256}"
)
_SSHPASS = late.compile(r"(\bsshpass[ \t]+-p[ \t]*)[^\s\"']+")
_CLIENT = late.compile(
    r"(\b(?:mysql(?:dump|admin|import)?|mariadb(?:-dump)?|redis-cli|mongo(?:sh|dump)?)\b"
    r"(?:[ \t]+(?!-[pa][^\s-])[^\s;|]{1,80}){0,12}?[ \t]+-[pa])[ \t]*(?![ \t]|-)[^\s\"';|]+"
)
"""The client of a database, which takes the password after `-p`, or `-a`, without a space."""
_ACCOUNT = late.compile(
    rf"([\"']user_?name{_BACK}[\"'][ \t]{{0,4}}:[^{{}}\n]{{0,200}}?"
    rf"[\"']key{_BACK}[\"'][ \t]{{0,4}}:[ \t]{{0,4}}{_BACK}[\"'])[^\"'\\\n]{{4,200}}"
)
"""The key beside a user's name, as in the file that Kaggle's client reads."""
_NETRC = late.compile(r"(\blogin[ \t]+)\S+([ \t]+password[ \t]+)\S+")
_SPOKEN = late.compile(
    r"\b(passwords?|passwd|passphrase|passcode|(?:secret|api|access)[ _-]key)"
    r"([ \t]+(?:is[ \t]+|was[ \t]+)?)(?=\S{0,64}\d)(?=\S{0,64}[A-Za-z])[^\s'\"<]{6,}",
    re.IGNORECASE,
)
_NUMBER = late.compile(r"-?[\d.,]+(?:[eE][+-]?\d+)?%?|<[\w-]+>")
_TIME = late.compile(r"[\d.,]+\w{0,3}")
_SPECIAL = late.compile(r"<?([|｜])[^|｜<>]{1,40}\1>?|</?\w{1,8}>|\[[A-Z_]{1,12}\]")
"""A tokenizer's own words: the end of a text, padding."""
_ODD = late.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w+/=.-]{6,}")
_LONG = late.compile(r"[\"'](?=[^\"'\s]*\d)[^\"'\s]{8,}[\"']")
_NO_VALUE = late.compile(r"None|True|False|null|true|false|str|bytes|int|bool|getpass\.getpass")
_CODE = late.compile(r"[A-Za-z_][A-Za-z_.]*")


def hidden(text: str) -> str:
    """`text` with `<secret>` in place of each such value."""
    if _ANY.search(text):
        for replace in _OPTIONS:
            text = replace(text)
        if _KEY.search(text):
            for replace in _KEYED:
                text = replace(text)
    return text


def names_secret(argument: str) -> bool:
    """Check whether a command's word is an option whose value is a secret."""
    return bool(_NAMES.fullmatch(argument))


def names_user(argument: str) -> bool:
    """Check whether a command's word is an option whose value may be a user's name and password."""
    return argument in ("-u", "--user", "--proxy-user")


def stays(key: str, value: str, quoted: bool) -> bool:
    """Check whether `value` is none, although `key` has the word: a tokenizer's, a pass's
    number."""
    if not value or value == "<secret>":
        return True
    if key in ("pass", "Pass"):
        return bool(_TIME.fullmatch(value))
    if key.startswith("_KEY"):  # any variable's, also a dictionary's
        return not _ODD.fullmatch(value)
    if not _of_words(key):
        return False
    if _NUMBER.fullmatch(value) or _SPECIAL.fullmatch(value) or len(value) < (6 if quoted else 8):
        return True
    long = len(value) >= 16 and value.isalpha()
    return not quoted and not any(map(str.isdigit, value)) and not long


def _assigned(match: re.Match[str]) -> str:
    groups = match.groupdict()
    before = match["key"] + match["sign"] + (groups.get("call") or "")
    if (quoted := groups["quoted"]) is not None:
        return before + _in_quotes(match["key"], quoted, match[0][len(before) :])
    if (many := groups["many"]) is not None:
        if many[1:].startswith("<secret>") or (_of_words(match["key"]) and not _LONG.search(many)):
            return match[0]
        return before + many[0] + "<secret>" + (many[-1] if many[-1] in "]}" else "")
    bare = match["bare"]
    if _is_code(bare, match) or stays(match["key"], bare, False):
        return match[0]
    return f"{before}<secret>"


def _in_quotes(key: str, quoted: str, whole: str) -> str:
    inner = quoted.lstrip("bBrRfFuU").strip("\\\"'")
    if stays(key, inner, True):
        return whole
    start = quoted.index(inner)
    after = quoted[start + len(inner) :]
    return f"{quoted[:start]}<secret>{after}"


def _of_words(key: str) -> bool:
    """Check whether `key` may be of a tokenizer, whose words and counts are a trainer's daily
    bread."""
    return bool(
        re.search("token", key, re.IGNORECASE)
        and not re.search("secret|passw|key|credential", key, re.IGNORECASE)
    )


def follows(key: str, value: str) -> bool:
    """Check whether `value`, which a comma parts from `key`, may belong to it: of a tokenizer's
    names one stands after the other."""
    return not _of_words(key) or bool(_LONG.fullmatch(f"'{value}'"))


def _pair(match: re.Match[str]) -> str:
    key, quoted = match["key"], match["quoted"]
    if not follows(key, quoted.strip("\\\"'")):
        return match[0]
    before = key + match["sign"]
    return before + _in_quotes(key, quoted, quoted)


def _cell(match: re.Match[str]) -> str:
    if stays(match["key"], match["bare"], False):
        return match[0]
    return f"{match['key']}{match['sign']}<secret>"


def _block(match: re.Match[str]) -> str:
    """Hide the lines of a YAML block that stand further in than its key."""
    line = match.string[match.string.rfind("\n", 0, match.start()) + 1 : match.start()]
    least = len(line) - len(line.lstrip(" \t"))
    lines = re.split(rf"({_LINE})", match[2])
    pairs = list(zip(lines[1::2], lines[2::2], strict=True))
    end = next(
        (n for n, (_, text) in enumerate(pairs) if len(text) - len(text.lstrip(" \t")) <= least),
        len(pairs),
    )
    if end == 0:
        return match[0]
    sign, first = pairs[0]
    first_line = sign + first[: len(first) - len(first.lstrip(" \t"))] + "<secret>"
    return match[1] + first_line + "".join(a + b for a, b in pairs[end:])


def _is_code(bare: str, match: re.Match[str]) -> bool:
    """Check whether it is an expression of a program and no value."""
    if _NO_VALUE.fullmatch(bare) or bare == re.split(r"\W", match["key"])[0]:
        return True
    return bool(_CODE.fullmatch(bare)) and match.string[match.end() : match.end() + 1] in ("(", "[")


_OPTIONS: tuple[Callable[[str], str], ...] = (
    lambda text: _OPTION.sub(r"\1<secret>", text),
    lambda text: _USER.sub(r"\1<credentials>", text),
    lambda text: _SSHPASS.sub(r"\1<secret>", text),
    lambda text: _CLIENT.sub(r"\1<secret>", text),
    lambda text: _ACCOUNT.sub(r"\1<secret>", text),
    lambda text: _KEY_OPTION.sub(r"\1<secret>", text),
    lambda text: _NETRC.sub(r"\1<user>\2<secret>", text),
)
_KEYED: tuple[Callable[[str], str], ...] = (
    lambda text: _ELEMENT.sub(r"\1<secret>", text) if "</" in text else text,
    lambda text: _BLOCK.sub(_block, text),
    lambda text: _ASSIGNED.sub(_assigned, text),
    lambda text: _PAIR.sub(_pair, text),
    lambda text: _CELL.sub(_cell, text),
    lambda text: _SPOKEN.sub(r"\1\2<secret>", text),
)
