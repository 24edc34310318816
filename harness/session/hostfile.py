"""The host files of MLX, which name the machine of each rank."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.errors import UsageError
from harness.model import Host, Hostfile, Settings
from harness.observe import gpu
from harness.session.plan import PlannedRun
from harness.text.units import plural

_JACCL = ("jaccl", "jaccl-ring")
"""RDMA over Thunderbolt: a mesh, and a ring."""


def read(path: str, least: int = 2) -> Hostfile:
    """The host file at `path`, in one of the two forms that `mlx.launch` reads, with `least` hosts
    or more.

    Raises argparse.ArgumentTypeError when it is not a host file.
    """
    try:
        hosts = msgspec.json.decode(Path(path).read_bytes(), type=tuple[Host, ...] | Hostfile)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {path}: {error.strerror or error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(
            f"{path} is not a host file of mlx.launch: {error}"
        ) from None
    file = hosts if isinstance(hosts, Hostfile) else Hostfile(hosts=hosts)
    if len(file.hosts) < least:
        names = plural(len(file.hosts), "host")
        raise argparse.ArgumentTypeError(f"{path} names {names}; name at least {least}")
    return file


def ranks(requested: int | None, file: Hostfile | None) -> int:
    """The number of ranks: the requested one, else that of the hosts."""
    return requested or (len(file.hosts) if file else 1)


def check(runs: Sequence[PlannedRun], file: Hostfile | None) -> None:
    """Raise UsageError when the ranks of a run cannot be started on their hosts."""
    for run in runs:
        settings = run.settings
        if settings is None:
            continue
        if file is not None:
            _check(run.info.name, settings, file)
        elif settings.ranks > 1 and settings.backend == "mpi" and not shutil.which("mpirun"):
            raise UsageError(
                "--backend mpi needs Open MPI, and there is no mpirun here; install it, or use "
                "--backend ring"
            )
        elif settings.ranks > 1 and settings.backend in _JACCL:
            raise UsageError(
                f"--backend {settings.backend} needs the RDMA devices between the hosts; name them "
                "in a --hostfile, which mlx.distributed_config writes"
            )
    if file is None:
        _check_gpus(runs)


def _check_gpus(runs: Sequence[PlannedRun]) -> None:
    """Raise UsageError where ranks over NCCL have too few GPUs: two of them cannot share one."""
    numbers = {
        run.info.name: run.settings.ranks
        for run in runs
        if run.settings is not None and run.settings.ranks > 1 and run.settings.backend == "nccl"
    }
    gpus = gpu.visible(os.environ) if numbers else None
    for name, number in numbers.items():
        if gpus is not None and len(gpus) < number:
            raise UsageError(_too_few_gpus(name, number, len(gpus)))


def _too_few_gpus(name: str, number: int, gpus: int) -> str:
    here = f"CUDA shows {plural(gpus, 'GPU')}" if gpus else "there is no NVIDIA GPU that CUDA shows"
    return (
        f"{name} has {plural(number, 'rank')}, --backend nccl needs one GPU for each, and {here} "
        f"here; {'use fewer --ranks, or ' if gpus > 1 else 'use '}--backend ring"
    )


def _check(name: str, settings: Settings, file: Hostfile) -> None:
    if not 1 < settings.ranks <= len(file.hosts):
        raise UsageError(
            f"{name} needs {plural(settings.ranks, 'rank')}, and the host file has "
            f"{plural(len(file.hosts), 'host')}; name one host for each rank, at least 2"
        )
    if "mpi" in (settings.backend, settings.backend == "any" and file.backend):
        raise UsageError(
            "--hostfile cannot be used with the backend mpi, which starts ranks on this machine "
            "only; use --backend ring, or omit --hostfile"
        )
    names = [host.ssh for host in file.hosts[: settings.ranks]]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice and "nccl" in (settings.backend, settings.backend == "any" and file.backend):
        raise UsageError(
            f"the host file names {twice} for several ranks, and with the backend nccl mlx.launch "
            "gives each of them the same GPU; name each host once"
        )
    used = file.hosts[: settings.ranks]
    kind = file.backend if settings.backend == "any" else settings.backend
    # Over RDMA they need an address of the first one alone, to meet.
    lacking = [host.ssh for host in used[: 1 if kind in _JACCL else None] if not host.ips]
    if lacking:
        raise UsageError(f"the host file has no ips of {lacking[0]}; add them")
    if kind in _JACCL and (wrong := _rdma(used, ring=kind == "jaccl-ring")):
        raise UsageError(f"the host file does not fit the backend {kind}: {wrong}")


def _rdma(hosts: Sequence[Host], ring: bool) -> str:
    """The fault of the RDMA devices of `hosts`, as a clause; empty where all are there.

    `mlx.launch` wants of each host one entry for each, null for itself. A mesh needs a device for
    each pair of hosts, a ring for neighbors.
    """
    number = len(hosts)
    for i, host in enumerate(hosts):
        if len(host.rdma) < number:
            return (
                f"rdma of {host.ssh} has {plural(len(host.rdma), 'entry', 'entries')}; it needs "
                f"one for each of the {number} hosts, and null for {host.ssh} itself"
            )
        if host.rdma[i] is not None:
            return f"entry {i + 1} of rdma of {host.ssh} is {host.ssh} itself; make it null"
        others = {(i - 1) % number, (i + 1) % number} if ring else set(range(number)) - {i}
        for other in sorted(others):
            if not host.rdma[other]:
                return f"rdma of {host.ssh} names no device to {hosts[other].ssh}; add it"
    return ""


def of(file: Hostfile | None, number: int) -> Hostfile | None:
    """`file` with the hosts of the first `number` ranks."""
    if file is None:
        return None
    hosts = tuple(
        msgspec.structs.replace(host, rdma=host.rdma[:number]) for host in file.hosts[:number]
    )
    return msgspec.structs.replace(file, hosts=hosts)
