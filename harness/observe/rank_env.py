"""The rank of a process in its job, as the launcher names it."""

from __future__ import annotations

from collections.abc import Mapping

import psutil

from harness.inject.inside.writer import RANKS

CUDA = "CUDA_VISIBLE_DEVICES"
GPUS = "HARNESS_GPUS"
"""The GPUs that the whole job may use, as CUDA_VISIBLE_DEVICES had them."""


def variables(pid: int) -> Mapping[str, str]:
    """The variables that process `pid` was started with; none when it cannot be asked.

    None also for a moment while it becomes another program: that one has its name by then, and not
    yet its variables (begin_new_exec and create_elf_tables in Linux's fs/exec.c, fs/binfmt_elf.c).
    """
    try:
        return psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return {}


def among(variables: Mapping[str, str]) -> int | None:
    """The rank that these variables name; None when they name none.

    What a rank starts inherits them: only the uppermost of a tree is the rank.
    """
    numbers = [variables[name] for name in RANKS if variables.get(name, "").isdecimal()]
    return int(numbers[0]) if numbers else None


def nccl(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that ranks need beside those of MLX's launcher, which gives each its own GPU.

    The launcher counts from GPU 0 whatever it was given itself: our worker takes the right one of
    the list. A rank that fails says why only if NCCL is asked to warn.
    """
    given = {GPUS: variables[CUDA]} if variables.get(CUDA) else {}
    return given | ({} if "NCCL_DEBUG" in variables else {"NCCL_DEBUG": "WARN"})


def own_gpu(variables: Mapping[str, str], rank: int) -> str | None:
    """The GPU of a rank, where its launcher has given it a wrong one; None where it has not."""
    names = [name.strip() for name in variables.get(GPUS, "").split(",") if name.strip()]
    return names[rank] if rank < len(names) else None
