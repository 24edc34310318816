"""Numbers as logs print them: thousands, decimal commas, figures wrapped up, bytes of a unit."""

from __future__ import annotations

import re

from harness.text import late

NAN = float("nan")
"""The one nan of all readings: a tuple with it equals itself, so that redraws are known as such."""

# A group that may be missing is `(?:...|)` here and below: `re` takes longer for `(?:...)?`.
NUMBER = (
    r"[-+]?(?:\d[\d.,]{0,40}(?<=\d)(?:[eE][-+]?\d{1,4}|)"
    r"|(?:nan|NaN|NAN|inf|Inf|INF|infinity|Infinity)(?![a-zA-Z])|\.\d{1,30}(?:[eE][-+]?\d{1,4}|))"
)
"""A regex, which takes no more than some 50 characters."""

_WRAPPED = late.compile(
    r"(?:(?<![A-Za-z0-9_.])[A-Za-z]{1,10}\.)?\b(?:array|[Tt]ensor|Array|Parameter|b?float\d{1,3})\("
    rf"({NUMBER})\.?(?:, [^()]{{0,80}}(?:\([^()]{{0,40}}\)[^()]{{0,80}})?)?\)",
    re.ASCII,
)
_MSVC = late.compile(r"([-+]?)\b1\.#(?:(INF)|IND|[QS]NAN)\d{0,20}", re.ASCII)

_THOUSANDS = late.compile(r"[-+]?\d{1,3}(,\d{3}){1,6}(\.\d+)?", re.ASCII)
_THOUSANDS_DOTTED = late.compile(r"[-+]?\d{1,3}(\.\d{3}){1,6},\d+", re.ASCII)
FIGURE_TEXT = late.compile(NUMBER, re.ASCII)
_FIRST = late.compile(r"[-+]?\d*[.,]?\d+(?:[eE][-+]?\d+)?", re.ASCII)
MAX_COUNT = 2**53  # beyond it a float is no count


def plainly(line: str) -> str:
    """The line with the figures that a program wraps up written as such.

    `array(2.5, dtype=float32)` and `tensor(2.5, device='cuda:0')` become `2.5`, `1.#QNAN` of
    Microsoft's C becomes `nan`.
    """
    at = line.find("(")
    while at > 0:  # this is asked of each line, so the regex is tried where it may fit only
        if line[at - 1] in "yr2468":
            line = _WRAPPED.sub(r"\1", line)
            break
        at = line.find("(", at + 1)
    if "#" in line:
        line = _MSVC.sub(lambda match: f"{match[1]}{'inf' if match[2] else 'nan'}", line)
    return line


UNITS = {
    unit + suffix: scale
    for letter, power in (("K", 1), ("M", 2), ("G", 3), ("T", 4))
    for unit, suffix, scale in (
        (letter, "B", 1000**power),
        (letter, "iB", 1024**power),
        (letter, "", 1024**power),
    )
}
"""Bytes of each unit of memory. A letter alone is what PyTorch's and NVIDIA's tools print."""


def number(value: object, comma_is_decimal: bool = True) -> float | None:
    """The number in `value`, a number or a text that begins with one; None when there is none.

    `1,234` is ambiguous: 1.234 where `comma_is_decimal`, else 1234. `1,234.5`, `1.234,5` and
    `0,5` are what they look like.
    """
    result: float | None
    if isinstance(value, str):
        if "," in value:
            return _localized(value, comma_is_decimal)
        try:
            result = float(value)
        except ValueError:
            return _localized(value, comma_is_decimal)
    elif isinstance(value, (float, int)) and not isinstance(value, bool):
        try:
            result = float(value)
        except OverflowError:  # an int of 400 digits
            return None
    else:
        return None
    return NAN if result != result else result


def _localized(text: str, comma_is_decimal: bool) -> float | None:
    if not comma_is_decimal and text[-4:-3] == ",":
        digits = text.replace(",", "")
        if digits.isdecimal():
            return float(digits)
    text = text.strip()[:200]
    if "(" in text or "#" in text:
        figure = FIGURE_TEXT.match(plainly(text))
        return number(figure[0], comma_is_decimal) if figure else None
    match = _THOUSANDS.fullmatch(text)
    if match and (match[2] or text.count(",") > 1 or not comma_is_decimal):
        return float(text.replace(",", ""))
    if _THOUSANDS_DOTTED.fullmatch(text):
        return float(text.replace(".", "").replace(",", "."))
    first = _FIRST.match(text)
    return float(first[0].replace(",", ".")) if first else None


def count(value: object) -> int | None:
    """The whole number, zero or more, in `value`; None when there is none."""
    if isinstance(value, str) and len(value) < 16 and value.isascii() and value.isdecimal():
        return int(value)
    result = number(value, comma_is_decimal=False)
    if result is None or not 0 <= result < MAX_COUNT:
        return None
    return int(result)


def size(value: object, scale: int) -> int | None:
    """Bytes of `value` times `scale`. In gigabytes, `28,349` has a decimal comma."""
    result = number(value, scale >= 10**9)
    if result is None:
        return None
    result *= scale
    return int(result) if 0 <= result < MAX_COUNT else None
