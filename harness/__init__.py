"""A training-hang diagnostic harness for MLX.

docs/reference/api.md describes `from harness import run, run_all, Scenario`. They are imported when
they are first asked for: a worker, which needs none of them, starts sooner.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["Run", "Runs", "Scenario", "run", "run_all"]

TYPE_CHECKING = False  # known to type checkers by its name; importing typing would take longer
if TYPE_CHECKING:
    from harness.api import Run, Runs, Scenario, run, run_all


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from harness import api

    found: object = getattr(api, name)
    globals()[name] = found
    return found
