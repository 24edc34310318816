"""A kernel that keeps an NVIDIA GPU busy for as long as one likes, and a wait for an idle one."""

import ctypes

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
ASIDE, WAITS_ASLEEP, NO_TIMES, IS_EQUAL = 1, 1, 2, 1
"""CU_STREAM_NON_BLOCKING, CU_EVENT_BLOCKING_SYNC and _DISABLE_TIMING, CU_STREAM_WAIT_VALUE_EQ."""


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


def wait_for_nobody():
    """Wait for a stream whose work waits for a word in memory that nobody writes."""
    cuda = ctypes.CDLL("libcuda.so.1")
    context, stream, event = (ctypes.c_void_p() for _ in range(3))
    word = ctypes.c_uint64()
    for name, *given in (
        ("cuInit", 0),
        ("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0),
        ("cuCtxSetCurrent", context),
        ("cuMemAlloc_v2", ctypes.byref(word), ctypes.c_size_t(4)),
        ("cuMemsetD32_v2", word, 0, ctypes.c_size_t(1)),
        ("cuStreamCreate", ctypes.byref(stream), ASIDE),
        ("cuEventCreate", ctypes.byref(event), WAITS_ASLEEP | NO_TIMES),
        ("cuStreamWaitValue32_v2", stream, word, 1, IS_EQUAL),
        ("cuEventRecord", event, stream),
        ("cuEventSynchronize", event),
    ):
        code = getattr(cuda, name)(*given)
        if code:
            raise RuntimeError(f"{name} fails with {code}")


def on_cuda():
    """True if MLX computes on an NVIDIA GPU."""
    return hasattr(mx, "cuda") and mx.cuda.is_available() and mx.default_device().type == mx.gpu


def skip_on_cuda(why):
    """MLX's build for NVIDIA GPUs does some things otherwise, on the CPU too."""
    if hasattr(mx, "cuda") and mx.cuda.is_available():
        raise SkipError(why)
