"""The command line of a harness on the simulated Mac, for benchmarks that judge its verdicts.

It needs Linux, a C compiler and Python (tests/macos/, docs/internals/macos.md).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

HERE = Path(__file__).resolve().parents[1] / "tests" / "macos"
CALLS = (
    "task", "ids", "threads", "rusage", "children", "users", "files", "pipes", "sockets", "paths",
    "pages", "swap", "ticks", "arguments", "wired",
)  # fmt: skip
"""What darwin.c can refuse."""
TOOLS = ("sample", "ioreg", "pmset")
SOURCES = (*CALLS, *TOOLS)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --mac and --refuse."""
    parser.add_argument("--mac", action="store_true", help="on the simulated Mac")
    parser.add_argument(
        "--refuse", nargs="+", default=[], choices=(*SOURCES, "all"), metavar="SOURCE",
        help=f"sources that the simulated Mac refuses: all, or of {', '.join(SOURCES)}",
    )  # fmt: skip


def refused(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The sources that are refused, each once. Raises SystemExit where there is no Mac."""
    if arguments.refuse and not arguments.mac:
        raise SystemExit("--refuse needs --mac")
    return SOURCES if "all" in arguments.refuse else tuple(dict.fromkeys(arguments.refuse))


def label(arguments: argparse.Namespace) -> list[str]:
    """The words for the names of files."""
    if not arguments.mac:
        return []
    return ["simulated-mac", *(["no", *arguments.refuse] if arguments.refuse else [])]


def harness(arguments: argparse.Namespace, folder: Path) -> tuple[str, ...]:
    """The command line of the harness that is asked for."""
    sources = refused(arguments)
    return on_mac(folder, sources) if arguments.mac else (sys.executable, "-m", "harness")


def on_mac(folder: Path, sources: Collection[str] = ()) -> tuple[str, ...]:
    """The command line of a harness on the simulated Mac, which refuses these sources.

    It is compiled into `folder`, and what it needs is put into this process's environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(_environment(_library(folder), sources))
    return (sys.executable, str(HERE / "pretend.py"))


def _library(folder: Path) -> Path:
    file = folder / "darwin.so"
    command = ["cc", "-O1", "-shared", "-fPIC", str(HERE / "darwin.c"), "-o", str(file)]
    subprocess.run(command, check=True)
    return file


def _environment(library: Path, sources: Collection[str]) -> dict[str, str]:
    return {
        "PATH": f"{HERE / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(HERE.parents[1]),
        "DARWIN_LIBRARY": str(library),
        "SAMPLE_PYTHON": sys.executable,
        **refusals(sources),
    }


def refusals(sources: Collection[str]) -> dict[str, str]:
    """The variables by which the simulated Mac refuses these sources, and no other."""
    return {
        "DARWIN_REFUSES": " ".join(source for source in sources if source in CALLS),
        **{f"{tool.upper()}_REFUSES": "1" for tool in TOOLS if tool in sources},
    }
