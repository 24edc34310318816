"""The way into this package under a name that nothing else has.

The package is called `harness`, and so are other people's folders and files. Where one of those
comes first on the module path, `import harness` gives theirs. The console commands and the pytest
plugin start here instead. This module finds our package by its place, never by the path.

`from mlx_harness import run, run_all, Scenario, beats` is `from harness import ...` for a program
whose own `harness` comes first. docs/guide/install.md describes it.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

TYPE_CHECKING = False  # known to type checkers by its name; importing typing would take longer
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from harness import Run, Runs, Scenario, beats, run, run_all

__all__ = ["NameTakenError", "Run", "Runs", "Scenario", "beats", "main", "run", "run_all"]

NAME = "harness"
FOLDER = Path(__file__).absolute().parents[1] / NAME
"""Our package: it is always installed beside this one."""
_PRIVATE = "_mlx_harness"
"""The name of our package in a program that has another `harness`: for what needs no more of it."""
_API = frozenset(__all__) - {"NameTakenError", "beats", "main"}


class NameTakenError(ImportError):
    """Another module has the name of our package."""


def occupant() -> str | None:
    """The file or folder of another `harness`, where `import harness` gives that; else None."""
    loaded = sys.modules.get(NAME)
    if loaded is not None:
        return _foreign(getattr(loaded, "__file__", None), getattr(loaded, "__path__", ()))
    from importlib.util import find_spec

    try:
        spec = find_spec(NAME)
    except (ImportError, ValueError):  # a finder that somebody else installed
        return None
    if spec is None:
        return None
    return _foreign(spec.origin, spec.submodule_search_locations or ())


def _foreign(file: str | None, folders: Iterable[str]) -> str | None:
    """The place of a module, or None for our package. A namespace has folders and no file."""
    place = Path(file or next(iter(folders), "?"))
    return None if place.resolve().is_relative_to(FOLDER.resolve()) else str(place)


def cure(place: str) -> str:
    """The fault, and what to do about it."""
    return (
        f"{place} has the name of the package that mlx-hang-harness is in, and comes first on the "
        "module path: rename it, or keep its folder out of the path"
    )


def package() -> ModuleType:
    """Our package, imported as `harness` from where it lies, whatever comes first on the path.

    Raises NameTakenError when this process has already imported another `harness`.
    """
    if NAME in sys.modules:
        if (other := occupant()) is not None:
            raise NameTakenError(cure(other))
        return sys.modules[NAME]
    return _load(NAME)


def _load(name: str) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(
        name, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def main() -> int:
    """The command `harness`, which is also called `mlx-harness`."""
    try:
        package()
        from harness.cli import main as command

        return command()
    except NameTakenError as error:
        print(f"mlx-harness: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130  # while it was read: nothing has begun


def __getattr__(name: str) -> object:
    if name == "beats":
        found: object = _beats()
    elif name in _API:
        if (other := occupant()) is not None:
            raise NameTakenError(cure(other))
        found = getattr(package(), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def _beats() -> ModuleType:
    """`harness.beats`, which leaves a program's own `harness` alone: it needs no more of ours."""
    if occupant() is None:
        package()
        return importlib.import_module(f"{NAME}.beats")
    if _PRIVATE not in sys.modules:
        _load(_PRIVATE)
    return importlib.import_module(f"{_PRIVATE}.beats")
