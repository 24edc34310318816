"""The machine and the versions a run was made with. Reads files and metadata; never imports mlx."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping

import msgspec

from harness.model import Environment
from harness.model.settings import Interpreter
from harness.observe import memory_limits, psutil_memory
from harness.observe.macos import developer, power

NOT_KNOWN = "not known"
"""In place of a version that nobody has told."""
NCCL = ("nvidia-nccl-cu13", "nvidia-nccl-cu12")
PACKAGES = (
    "mlx",
    "mlx-cpu",
    "mlx-cuda",
    "mlx-cuda-12",
    "mlx-cuda-13",
    "mlx-metal",
    "mlx-lm",
    *NCCL,
)
VARIABLES = (
    "MLX_DISABLE_COMPILE", "MLX_MAX_OPS_PER_BUFFER", "MLX_MAX_MB_PER_BUFFER",
    "MLX_METAL_FAST_SYNCH", "MLX_METAL_GPU_ARCH", "MLX_PTX_CACHE_DIR", "MLX_NCCL_TIMEOUT",
    "MLX_BFS_MAX_WIDTH", "MLX_ENABLE_TF32", "MLX_RESIDENCY_SET_MAX_PCT", "MLX_USE_CUDA_GRAPHS",
    "MLX_CUDA_USE_CUDNN_SDPA", "AGX_RELAX_CDM_CTXSTORE_TIMEOUT", "HARNESS_FLIP",
    "TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NCCL_ALGO", "NCCL_BUFFSIZE", "NCCL_CUMEM_ENABLE", "NCCL_DEBUG", "NCCL_IB_DISABLE",
    "NCCL_IB_GID_INDEX", "NCCL_IB_HCA", "NCCL_IB_RETRY_CNT", "NCCL_IB_TIMEOUT", "NCCL_LAUNCH_MODE",
    "NCCL_MAX_NCHANNELS", "NCCL_MIN_NCHANNELS", "NCCL_NET", "NCCL_NET_GDR_LEVEL",
    "NCCL_NVLS_ENABLE", "NCCL_P2P_DISABLE", "NCCL_P2P_LEVEL", "NCCL_PROTO", "NCCL_SHM_DISABLE",
    "NCCL_SOCKET_FAMILY", "NCCL_SOCKET_IFNAME", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING",
)  # fmt: skip
"""The variables that change how MLX and NCCL run, named one by one: nothing else is ever
published. CUDA_VISIBLE_DEVICES is none of them, for it may name a GPU by its serial number."""


def gather(device: str | None = None) -> Environment:
    """This machine as it is now, and what is installed beside the harness; `device` as a worker
    reported it."""
    return msgspec.structs.replace(
        of_nobody(),
        python=platform.python_version(),
        versions={name: installed for name in PACKAGES if (installed := version(name))},
        device=device,
    )


def of_nobody() -> Environment:
    """This machine as it is now, without the versions that are installed beside the harness.

    What a command runs is known once it has been seen.
    """
    memory, usable = psutil_memory.memory(), memory_limits.usable()
    return Environment(
        platform=_platform(),
        machine=platform.machine(),
        python=NOT_KNOWN,
        cpu_count=os.cpu_count() or 1,
        memory=memory.total,
        swap=memory.swap_total,
        usable_memory=usable.memory,
        usable_of=usable.bound,
        versions={},
        compiler=compiler(),
        variables={name: os.environ[name] for name in VARIABLES if name in os.environ},
        mac=power.read() if sys.platform == "darwin" else None,
    )


def on_device(environment: Environment, device: str, memory: int | None) -> Environment:
    """`environment` for the device that a worker reported, and what MLX told of its memory."""
    usable = memory_limits.usable(device, memory)
    return msgspec.structs.replace(
        environment, device=device, usable_memory=usable.memory, usable_of=usable.bound
    )


def of_command(environment: Environment, versions: Mapping[str, str]) -> Environment:
    """`environment` with the `versions` that a command ran, `python` among them.

    Where several commands ran different ones, each is named.
    """
    known = {"python": environment.python, **environment.versions}
    if environment.python == NOT_KNOWN:
        del known["python"]
    for name, value in versions.items():
        before = str(known.get(name) or "")
        every = [*filter(None, before.split(" and ")), value]
        known[name] = " and ".join(dict.fromkeys(every))
    python = known.pop("python", None) or NOT_KNOWN
    return msgspec.structs.replace(environment, python=python, versions=known)


def of_interpreter(environment: Environment, interpreter: Interpreter) -> Environment:
    """`environment` with the versions of another Python."""
    versions = {name: interpreter.versions.get(name) for name in PACKAGES}
    return msgspec.structs.replace(
        environment,
        python=interpreter.version,
        versions={name: version for name, version in versions.items() if version},
    )


def version(distribution: str) -> str | None:
    """The installed version of a distribution, or None."""
    # It imports a parser of mail and more: a tenth of a short `watch`, which asks for none.
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def compiler() -> str | None:
    """First line of `g++ --version`: what MLX's CPU backend builds its kernels with."""
    path = shutil.which("g++")
    if path is not None and sys.platform == "darwin":
        path = developer.program(path)
    if path is None:
        return None
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.partition("\n")[0].strip() or None


def _platform() -> str:
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    return f"{platform.system()} {platform.release()}"
