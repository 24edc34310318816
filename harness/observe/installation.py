"""The check that MLX is installed for this Python, and the way to install an extra.

MLX is an extra of our distribution. Nothing here imports it: that is a worker's work.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness.errors import UsageError

DISTRIBUTION = "mlx-hang-harness"
EXTRAS = {
    "cpu": ("mlx[cpu]", "mlx-lm", "py-spy"),
    "cuda": ("mlx[cuda13]", "mlx-lm", "py-spy"),
    "metal": ("mlx", "mlx-lm"),
    "reduce": ("libcst",),
}
"""The extras of our distribution that a user may lack, and what each installs."""
REMEDY = "; to install it, run: "
"""What stands before the command in a line about what is missing."""


def need_mlx() -> None:
    """Raise UsageError where MLX is not installed."""
    if not has_mlx():
        raise UsageError(missing("MLX"))


def has_mlx() -> bool:
    # `mlx` is a namespace: a folder of that name in the current directory is found as well.
    package = PathFinder.find_spec("mlx")
    if package is None or package.submodule_search_locations is None:
        return False
    return PathFinder.find_spec("mlx.core", list(package.submodule_search_locations)) is not None


def missing(name: str, problem: str = "is not installed", extra: str | None = None) -> str:
    """One line: what is wrong with `name`, and the command that mends it.

    `extra` is the one that brings it: that of MLX for this machine if it is None.
    """
    return f"{name} {problem} in {sys.prefix}{REMEDY}{command(extra or backend())}"


def command(extra: str) -> str:
    """The command that installs an extra for this Python, in the way in which we were installed."""
    return shlex.join(words(Path(sys.prefix), _source(), extra))


def backend() -> str:
    """The extra for this machine."""
    # A command line is read sooner without what a look at GPUs needs.
    from harness.observe import gpu

    if sys.platform == "darwin":
        return "metal"
    return "cuda" if gpu.memory() else "cpu"


def words(prefix: Path, source: tuple[Path, bool] | None, extra: str) -> Sequence[str]:
    """As `command` does, for the environment `prefix`.

    `source` is the folder that we were installed from, if it was one, and whether it is editable.
    """
    wanted: Sequence[str] = EXTRAS[extra]
    if (prefix / "pipx_metadata.json").exists():
        return ("pipx", "inject", DISTRIBUTION, *wanted)
    if source is not None:
        folder, editable = source
        wanted = (*(["-e"] if editable else []), f"{folder}[{extra}]")
    if (prefix / "uv-receipt.toml").exists() or find_spec("pip") is None:
        return ("uv", "pip", "install", "--python", sys.executable, *wanted)
    # The short name where it is this very Python.
    found = shutil.which("python")
    python = "python" if found and Path(found) == Path(sys.executable) else sys.executable
    return (python, "-m", "pip", "install", *wanted)


def _source() -> tuple[Path, bool] | None:
    """The folder on this machine that pip was given, and whether we run from it."""
    from importlib import metadata  # only a mistake or `doctor` asks

    try:
        text = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
        origin = json.loads(text or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return None
    url, info = urlsplit(origin.get("url", "")), origin.get("dir_info")
    folder = Path(unquote(url.path))
    if url.scheme != "file" or info is None or not (folder / "pyproject.toml").is_file():
        return None
    return folder, bool(info.get("editable"))
