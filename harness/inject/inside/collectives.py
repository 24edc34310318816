"""The collectives that a rank issues, told in a file of fixed size.

MLX is lazy: a call puts the collective into the graph, and it runs when the graph is evaluated. So
what is written down is that it was issued. In a function that `mx.compile` compiled it is called
while MLX traces, and not in later steps; such an entry says so.

The file is mapped into memory and overwritten in place. It never grows, no call of the system is
made for a collective, and what was written survives the death of the process by any signal.
Nothing here raises into the training: what goes wrong leaves word that nothing can be said.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import struct
import sys
import time
import weakref
from typing import Any, Callable, Optional

from . import writer
from .wrapping import wraps

OPERATIONS = ("all_sum", "all_max", "all_min", "all_gather", "sum_scatter")
"""All ranks of a group take part in these. `send` and `recv` are between two of them."""
NAME = "issued"
"""The file is called so, followed by the number of the process."""
LAYOUT = 1
HEAD = struct.Struct("<IIdII40x")
"""The layout's number, the process, when it began, 1 if what is written is no more complete, and
whether it has joined the other ranks."""
OFF, JOINED = 16, 20
"""The places of the last two."""
APART, JOINS, TOGETHER = range(3)
"""It has not asked for the others, waits for them, or has joined them."""
SIGNATURES = 256
SIGNATURE = 64
"""The head is followed by a table of so many signatures of so many bytes, padded with zeros."""
ENTRIES = 4096
ENTRY = struct.Struct("<diHHI4x")
"""When, the step, the signature from 0, 1 if it was traced, its number from 1. The number is
written last: what stands before it is then whole."""
RING = HEAD.size + SIGNATURES * SIGNATURE
SIZE = RING + ENTRIES * ENTRY.size
_KEPT = SIGNATURES - len(OPERATIONS)
"""Signatures with shape and dtype; of those that come later only the operation is kept."""
_now = time.monotonic


def wrap(module: Any, folder: str) -> None:
    """Let `module`, mlx.core, tell which collectives this process issues, if it is a rank."""
    distributed = getattr(module, "distributed", None)
    if distributed is None or writer.rank() is None:
        return
    try:
        issued = Issued(writer.home(folder), distributed.init)
    except Exception:
        return  # without the file nothing is said of this rank, and it is compared with no other
    for name in OPERATIONS:
        function = getattr(distributed, name, None)
        if callable(function):
            setattr(distributed, name, _collective(name, function, issued))
    distributed.init = _init(distributed.init, issued)
    if callable(getattr(module, "compile", None)):
        module.compile = _compile(module.compile, issued)


def _like(function: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return wraps(function, "__nb_signature__")


def _collective(name: str, function: Callable[..., Any], issued: Issued) -> Callable[..., Any]:
    @_like(function)
    def collective(*args: Any, **kwargs: Any) -> Any:
        if issued.apart:
            issued.join(JOINS)
        result = function(*args, **kwargs)
        try:
            given = args[0] if args else kwargs.get("x")
            issued.add(name, given if hasattr(given, "dtype") else result, kwargs.get("group"))
        except Exception:
            issued.incomplete()
        return result

    return collective


def _init(original: Callable[..., Any], issued: Issued) -> Callable[..., Any]:
    @_like(original)
    def init(*args: Any, **kwargs: Any) -> Any:
        if not issued.apart:
            return original(*args, **kwargs)
        issued.join(JOINS)
        group = original(*args, **kwargs)
        issued.join(TOGETHER)
        return group

    return init


def _compile(original: Callable[..., Any], issued: Issued) -> Callable[..., Any]:
    """`mx.compile` that lets one know when a function is traced. A call of what it returns costs
    nothing more."""
    # MLX knows what it has compiled by the function: the same one must get the same one again.
    known: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    def traced(function: Any) -> Any:
        # Functions of MLX itself issue none.
        own = str(getattr(function, "__module__", "")).partition(".")[0] == "mlx"
        if own or not callable(function):
            return function
        found = known.get(id(function))
        if found is None or found.__wrapped__ is not function:
            found = known[id(function)] = _traced(function, issued)
        return found

    @_like(original)
    def compile(*args: Any, **kwargs: Any) -> Any:
        try:
            if args:
                args = (traced(args[0]), *args[1:])
            elif "fun" in kwargs:
                kwargs = {**kwargs, "fun": traced(kwargs["fun"])}
        except Exception:
            issued.incomplete()
        return original(*args, **kwargs)

    return compile


def _traced(function: Callable[..., Any], issued: Issued) -> Callable[..., Any]:
    @wraps(function)
    def trace(*args: Any, **kwargs: Any) -> Any:
        issued.tracing += 1
        try:
            return function(*args, **kwargs)
        finally:
            issued.tracing -= 1

    return trace


class Issued:
    """The file of this process. Only collectives of all ranks count: those of a part of them differ
    from part to part."""

    def __init__(self, folder: str, init: Callable[[], Any]) -> None:
        """`init` returns the group of all ranks, once there is one."""
        self.tracing = 0
        """Functions that are being traced."""
        self.apart = True
        """It has not joined the other ranks."""
        self._init = init
        self._all = 0
        """The number of all ranks; 0 as long as it is not known."""
        self._alone = False
        """MLX has found no other ranks. It would look for them again each time that it is asked."""
        self._pid = os.getpid()
        self._number = itertools.count(1).__next__
        self._signatures: dict[Any, int] = {}
        os.makedirs(folder, exist_ok=True)
        self._map = _mapped(os.path.join(folder, f"{NAME}.{self._pid}"))
        HEAD.pack_into(self._map, 0, LAYOUT, self._pid, _now(), 0, APART)

    def join(self, state: int) -> None:
        """Leave word that it asks for the other ranks, or has joined them."""
        with contextlib.suppress(Exception):
            self.apart = state != TOGETHER
            if self._pid == writer.process():
                struct.pack_into("<I", self._map, JOINED, state)

    def add(self, name: str, array: Any, group: Any) -> None:
        """`array` was given to the collective `name`, which has been issued in `group`."""
        if self._pid != writer.process():
            return  # a forked child is no rank
        if self.apart:
            self.join(TOGETHER)
        # A call without a group has asked MLX for that of all ranks; so asking again starts none.
        if group is None:
            if not self._all and not self._alone:
                self._all = self._of_all()
                self._alone = not self._all
            if self._alone:
                return
        else:
            size = group.size()
            if size > max(self._all, 1):
                self._all = self._of_all()
            if size != self._all:
                return
        key = name, array.shape, array.dtype
        signature = self._signatures.get(key)
        if signature is None:
            signature = self._new(key)
        number = self._number()
        at = RING + (number - 1) % ENTRIES * ENTRY.size
        traced = self.tracing > 0
        ENTRY.pack_into(self._map, at, _now(), _step(), signature, traced, number & 0xFFFFFFFF)

    def _of_all(self) -> int:
        size: int = self._init().size()
        return size if size > 1 else 0

    def incomplete(self) -> None:
        """Leave word that from now on what is written says nothing."""
        with contextlib.suppress(Exception):
            if self._pid == writer.process():
                struct.pack_into("<I", self._map, OFF, 1)

    def _new(self, key: tuple[Any, ...]) -> int:
        """A place in the table."""
        name, shape, dtype = key
        words = f"{name} {str(dtype).rpartition('.')[2]} {','.join(map(str, shape))}"
        if len(self._signatures) >= _KEPT or len(words) > SIGNATURE:
            # Not kept under its own key: a training may have any number of shapes.
            key, words = (name,), name
            if key in self._signatures:
                return self._signatures[key]
        index = len(self._signatures)
        data = words.encode()
        start = HEAD.size + index * SIGNATURE
        self._map[start : start + SIGNATURE] = data.ljust(SIGNATURE, b"\0")
        self._signatures[key] = index
        return index


def _mapped(path: str) -> mmap.mmap:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        # Really allocate the blocks: a write through a mapping to a full disk is a SIGBUS.
        if os.write(file, bytes(SIZE)) < SIZE:
            raise OSError("the disk is full")
        return mmap.mmap(file, SIZE)
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(file)


_WRITERS = (f"{__package__}.writer", "harness.inject.inside.writer")
"""The modules by which this process may report its steps: the hook's, and that of harness.beats."""


def _step() -> int:
    """The step under way, if this process reports its steps; -1 if not, and before the first."""
    for name in _WRITERS:
        reports: Optional[Any] = getattr(sys.modules.get(name), "reports", None)
        if reports is not None:
            step: int = reports.step
            return step
    return -1
