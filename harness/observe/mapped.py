"""The versions of Python and MLX that a process runs, by the files that it has mapped.

What is installed beside such a file belongs to it, whatever is installed elsewhere. Of packages in
Python alone, such as mlx-lm, nothing is mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.observe import platform
from harness.text import late

MOST = 16
"""Processes of a tree that are asked."""
_MLX = late.compile(r"^(?P<site>/.*)/mlx/(?:lib/libmlx\.|core\.)\S*$")
_PYTHON = late.compile(r"/(?:lib)?python(3\.\d+)[^/]*$")
_INFO = late.compile(r"^(mlx(?:_cpu|_cuda\w*|_metal)?)-(.+)\.dist-info$")


def versions(pid: int) -> dict[str, str]:
    """By distribution, and `python` without the last part of its number; empty of what is no Python
    or is not seen."""
    lines = platform.current().code(pid).splitlines()
    files = list(dict.fromkeys(line[at:] for line in lines if (at := line.find("/")) >= 0))
    found: dict[str, str] = {}
    for file in [_executable(pid), *files]:
        if "python" not in found and (name := _PYTHON.search(file)):
            found["python"] = name[1]
        if "mlx" not in found and (mapped := _MLX.match(file)):
            found |= beside(Path(mapped["site"]))
    return found


def of_tree(pids: Sequence[int]) -> dict[str, str]:
    """Those of the first process that has mapped MLX, or else of the first Python."""
    found = [versions(pid) for pid in pids[:MOST]]
    known = [one for one in found if "mlx" in one] or [one for one in found if one]
    return known[0] if known else {}


def beside(site: Path) -> dict[str, str]:
    """MLX and its parts as they are installed in the folder `site`."""
    try:
        names = sorted(entry.name for entry in site.iterdir())
    except OSError:
        return {}
    known = (_INFO.match(name) for name in names)
    return {one[1].replace("_", "-"): one[2] for one in known if one}


def _executable(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return ""
