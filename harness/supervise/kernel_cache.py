"""MLX's compiled kernels, reused from run to run without ever sharing a damaged one.

MLX keeps what it compiles under $TMPDIR/mlx/<version> and loads whatever it finds there: a library
that a killed compiler left half written kills every later run. So each worker has a temporary
folder of its own, filled with links to a store of ours, and only a worker that ended well adds
what it compiled to the store, each file by an atomic rename.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from harness.observe import platform, user_cache

KERNELS = "mlx"
"""MLX's folder inside the temporary one."""


def store() -> Path:
    """The folder that keeps kernels between runs: one for each kind of processor."""
    return user_cache.folder() / "kernels" / platform.current().arch


def lend(store: Path, temporary: Path) -> None:
    """Link every stored kernel into the worker's temporary folder."""
    for kernel in _files(store):
        link = temporary / KERNELS / kernel.relative_to(store)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(kernel)


def keep(temporary: Path, store: Path) -> int:
    """Add the kernels that a worker compiled to the store; returns how many.

    Call it only for a worker that ended by itself and well: then each of its compilers has
    finished and each library has been loaded. A full disk costs the reuse and nothing else.
    """
    kept = 0
    for kernel in _files(temporary / KERNELS):
        if kernel.is_symlink() or kernel.stat().st_size == 0:
            continue
        target = store / kernel.relative_to(temporary / KERNELS)
        # MLX's file names use up the longest name a file can have: nothing can be added to them.
        partial = store / f".{os.getpid()}-{kept}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kernel, partial)
            partial.replace(target)
            kept += 1
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink()
    return kept


def _files(folder: Path) -> list[Path]:
    """Compiled libraries and kernels below `folder`; sources are not needed to reuse them."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".cpp"
    ]
