"""Digests of the local variables of a process's own threads: they tell a loop from work.

No code of the user's runs for them. Of an object of a class of its own count its place in memory
and what its attributes are. A digest tells nothing of the values: each process has its own salt.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from types import FrameType, FunctionType, GetSetDescriptorType, ModuleType

from harness.inject.inside import timeouts

END = "Variables: all are told"
_SALT = os.urandom(16)
_FRAMES, _MEMBERS, _DEEP, _PARTS = 64, 64, 3, 2000
"""At most: functions of a thread, members of an object at each end, objects in one another, parts
of one variable."""
_LONG = 1024
"""Characters at each end of a text."""
_PLAIN = (bool, int, float, complex, type(None), str, bytes, bytearray, list, tuple, set, frozenset,
          dict)  # fmt: skip
_MRO, _CLASS_DICT = type.__dict__["__mro__"], type.__dict__["__dict__"]


def told() -> str:
    """A line for each other thread whose variables tell something: its number, and a digest. One
    for each whose wait is known to have a timeout, or none. Then END."""
    lines: list[str] = []
    with contextlib.suppress(Exception):  # what is told of a thread must not harm it
        lines = list(_lines())
    return "\n".join([*lines, END, ""])


def _lines() -> Iterator[str]:
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return  # they would change while they are read
    own, functions = threading.get_ident(), timeouts.known()
    for number, frame in sys._current_frames().items():
        if number == own:
            continue
        if one := digest(frame):
            yield f"Variables of thread {number:#x}: {one}"
        if seconds := timeouts.told(frame, functions):
            yield f"Timeout of thread {number:#x}: {seconds}"


def digest(innermost: FrameType) -> str:
    """The digest of a thread. Empty where its innermost function has no variable that could be seen
    to change. Those of a module do not count."""
    if not any(type(value) in _PLAIN for value in _locals(innermost).values()):
        return ""
    parts = []
    frame: FrameType | None = innermost
    for _ in range(_FRAMES):
        if frame is None:
            break
        parts.append(frame.f_code.co_name)
        for name, value in _locals(frame).items():
            parts += [name, *islice(_parts(value), _PARTS)]
        frame = frame.f_back
    text = "\0".join(parts).encode("utf-8", "replace")
    return hashlib.sha256(_SALT + text).hexdigest()[:32]


def _locals(frame: FrameType) -> dict[str, object]:
    return {} if frame.f_code.co_name == "<module>" else dict(frame.f_locals)


def _parts(value: object, depth: int = 0) -> Iterator[str]:
    """The part of a value that tells that it has changed."""
    kind = type(value)  # asked first: isinstance may run code of the value's own
    if kind in (bool, int) and isinstance(value, int):
        yield f"{kind.__name__} {value.bit_length()} {value & (1 << 128) - 1:x}"
    elif kind in (str, bytes, bytearray) and isinstance(value, (str, bytes, bytearray)):
        yield f"{len(value)} {value[:_LONG]!r} {value[-_LONG:]!r}"
    elif kind in (float, complex, type(None)):
        yield repr(value)
    elif kind in (list, tuple) and isinstance(value, (list, tuple)):
        yield f"{kind.__name__} of {len(value)}"
        for member in (*value[:_MEMBERS], *value[-_MEMBERS:]) if depth < _DEEP else ():
            yield from _parts(member, depth + 1)
    elif kind in (set, frozenset) and isinstance(value, (set, frozenset)):
        yield f"set of {len(value)}"
        for member in list(islice(value, _MEMBERS)) if depth < _DEEP else ():
            yield from _parts(member, depth + 1)
    elif kind is dict and isinstance(value, dict):
        yield from _items(value, depth)
    else:
        yield f"{id(kind):x} at {id(value):x}"
        attributes = _attributes(value)
        if attributes is not None:
            yield from _items(attributes, depth)


def _items(items: dict[object, object], depth: int) -> Iterator[str]:
    yield f"dict of {len(items)}"
    for key, member in list(islice(items.items(), _MEMBERS)) if depth < _DEEP else ():
        yield from _parts(key, depth + 1)
        yield from _parts(member, depth + 1)


def _attributes(value: object) -> dict[object, object] | None:
    """The attributes of an object, where they lie in a plain dictionary. Those of modules and
    classes are left out."""
    kind = type(value)
    if kind in (FunctionType, ModuleType) or issubclass(kind, type):
        return None
    for one in _MRO.__get__(kind):
        own = _CLASS_DICT.__get__(one).get("__dict__")
        if own is not None:
            # Any other descriptor would run code of the user's.
            found = own.__get__(value) if type(own) is GetSetDescriptorType else None
            return found if type(found) is dict else None
    return None
