"""A kernel that keeps an NVIDIA GPU busy for as long as one likes."""

import mlx.core as mx

from harness.errors import SkipError

FOR_EVER_NS = 1 << 62
SOURCE = """
    unsigned long long began, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(began));
    do {
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    } while (now - began < (unsigned long long)lasts[0]);
    out[0] = 1.0f;
"""


def busy(nanoseconds):
    """A lazy scalar whose evaluation takes so long on the GPU, and nothing on the host."""
    if not on_cuda():
        raise SkipError("needs an NVIDIA GPU")
    kernel = mx.fast.cuda_kernel("busy", ["lasts"], ["out"], SOURCE)
    (out,) = kernel(
        inputs=[mx.array([nanoseconds], dtype=mx.int64)],
        grid=(1, 1, 1),
        threadgroup=(1, 1, 1),
        output_shapes=[(1,)],
        output_dtypes=[mx.float32],
    )
    return out


def on_cuda():
    """True if MLX computes on an NVIDIA GPU."""
    return hasattr(mx, "cuda") and mx.cuda.is_available() and mx.default_device().type == mx.gpu


def skip_on_cuda(why):
    """MLX's build for NVIDIA GPUs does some things otherwise, on the CPU too."""
    if hasattr(mx, "cuda") and mx.cuda.is_available():
        raise SkipError(why)
