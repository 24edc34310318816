"""MLX's host files: which machine each rank of a job is on."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.errors import UsageError
from harness.model import Host, Hostfile, Settings
from harness.session.plan import Run
from harness.text.units import plural


def read(path: str) -> Hostfile:
    """The host file at `path`, in either of the two forms that `mlx.launch` takes.

    Raises argparse.ArgumentTypeError when it is none.
    """
    try:
        found = msgspec.json.decode(Path(path).read_bytes(), type=tuple[Host, ...] | Hostfile)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror or error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{path} is no host file: {error}") from None
    file = found if isinstance(found, Hostfile) else Hostfile(hosts=found)
    if len(file.hosts) < 2:
        names = plural(len(file.hosts), "host")
        raise argparse.ArgumentTypeError(f"{path} names {names}, and at least 2 are needed")
    return file


def ranks(asked: int | None, file: Hostfile | None) -> int:
    """How many ranks there are: as many as asked for, else as there are hosts."""
    return asked or (len(file.hosts) if file else 1)


def check(runs: Sequence[Run], file: Hostfile | None) -> None:
    """Raise UsageError when the ranks of a run cannot be started, on the hosts of `file` if any."""
    for run in runs:
        settings = run.settings
        if settings is None:
            continue
        if file is not None:
            _check(run.info.name, settings, file)
        elif settings.ranks > 1 and settings.backend == "mpi" and not shutil.which("mpirun"):
            raise UsageError("--backend mpi needs Open MPI, and there is no mpirun here")


def _check(name: str, settings: Settings, file: Hostfile) -> None:
    if not 1 < settings.ranks <= len(file.hosts):
        raise UsageError(
            f"{name} has {plural(settings.ranks, 'rank')}, the host file "
            f"{plural(len(file.hosts), 'host')}: name one host for each rank, at least 2"
        )
    if "mpi" in (settings.backend, settings.backend == "any" and file.backend):
        raise UsageError(
            "ranks on other hosts are started through mlx.launch's ssh, which mpi does not use: "
            "take --backend ring, or --backend mpi on this machine alone"
        )
    lacking = [host.ssh for host in file.hosts[: settings.ranks] if not host.ips]
    if lacking:
        raise UsageError(f"the host file gives no ips of {lacking[0]}")


def of(file: Hostfile | None, number: int) -> Hostfile | None:
    """`file` with the hosts of the first `number` ranks."""
    if file is None:
        return None
    hosts = tuple(
        msgspec.structs.replace(host, rdma=host.rdma[:number]) for host in file.hosts[:number]
    )
    return msgspec.structs.replace(file, hosts=hosts)
