"""Quantities in text: each has one spelling in the terminal, the reports and the messages. Pure.

Every formatter takes a plain number in the base unit (seconds, bytes, a share of 1) and returns
text for people. None writes an exponent, except `number` for the extremes of a loss.
"""

from __future__ import annotations

import math

_SHORT = ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"))
_SIZES = ("B", "KiB", "MiB", "GiB")
_LARGE = ((1e12, "trillion"), (1e9, "billion"))
_PERIODS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"))
_SMALL, _HUGE = 1e-4, 1e9
"""Outside of these `number` needs an exponent."""
_DECIMALS = 7
"""Enough for four digits of the smallest number that has no exponent."""


def duration(seconds: float) -> str:
    """Format a time span, given in seconds.

    It has at most three significant digits below a minute, and at most two units above.

    >>> [duration(s) for s in (0, 0.00085, 0.0241, 1.32, 41)]
    ['0 s', '850 µs', '24.1 ms', '1.32 s', '41 s']
    >>> [duration(s) for s in (60, 185, 7_800, 100_000, 1e9)]
    ['1 min', '3 min 05 s', '2 h 10 min', '1 day 4 h', '11,574 days']
    """
    if not math.isfinite(seconds):
        return number(seconds)
    if abs(seconds) < 0.5e-9:
        return "0 s"
    if seconds < 0:
        return f"-{duration(-seconds)}"
    for unit, name in _SHORT:
        if seconds < 999.5 * unit:
            return f"{_significant(seconds / unit, 3)} {name}"
    if seconds < 59.95:
        return f"{_significant(seconds, 3)} s"
    if (whole := round(seconds)) < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min" + (f" {rest:02} s" if rest else "")
    if (whole := round(seconds / 60)) < 24 * 60:
        hours, rest = divmod(whole, 60)
        return f"{hours} h" + (f" {rest:02} min" if rest else "")
    if (whole := round(seconds / 3600)) < 100 * 24:
        days, rest = divmod(whole, 24)
        return plural(days, "day") + (f" {rest} h" if rest else "")
    return plural(round(seconds / 86_400), "day")


def size(nbytes: float) -> str:
    """Format an amount of data, given in bytes, with a binary unit and three significant digits.

    >>> [size(n) for n in (0, 512, 1_023, 1_024, 2_720_000, 1_084_000_000)]
    ['0 B', '512 B', '1023 B', '1 KiB', '2.59 MiB', '1.01 GiB']
    >>> size(1_010 * 2**20), size(2**30 - 1), size(5_000 * 2**40)
    ('1010 MiB', '1 GiB', '5,000 TiB')
    """
    if not math.isfinite(nbytes):
        return number(nbytes)
    value = abs(float(nbytes))
    for unit in (*_SIZES, "TiB"):
        if value < 1023.5 or unit == "TiB":
            break
        value /= 1024
    text = _significant(value, 3)
    if unit != "TiB":
        text = text.replace(",", "")
    return f"{'-' * (nbytes < 0 and text != '0')}{text} {unit}"


def throughput(bytes_per_second: float) -> str:
    """Format an amount of data per second, given in bytes.

    >>> throughput(2_720_000)
    '2.59 MiB/s'
    """
    return f"{size(bytes_per_second)}/s"


def count(n: float) -> str:
    """Format a number of things: all its digits below a billion, three of them above.

    A fraction (an average or an estimate) has three significant digits.

    >>> [count(n) for n in (0, 7, 1_222, 134_515_008, 7_615_616_512)]
    ['0', '7', '1,222', '134,515,008', '7.62 billion']
    >>> count(0.254), count(480.2), count(12_345.6)
    ('0.254', '480', '12,346')
    """
    if not math.isfinite(n):
        return number(n)
    for unit, name in _LARGE:
        if abs(n) >= 0.9995 * unit:
            return f"{_significant(n / unit, 3)} {name}"
    return f"{n:,}" if isinstance(n, int) else _significant(n, 3)


def number(x: float, digits: int = 4) -> str:
    """Format a loss or a ratio with `digits` significant digits, and its integer part whole.

    Only below 0.0001 and from a billion on does it need an exponent.

    >>> [number(x) for x in (2.45213, 0.25, 12_345.6, 0.00012346)]
    ['2.452', '0.25', '12,346', '0.0001235']
    >>> [number(x) for x in (1.5e-7, 3.2e12, float("nan"), float("-inf"))]
    ['1.5e-7', '3.2e12', 'nan', '-inf']
    >>> number(41.44, 3)
    '41.4'
    """
    if not math.isfinite(x):
        return str(float(x))
    if x == 0 or _SMALL <= abs(x) < _HUGE:
        return _significant(x, digits)
    mantissa, _, exponent = f"{x:.{digits - 1}e}".partition("e")
    return f"{_stripped(mantissa)}e{int(exponent)}"


def percent(share: float) -> str:
    """Format a share, where 1 is all of it: whole per cents from 10 on, two digits below.

    >>> [percent(s) for s in (0, 0.04, 0.0042, 0.794, 1, -0.04, 12.5)]
    ['0 %', '4 %', '0.42 %', '79 %', '100 %', '-4 %', '1,250 %']
    """
    value = 100 * share
    if not math.isfinite(value):
        return f"{number(value)} %"
    return f"{_significant(value, 2) if abs(value) >= 0.005 else '0'} %"


def percent_range(low: float, high: float) -> str:
    """Format two shares, where 1 is all of it, as a range.

    >>> percent_range(0.052, 0.36)
    '5.2 to 36 %'
    """
    return f"{percent(low).removesuffix(' %')} to {percent(high)}"


def plural(n: float, noun: str, many: str | None = None) -> str:
    """Format a number of things with their noun; `many` is an irregular plural.

    >>> plural(1, "step"), plural(2, "step"), plural(0, "entry", "entries")
    ('1 step', '2 steps', '0 entries')
    """
    return f"{count(n)} {noun if n == 1 else many or f'{noun}s'}"


def rate(per_second: float, noun: str, many: str | None = None) -> str:
    """Format how often something happens, given per second, by a period in which it happens.

    >>> rate(41.52, "step"), rate(1, "step"), rate(0.05, "step"), rate(0.0005, "entry", "entries")
    ('41.5 steps/s', '1 step/s', '3 steps/min', '1.8 entries/h')
    """
    happens = (pair for pair in _PERIODS if abs(per_second) * pair[0] >= 0.9995)
    seconds, period = next(happens, _PERIODS[-1] if per_second else _PERIODS[0])
    text = count(float(per_second * seconds))
    return f"{text} {noun if text == '1' else many or f'{noun}s'}/{period}"


def _significant(x: float, digits: int) -> str:
    """Format `x` with `digits` significant digits, all digits of its integer part, no exponent."""
    exponent = int(f"{x:.{digits - 1}e}".partition("e")[2])
    text = f"{x:,.{min(_DECIMALS, max(0, digits - 1 - exponent))}f}"
    text = _stripped(text)
    return "0" if text == "-0" else text


def _stripped(text: str) -> str:
    """Remove the zeros that end the decimals of `text`."""
    return text.rstrip("0").rstrip(".") if "." in text else text
