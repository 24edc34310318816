"""A failing program made small: the same hang, crash or NaN in one short file.

docs/guide/reduce.md describes it. `reduce` is what other parts of the package call. The passes need
libcst, of the extra `reduce`.
"""

from __future__ import annotations

from harness.errors import UsageError
from harness.observe import installation

try:
    import libcst  # noqa: F401  # to tell early that it is missing
except ImportError:
    raise UsageError(installation.missing("libcst", extra="reduce")) from None

from harness.reduce.carry_out import Progress, Reduced, reduce
from harness.reduce.symptom import Keep

__all__ = ["Keep", "Progress", "Reduced", "reduce"]
