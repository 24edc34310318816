"""The facts of the operation at which a number stopped being finite, as plain JSON: where it
stands, what went in, what came out, and which rows and tokens of the batch it is about."""

from __future__ import annotations

import dis
import math
import os
from typing import TYPE_CHECKING, Any, Iterator, Optional, Union

from .stack import lines

if TYPE_CHECKING:
    from .tape import Node, Tape

HERE = os.path.dirname(os.path.abspath(__file__))
ELEMENTWISE = frozenset(
    (
        "__add__", "__div__", "__iadd__", "__imul__", "__ipow__", "__isub__", "__itruediv__",
        "__mul__", "__neg__", "__pow__", "__radd__", "__rdiv__", "__rmul__", "__rpow__",
        "__rsub__", "__rtruediv__", "__sub__", "__truediv__", "abs", "acos", "acosh", "add",
        "arccos", "arccosh", "arcsin", "arcsinh", "arctanh", "asin", "astype", "atanh", "cosh",
        "divide", "erfinv", "exp", "expm1", "log", "log10", "log1p", "log2", "logaddexp",
        "multiply", "negative", "pow", "power", "reciprocal", "rsqrt", "sinh", "sqrt", "square",
        "subtract", "tan",
    )
)  # fmt: skip
"""Operations each of whose results comes from one element of each input."""
DIVISIONS = frozenset(("divide", "__truediv__", "__itruediv__", "__div__"))
SUMS = ("sum", "mean", "count_nonzero")
PASSED_ON = frozenset(("astype", "reshape", "squeeze", "maximum", "broadcast_to", "stop_gradient"))
"""Operations through which a divisor is followed to what it is the sum of."""
MOST = 8
"""Rows, columns, tokens and frames that are told at most."""
ABOVE = 8
"""Operations between one and the parameter that it is about, at most."""
WIDE_LIMIT = {"float16": 65504.0, "bfloat16": 3.38e38}

Number = Union[float, str]


def number(value: float) -> Number:
    """A float as JSON can hold it."""
    value = float(value)
    return value if math.isfinite(value) else str(value)


def of_operation(tape: Tape, node: Node, outputs: list[Any]) -> dict[str, Any]:
    """The facts of an operation with a result that is not finite."""
    if not node.name:
        return {"kind": "outside", "output": _output(tape, outputs), **_batch(tape, outputs[0])}
    mx = tape.mx
    output = next(o for o in outputs if o.dtype in tape.floats and not mx.isfinite(o).all().item())
    mask = mx.logical_not(mx.isfinite(output)) if node.name in ELEMENTWISE else None
    made = {
        "kind": "operation",
        "operation": node.name,
        **where(node),
        "inputs": _inputs(tape, node, mask),
        "output": _output(tape, outputs),
        "wide": _wide(tape, node, output),
        **_batch(tape, output),
    }
    if node.name in DIVISIONS and (summed := _divisor(tape, node)) is not None:
        below, array = summed
        made["divisor"] = {**_array(tape, array, None), "operation": below}
        if not made.get("rows"):
            made.update(_rows(tape, array == 0))
    return made


def of_gradient(tape: Tape, user: Node, bad: Node, gradients: list[Any]) -> dict[str, Any]:
    """The facts of an operation whose cotangent is finite and whose gradient is not."""
    from .backward import pulled_back

    mx = tape.mx
    gradient = next(g for g in gradients if not mx.isfinite(g).all().item())
    mask = mx.logical_not(mx.isfinite(gradient)) if user.name in ELEMENTWISE else None
    wide = None
    if str(gradient.dtype).rpartition(".")[2] in WIDE_LIMIT:
        try:
            wide = _largest(tape, pulled_back(tape, user, bad, mx.float32))
        except Exception:  # some operations have one type only
            wide = None
    cotangents = list(user.cotangents.values())
    return {
        "kind": "operation",
        "operation": user.name,
        **where(user),
        "place": "backward",
        "inputs": _inputs(tape, user, mask),
        "cotangents": [_array(tape, cotangent, None) for cotangent in cotangents],
        "output": _output(tape, [gradient]),
        "wide": wide,
        "about": bad.label or _about(user),
        **_batch(tape, gradient),
    }


def of_sum(bad: Node) -> dict[str, Any]:
    """The facts of a value whose cotangent is bad, and none of its users alone is the reason."""
    return {
        "kind": "unseen",
        **where(bad),
        "place": "backward",
        "operation": bad.name,
        "about": bad.label,
    }


def where(node: Node) -> dict[str, Any]:
    """The line, the module and the part of the step of an operation."""
    frames = [
        (code.co_filename, _line(code, last), _name(code)) for code, last, _, _ in lines(node.line)
    ]
    frames = [frame for frame in frames if frame[0] != "<string>" and not _is_ours(frame[0])]
    update = any(_in_mlx(file) and "optimizers" in file for file, _, _ in frames)
    place = "update" if update else "forward" if node.depth or not node.passes else "gradients"
    site = next((frame for frame in frames if not _in_mlx(frame[0])), None)
    site = site or next(iter(frames), None)
    return {
        "place": place,
        "site": _told(site) if site else None,
        "frames": [_told(frame) for frame in frames[:MOST]],
        "module": _module(node),
        "about": _about(node),
    }


def _line(code: Any, last: int) -> int:
    found: int = code.co_firstlineno
    for offset, line in dis.findlinestarts(code):
        if offset > last:
            break
        found = line or found
    return found


def _name(code: Any) -> str:
    return str(getattr(code, "co_qualname", code.co_name)).replace("<locals>.", "")


def _is_ours(file: str) -> bool:
    """True for the probe, and for what the harness puts between a scenario and MLX."""
    package = os.path.dirname(os.path.dirname(HERE))
    inside = os.path.abspath(file).startswith(package + os.sep)
    return inside and os.sep + "scenarios" + os.sep not in file


def _in_mlx(file: str) -> bool:
    return os.sep + "mlx" + os.sep in file


def _told(frame: tuple[str, int, str]) -> str:
    file, line, name = frame
    return f"{_short(file)}:{line} in {name}"


def _short(file: str) -> str:
    """The file of a package with its path in the package; any other with its name alone."""
    _, found, below = file.replace(os.sep, "/").rpartition("site-packages/")
    return below if found else os.path.basename(file)


def _module(node: Node) -> Optional[str]:
    modules = [one for _, _, one, _ in lines(node.line) if hasattr(one, "named_modules")]
    if not modules:
        return None
    paths = {id(module): path for path, module in modules[-1].named_modules()}
    path = next((paths[id(m)] for m in modules if paths.get(id(m))), None)
    return path or type(modules[0]).__name__


def _about(node: Node) -> str:
    """The nearest array with a name that the operation computes with."""
    left, seen = [node], {node.number}
    for _ in range(ABOVE):
        above = [one for below in left for one in below.inputs if one.number not in seen]
        for one in above:
            if one.label:
                return one.label
        seen |= {one.number for one in above}
        left = above
    return ""


# --- arrays ---------------------------------------------------------------------------------------


def _dtype(array: Any) -> str:
    return str(array.dtype).rpartition(".")[2]


def _array(tape: Tape, array: Any, mask: Any) -> dict[str, Any]:
    """The shape, type and range of an array; `mask` are the elements that went wrong."""
    mx = tape.mx
    made: dict[str, Any] = {"shape": list(array.shape), "dtype": _dtype(array)}
    if not array.size or array.dtype == mx.complex64:
        return made
    value = array if array.dtype == mx.float64 else array.astype(mx.float32)
    finite = mx.isfinite(value)
    low = mx.where(finite, value, math.inf).min().item()
    high = mx.where(finite, value, -math.inf).max().item()
    if low <= high:
        made.update(low=number(low), high=number(high))
    bad = int(mx.logical_not(finite).sum().item())
    if bad:
        made["not_finite"] = bad
        made["nan"] = int(mx.isnan(value).sum().item())
    if mask is not None and _fits(array.shape, mask.shape):
        value = mx.broadcast_to(value, mask.shape)
        made["at"] = [
            number(mx.where(mask, value, math.inf).min().item()),
            number(mx.where(mask, value, -math.inf).max().item()),
        ]
    return made


def _fits(shape: Any, wanted: Any) -> bool:
    """Check whether an array of `shape` broadcasts to `wanted`."""
    padded = [1] * (len(wanted) - len(shape)) + list(shape)
    return len(padded) == len(wanted) and all(a in (1, b) for a, b in zip(padded, wanted))


def _inputs(tape: Tape, node: Node, mask: Any) -> list[dict[str, Any]]:
    inputs: list[dict[str, Any]] = []
    for argument in (*node.args, *node.kwargs.values()):
        if isinstance(argument, (int, float)) and not isinstance(argument, bool):
            inputs.append({"number": number(argument)})
        else:
            inputs += [_array(tape, array, mask) for array in tape.arrays(argument)]
    return inputs[:MOST]


def _output(tape: Tape, outputs: list[Any]) -> dict[str, Any]:
    mx = tape.mx
    floats = [output for output in outputs if output.dtype in tape.floats]
    first = floats[0]
    return {
        "shape": list(first.shape),
        "dtype": _dtype(first),
        "nan": int(sum(mx.isnan(output).sum().item() for output in floats)),
        "inf": int(sum(mx.isinf(output).sum().item() for output in floats)),
        "size": sum(output.size for output in floats),
    }


def _wide(tape: Tape, node: Node, output: Any) -> Optional[Number]:
    """The largest magnitude of the result, computed in float32, where its own type is smaller."""
    mx = tape.mx
    if _dtype(output) not in WIDE_LIMIT or node.function is None:
        return None
    try:
        if node.name == "astype":
            return _largest(tape, [node.args[0].astype(mx.float32)])
        wide = [_widened(tape, argument) for argument in node.args]
        named = {key: _widened(tape, value) for key, value in node.kwargs.items()}
        return _largest(tape, list(tape.arrays(node.function(*wide, **named))))
    except Exception:  # some operations have one type only
        return None


def _widened(tape: Tape, tree: Any) -> Any:
    mx = tape.mx
    if isinstance(tree, mx.array):
        return tree.astype(mx.float32) if tree.dtype in (mx.float16, mx.bfloat16) else tree
    if type(tree) in (list, tuple):
        return type(tree)(_widened(tape, item) for item in tree)
    return mx.float32 if tree in (mx.float16, mx.bfloat16) else tree


def _largest(tape: Tape, arrays: list[Any]) -> Optional[Number]:
    mx = tape.mx
    floats = [array for array in arrays if array.dtype in tape.floats and array.size]
    if not floats:
        return None
    return number(max(mx.abs(array).max().item() for array in floats))


def _divisor(tape: Tape, node: Node) -> Optional[tuple[str, Any]]:
    """The sum that the divisor is, by its operation and the array that it sums, if it is one: that
    of a mask may be 0."""
    arrays = [argument for argument in node.args if isinstance(argument, tape.mx.array)]
    below = tape.value(arrays[1]) if len(arrays) > 1 else None
    for _ in range(ABOVE):
        if below is None:
            break
        if below.name in SUMS and below.args:
            return below.name, below.args[0]
        below = below.inputs[0] if below.name in PASSED_ON and below.inputs else None
    return None


# --- the batch ------------------------------------------------------------------------------------


def _batch(tape: Tape, array: Any) -> dict[str, Any]:
    """The part of the batch that is not finite in `array`."""
    return _rows(tape, tape.mx.logical_not(tape.mx.isfinite(array)))


def _rows(tape: Tape, bad: Any) -> dict[str, Any]:
    """The rows of the batch, and the places in the first of them, where `bad` is true, with the
    tokens there; empty where its shape is not that of the batch."""
    first = next(iter(tape.arrays(tape.batch)), None)
    if first is None or not first.ndim or not bad.ndim or bad.shape[0] != first.shape[0]:
        return {}
    rows = list(_true(bad.any(axis=tuple(range(1, bad.ndim))) if bad.ndim > 1 else bad))
    made: dict[str, Any] = {"rows": rows[:MOST], "rows_of": first.shape[0], "rows_bad": len(rows)}
    if first.ndim < 2 or not rows:
        return made
    lengths = (first.shape[1], first.shape[1] - 1)
    axis = next((i for i in range(1, bad.ndim) if bad.shape[i] in lengths), None)
    if axis is None:
        return made
    row = bad[rows[0]]
    others = tuple(i for i in range(row.ndim) if i != axis - 1)
    columns = list(_true(row.any(axis=others) if others else row))
    made.update(columns=columns[:MOST], columns_of=bad.shape[axis], columns_bad=len(columns))
    if first.dtype not in tape.floats and first.ndim == 2:
        made["tokens"] = [int(first[rows[0], column].item()) for column in columns[:MOST]]
    return made


def _true(flags: Any) -> Iterator[int]:
    return (index for index, flag in enumerate(flags.tolist()) if flag)


def of_batch(tape: Tape) -> list[dict[str, Any]]:
    """The arrays of the batch, with their ranges."""
    return [_array(tape, array, None) for array in tape.arrays(tape.batch)][:MOST]
