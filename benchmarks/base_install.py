"""The size of what `pip install .` brings, beside pip.

    python benchmarks/base_install.py [--out FILE.json]

The package is installed from this folder into an empty environment. The bytes of all files are
added, those that Python compiles among them. What is in the environment before that is left out.

Measure: 60 MB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import ROOT, machine, save, table

MB = 10**6
AT_MOST_MB = 60
SHOWN = 12
"""Rows of the table: the largest."""


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def top(path: Path, folder: Path) -> str:
    """The package that a file belongs to, or the script that it is."""
    parts = path.relative_to(folder).parts
    if "site-packages" not in parts:
        return parts[-1]
    return parts[parts.index("site-packages") + 1].removesuffix(".py").partition("-")[0]


def installed(folder: Path) -> tuple[Counter[str], int]:
    """The bytes of each package in a new environment in `folder`, and those that are compiled."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    before = set(files(folder))
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", ROOT], check=True)
    sizes: Counter[str] = Counter()
    compiled = 0
    for path in set(files(folder)) - before:
        sizes[top(path, folder)] += path.stat().st_size
        compiled += path.stat().st_size * (path.suffix == ".pyc")
    return sizes, compiled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes, compiled = installed(Path(folder))
    total = sum(sizes.values())
    rows = [(name, f"{size / MB:.2f}") for name, size in sizes.most_common(SHOWN)]
    print(table(("package", "MB"), rows))
    print(f"{total / MB:.1f} MB in all, at most {AT_MOST_MB}; {compiled / MB:.1f} MB are compiled")
    print(f"on {machine()}")
    save(
        arguments.out,
        "base_install",
        {
            "at_most_mb": AT_MOST_MB,
            "mb": total / MB,
            "compiled_mb": compiled / MB,
            "packages_mb": {name: size / MB for name, size in sizes.most_common(SHOWN)},
        },
    )
    raise SystemExit(total > AT_MOST_MB * MB)


if __name__ == "__main__":
    main()
