"""The command line of a job's launcher: the number of ranks that it starts, and where. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

from harness.observe.process_names import is_python, names

MLX = "mlx.launch"
_MPI = frozenset(("mpirun", "mpiexec", "prterun", "orterun"))
_NUMBER = {MLX: ("-n", "--repeat-hosts"), "mpi": ("-n", "-np", "--n", "--np", "-c")}
_HOSTS = {
    MLX: ("--hosts", "--hostfile"),
    "mpi": ("-H", "-host", "--host", "-hostfile", "--hostfile", "-machinefile", "--machinefile"),
}
_FAR = frozenset(
    ("ssh", "rsh", "sshd", "orted", "prted", "hydra_pmi_proxy", "pmi_proxy", "srun", "slurmstepd")
)
"""Programs that start ranks on another machine, or on this one for a launcher on another."""


def rank_count(argv: Sequence[str]) -> int | None:
    """The number of ranks that a launcher with this command line starts in all. None where the line
    does not tell it, or this is no launcher."""
    kind, options = _launcher(argv)
    if not kind or ":" in options or _told(options, _HOSTS[kind]) is not None:
        return None
    number = _told(options, _NUMBER[kind])
    return int(number) if number is not None and number.isdecimal() else None


def tells_ends(argv: Sequence[str]) -> bool:
    """True if it is a launcher that tells of the ranks that do not end well."""
    return bool(_launcher(argv)[0])


def elsewhere(argv: Sequence[str], program: str) -> bool:
    """True if a job may have ranks on other machines, in which this process, whose name is
    `program`, takes part."""
    if program in _FAR:
        return True
    kind, options = _launcher(argv)
    # Of the ranks of other hosts `mlx.launch` keeps an ssh each.
    return kind == "mpi" and _told(options, _HOSTS[kind]) is not None


def _launcher(argv: Sequence[str]) -> tuple[str, list[str]]:
    """("mlx.launch" or "mpi", its own options), or ("", [])."""
    if not argv:
        return "", []
    called = names(argv)
    kind = MLX if MLX in called else "mpi" if called & _MPI else ""
    rest = list(argv[2:] if kind == MLX and is_python(argv[0]) else argv[1:])
    return kind, list(takewhile(_own, rest))


def _own(word: str) -> bool:
    """True if this still is the launcher's, and not of the program that the ranks run."""
    return word != "--" and not word.endswith(".py") and not is_python(word)


def _told(options: Sequence[str], wanted: Iterable[str]) -> str | None:
    """The value of the first option that is called so: `-n 3`, `-n3`, `--np=3`."""
    for at, word in enumerate(options):
        for name in wanted:
            if word == name:
                return options[at + 1] if at + 1 < len(options) else None
            if word.startswith(f"{name}="):
                return word.partition("=")[2]
            if len(name) == 2 and word.startswith(name) and word[2:].isdecimal():
                return word[2:]
    return None
