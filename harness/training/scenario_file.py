"""The file of a scenario: imported, and its parts made."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.scenario import load
from harness.training import mistakes
from harness.training.setup import Training


def imported(path: Path, own: Path | None) -> ModuleType:
    """The module of a scenario, imported; `own` is the file of a user's step that it varies."""
    # A scenario may import its neighbors and the ladder's files by name, as it would in a script.
    sys.path[:0] = [str((own or path).parent)]
    sys.path += [str(folder) for folder in load.folders()]
    if own is None:
        return _import(path, path.stem)
    # A variation has the name of the ladder's file that the user's own may import.
    sys.modules[load.OWN] = _import(own, own.stem)
    _import(path.with_name(f"{load.STEP}.py"), load.STEP)
    return _import(path, f"own_{path.stem}")


def _import(path: Path, name: str) -> ModuleType:
    # A file named like a module that is already there (random.py) must not take its place.
    name = name if name not in sys.modules else f"scenario_{name}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parts(
    scenario: ModuleType, training: Training
) -> tuple[Callable[..., Any], Callable[..., Any] | None, Iterator[Any]]:
    """A scenario's step, the maker of its batches where it has one, and the batches."""
    step = mistakes.make(scenario.make_step, training)
    maker = getattr(scenario, "batches", None)
    return step, maker, iter(maker(training)) if maker is not None else training.batches()
