"""The flips of the environment ladder, as data: what is changed, where, and why it could cure.

The variables and the releases that know them are those of MLX's own source.
"""

from __future__ import annotations

from typing import NamedTuple

from harness.inject.inside.flips import FLIP

METAL, CUDA, CPU = "metal", "cuda", "cpu"
"""The backends, as `harness.observe.installation.backend` names them."""
GPUS = (METAL, CUDA)


class Flip(NamedTuple):
    """One change of the environment of a training."""

    name: str
    """The name of its runs."""
    change: str
    """The change, as a person would write it."""
    why: str
    """The reason why it could cure something: the end of a sentence."""
    variable: str = ""
    """The environment variable; empty where the hook does it."""
    value: str = ""
    backends: tuple[str, ...] = ()
    """The machines that it can change anything on; empty: all."""
    since: str | None = None
    """The first release of MLX that knows it."""

    @property
    def variables(self) -> dict[str, str]:
        """The variables that are set for its runs."""
        return {self.variable: self.value} if self.variable else {FLIP: self.name}

    @property
    def hooked(self) -> bool:
        """True if the hook does it, so that it is known whether there was anything to change."""
        return not self.variable


def _set(name: str, variable: str, value: str, why: str, *backends: str,
         since: str | None = None) -> Flip:  # fmt: skip
    return Flip(name, f"{variable}={value}", why, variable, value, backends, since)


FLIPS: tuple[Flip, ...] = (
    _set("no_compile", "MLX_DISABLE_COMPILE", "1",
         "no function is compiled, so that no stale graph and no fused kernel takes part"),
    Flip("device_cpu", "mx.set_default_device(mx.cpu)",
         "no GPU, no driver and no command buffer takes part", backends=GPUS),
    _set("other_synch", "MLX_METAL_FAST_SYNCH", "1",
         "streams wait for each other by a fence in memory and not by an event", METAL,
         since="0.22.1"),
    _set("one_op_per_buffer", "MLX_MAX_OPS_PER_BUFFER", "1",
         "each operation is committed by itself, so that no command buffer is long", *GPUS),
    _set("one_mb_per_buffer", "MLX_MAX_MB_PER_BUFFER", "1",
         "a command buffer is committed before it holds much memory", *GPUS, since="0.23.0"),
    _set("depth_first", "MLX_BFS_MAX_WIDTH", "1",
         "operations are evaluated in another order, which needs less memory at a time",
         since="0.21.0"),
    Flip("no_cache", "mx.set_cache_limit(0)",
         "freed memory goes back to the system at once, and no array gets a used buffer"),
    Flip("no_wiring", "mx.set_wired_limit does nothing",
         "no memory is wired, so that the system may move what it needs", backends=(METAL,)),
    _set("one_residency_set", "MLX_RESIDENCY_SET_MAX_PCT", "100",
         "wired memory lies in one residency set", METAL, since="0.32.1"),
    _set("long_kernels", "AGX_RELAX_CDM_CTXSTORE_TIMEOUT", "1",
         "the driver gives a long kernel more time before it ends it", METAL),
    _set("no_tf32", "MLX_ENABLE_TF32", "0",
         "matrix products keep the precision of float32", *GPUS, since="0.26.2"),
    _set("no_cuda_graphs", "MLX_USE_CUDA_GRAPHS", "0",
         "kernels are launched one by one and not as a graph", CUDA, since="0.29.0"),
    _set("no_cudnn_attention", "MLX_CUDA_USE_CUDNN_SDPA", "0",
         "attention takes MLX's own kernel and not that of cuDNN", CUDA, since="0.31.0"),
    _set("blocking_launches", "CUDA_LAUNCH_BLOCKING", "1",
         "each kernel is waited for, so that no two of them race", CUDA),
    Flip("one_worker", "pools and loaders of Python get 1 worker",
         "no two workers wait for each other or share what they should not"),
    Flip("spawned_workers", "multiprocessing starts its processes by spawn",
         "a worker is not forked, so that it inherits no lock that a thread held"),
    _set("no_tokenizer_threads", "TOKENIZERS_PARALLELISM", "false",
         "the tokenizer has no threads that a forked worker would miss"),
    _set("one_omp_thread", "OMP_NUM_THREADS", "1",
         "loops of OpenMP have no threads that a forked worker would miss"),
    _set("one_blas_thread", "OPENBLAS_NUM_THREADS", "1",
         "OpenBLAS has no threads that compete or wait for each other", CPU, CUDA),
    _set("one_veclib_thread", "VECLIB_MAXIMUM_THREADS", "1",
         "Accelerate has no threads that compete or wait for each other", METAL),
)  # fmt: skip
