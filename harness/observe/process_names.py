"""The name that may be shown of a process: its program and its script, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import psutil

from harness.text import late

_PYTHON = late.compile(r"^(python|pypy)[\d.]*$", re.IGNORECASE)
_WORKER = "harness.worker"
_BOOTED = f"from {_WORKER} import main; sys.exit(main(sys.argv))"
TAKES_ONE = ("-X", "-W", "--check-hash-based-pycs")
"""Python's own options that take another word."""


def is_python(word: str) -> bool:
    """True if this is a Python interpreter, by its name."""
    return _PYTHON.match(Path(word).name) is not None


def words(argv: Sequence[str], program: str = "") -> tuple[str, ...]:
    """The part of a command line that may be shown: the program, and the script or module it runs.

    All other arguments are left out, for they may hold what is nobody's business; "..." stands for
    them. `program` is the name to use where `argv` was overwritten by the process itself.
    """
    first = argv[0] if argv else program
    # A title that a process gave itself is one long word.
    name = Path(program if " " in first and program else first.split(" ")[0]).name or program
    kept = [name.lstrip("-") or "?"]
    rest = list(argv[1:])
    if is_python(name):
        while rest:
            word = rest.pop(0)
            if word == "-m" and rest:
                kept += ["-m", rest.pop(0)]
                break
            if word == "-c":
                kept.append("-c")
                break
            if word in TAKES_ONE and rest:
                rest.pop(0)
            elif not word.startswith("-"):
                kept.append(Path(word).name)
                break
    return (*kept, "...") if rest else tuple(kept)


def named(pid: int) -> tuple[str, ...]:
    """The words for a process; empty when it has gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return words(process.cmdline(), process.name())
    except psutil.Error:
        return ()


def argv(pid: int) -> tuple[str, ...]:
    """The command line of a process; empty when it has gone."""
    try:
        return tuple(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ()


def is_worker(argv: Sequence[str]) -> bool:
    """True if a command line starts a worker of the harness, which handles SIGUSR1 by Python's
    faulthandler: as `harness.supervise.launch` starts it, or by hand."""
    how, what = [*argv[1:3], "", ""][:2]
    return what == _WORKER if how == "-m" else how == "-c" and what.endswith(_BOOTED)


def names(argv: Sequence[str]) -> set[str]:
    """The names that the program of a command line may have: `mlx_lm.lora` is `python -m mlx_lm
    lora` as well."""
    kept = [word for word in words(argv) if word not in ("-m", "-c", "...")]
    found = {name for word in kept for name in (word, word.removesuffix(".py"))}
    if "-m" in argv and (after := list(argv[list(argv).index("-m") + 1 :])):
        module = after[0]
        found |= {module, module.rpartition(".")[2]}
        found |= {f"{module}.{word}" for word in after[1:2]}
    return found
