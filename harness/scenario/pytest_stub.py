"""The stand-in for pytest in a worker, while a test module is imported.

A worker imports a test module for a function in it. Marks, fixtures and parameters mean nothing
there, and importing pytest for them would take longer than all the rest of a small training. So
these three do nothing, and whatever else is asked of pytest is answered by the real one.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

NAME = "pytest"


class _Nothing:
    """A mark, a decorator with or without arguments, a parameter: whatever is done to it."""

    def __getattr__(self, name: str) -> _Nothing:
        return self

    def __call__(self, *args: Any, **options: Any) -> Any:
        # As pytest decides it: a function alone is what is decorated.
        return args[0] if len(args) == 1 and callable(args[0]) and not options else self


class StandIn(ModuleType):
    """`used` says whether anything has got a mark, a fixture or a parameter that does nothing."""

    used = False
    real: ModuleType | None = None

    def __getattr__(self, name: str) -> Any:
        if self.real is None and name in ("mark", "fixture", "param"):
            self.used = True
            return _Nothing()
        if self.real is None:
            del sys.modules[NAME]
            self.real = importlib.import_module(NAME)
        return getattr(self.real, name)


@contextlib.contextmanager
def for_pytest() -> Iterator[StandIn]:
    """Within the block `import pytest` is quick, if it has not been imported before."""
    stand_in = StandIn(NAME)
    spec = importlib.util.find_spec(NAME) if NAME not in sys.modules else None
    if spec is not None:
        stand_in.__spec__ = spec
        sys.modules[NAME] = stand_in
    try:
        yield stand_in
    finally:
        # What was imported in the block keeps the stand-in; others get the real one.
        if sys.modules.get(NAME) is stand_in:
            del sys.modules[NAME]
