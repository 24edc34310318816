"""The effect of an operation of MLX on numbers that were finite: `log of 0`. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.text.units import number

Facts = Mapping[str, Any]
LIMITS = {"float16": 65_504.0, "bfloat16": 3.39e38, "float32": 3.403e38}
"""The largest finite number of each type."""
_BINARY = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "div": "/", "pow": "**",
           "matmul": "matmul", "neg": "-"}  # fmt: skip
_SYMBOLS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**",
            "pow": "**"}  # fmt: skip
_DOMAIN: dict[str, Callable[[float], bool]] = {
    "log": lambda x: x <= 0,
    "log2": lambda x: x <= 0,
    "log10": lambda x: x <= 0,
    "log1p": lambda x: x <= -1,
    "sqrt": lambda x: x < 0,
    "rsqrt": lambda x: x <= 0,
    "reciprocal": lambda x: x == 0,
    "arccos": lambda x: abs(x) > 1,
    "acos": lambda x: abs(x) > 1,
    "arcsin": lambda x: abs(x) > 1,
    "asin": lambda x: abs(x) > 1,
    "arccosh": lambda x: x < 1,
    "acosh": lambda x: x < 1,
    "arctanh": lambda x: abs(x) >= 1,
    "atanh": lambda x: abs(x) >= 1,
    "erfinv": lambda x: abs(x) >= 1,
}
"""For each function of one number, those for which it has no finite value."""
_GROWS = frozenset(("exp", "expm1", "exp2", "cosh", "sinh", "square"))
_OPAQUE = frozenset(("vmap",))
"""Operations that are the program's own functions inside: nothing says that these overflowed."""
_OF_ROWS = frozenset(("softmax", "logsumexp", "scaled_dot_product_attention"))
_GRADIENT: dict[str, Callable[[float], bool]] = {
    **_DOMAIN,
    "sqrt": lambda x: x <= 0,
    "abs": lambda x: x == 0,
    "arccos": lambda x: abs(x) >= 1,
    "arcsin": lambda x: abs(x) >= 1,
    "acos": lambda x: abs(x) >= 1,
    "asin": lambda x: abs(x) >= 1,
}
"""For each function of one number, those at which its slope is not finite."""


def sentence(facts: Facts) -> str:
    """The operation and the numbers for which it has no finite result."""
    if own := facts.get("own"):
        # The program's own gradient function computed it: by an operation as any other.
        inside = {name: value for name, value in facts.items() if name not in ("own", "place")}
        return f"{sentence(inside)}, in the gradient of {own}"
    symbol, inputs = plain(facts)
    backward = facts.get("place") == "backward"
    if (too_narrow := _too_narrow(facts, symbol, backward)) is not None:
        return too_narrow
    if backward:
        return _backward(symbol, inputs, facts)
    if (wild := _written(inputs)) is not None:
        return f"{_name(symbol)} with {wild}"
    if symbol in ("/", "**") and len(inputs) == 2:
        return _of_two(symbol, inputs, facts)
    if symbol in _OF_ROWS and any(one.get("not_finite") for one in inputs):
        return f"{symbol} of a row that is all -inf"
    if symbol in _DOMAIN or symbol in _GROWS:
        return f"{symbol} of {_range(inputs[0], _DOMAIN.get(symbol))}"
    if any(one.get("not_finite") for one in inputs):
        return f"{_name(symbol)} of infinities that do not cancel"
    return f"{_type(facts)} {_kind(facts, symbol)} in {_name(symbol)} of {_reach(inputs)}"


def _written(inputs: Sequence[Facts]) -> str | None:
    """The number that the program wrote down itself, if one is not finite."""
    numbers = [float(one["number"]) for one in inputs if "number" in one]
    return next((number(one) for one in numbers if not math.isfinite(one)), None)


def _kind(facts: Facts, symbol: str) -> str:
    if not (facts.get("output") or {}).get("inf"):
        return "NaN"
    opaque = symbol in _OPAQUE or symbol.startswith("custom function ")
    return "infinity" if opaque else "overflow"


def plain(facts: Facts) -> tuple[str, list[Facts]]:
    """The symbol or name of the operation, and its inputs from left to right."""
    name, inputs = str(facts.get("operation")), list(facts.get("inputs", ()))
    match = re.fullmatch(r"__(r|i)?(\w+?)__", name)
    if match is None:
        return _SYMBOLS.get(name, name), inputs
    if match[2] not in _BINARY:
        return name.strip("_"), inputs
    if match[1] == "r" and match[2] in _BINARY:
        inputs = inputs[::-1]
    return _BINARY[match[2]], inputs


def _of_two(symbol: str, inputs: Sequence[Facts], facts: Facts) -> str:
    left, right = (_at(one) for one in inputs)
    divisor = facts.get("divisor")
    if symbol == "/":
        text = f"{_one(left)}/{_one(right)}" if _same(left) and _same(right) else (
            f"a division of {_span(left)} by {_span(right)}"
        )  # fmt: skip
        if divisor and divisor.get("low") == 0 and divisor.get("high") == 0:
            shape = " x ".join(map(str, divisor.get("shape", ()))) or "1"
            text += f", where the divisor is the {divisor['operation']} of {shape} zeros"
        return text
    return f"{_span(left)} to the power {_span(right)}"


def _backward(symbol: str, inputs: Sequence[Facts], facts: Facts) -> str:
    if symbol in _GRADIENT and inputs:
        return f"the slope of {symbol} at {_range(inputs[0], _GRADIENT[symbol])}"
    if symbol == "/" and len(inputs) == 2:
        return f"the slope of a division of {_span(_at(inputs[0]))} by {_span(_at(inputs[1]))}"
    if symbol == "**" and len(inputs) == 2:
        left, right = (_span(_at(one)) for one in inputs)
        return f"the slope of {left} to the power {right}"
    kind = _kind(facts, symbol)
    return f"{_type(facts)} {kind} in the gradient of {_name(symbol)} of {_reach(inputs)}"


def _too_narrow(facts: Facts, symbol: str, backward: bool) -> str | None:
    """The sentence for a result that float32 holds, and its own smaller type does not."""
    wide, limit = facts.get("wide"), _limit(facts)
    if not isinstance(wide, int | float) or limit is None or wide <= limit:
        return None
    reaches = f"{_limit_text(wide)}, above {_limit_text(limit)}"
    if symbol == "astype":
        return f"{_type(facts)} overflow: a cast of {reaches}"
    of = "the gradient of " if backward else ""
    return f"{_type(facts)} overflow: {of}{_name(symbol)} reaches {reaches}"


def _type(facts: Facts) -> str:
    return str((facts.get("output") or {}).get("dtype", "float"))


def _limit(facts: Facts) -> float | None:
    return LIMITS.get(_type(facts))


def _limit_text(value: float) -> str:
    return number(value, 5) if value < 1e9 else number(value, 3)


def _name(symbol: str) -> str:
    names = {"+": "an addition", "-": "a subtraction", "*": "a multiplication",
             "/": "a division", "**": "a power"}  # fmt: skip
    return names.get(symbol, symbol)


# --- ranges ---------------------------------------------------------------------------------------


def _at(one: Facts) -> tuple[float, float]:
    """The range of an input where the result is not finite, as far as that is known."""
    if "number" in one:
        return float(one["number"]), float(one["number"])
    low, high = one.get("at") or (one.get("low", math.nan), one.get("high", math.nan))
    return float(low), float(high)


def _range(one: Facts, bad: Callable[[float], bool] | None) -> str:
    """The range, or the end of it that is no good where the places are not known."""
    low, high = _at(one)
    if "at" in one or bad is None:
        return _span((low, high)) if bad is not None else number(max(low, high, key=abs))
    ends = [end for end in (low, high) if bad(end)]
    return _span((ends[0], ends[0])) if len(ends) == 1 else _span((low, high))


def _same(span: tuple[float, float]) -> bool:
    return span[0] == span[1] or number(span[0]) == number(span[1])


def _one(span: tuple[float, float]) -> str:
    return number(span[0])


def _span(span: tuple[float, float]) -> str:
    return _one(span) if _same(span) else f"{number(span[0])} to {number(span[1])}"


def _reach(inputs: Sequence[Facts]) -> str:
    """The largest magnitude among some inputs; numbers that only say how are left out."""
    arrays = [one for one in inputs if "number" not in one] or list(inputs)
    ends = [abs(end) for one in arrays for end in _at(one) if math.isfinite(end)]
    return f"values up to {number(max(ends))}" if ends else "what it was given"
