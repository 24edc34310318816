"""Work for an NVIDIA GPU that lasts as long as one likes, and the steps of a training before it."""

import ctypes
import time

import mlx.core as mx

SOURCE = """
    unsigned long long began, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(began));
    do {
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    } while (now - began < (unsigned long long)lasts[0]);
    out[0] = 1.0f;
"""


def kernel(seconds):
    """A lazy scalar that one kernel computes for so long."""
    (out,) = mx.fast.cuda_kernel("lasts", ["lasts"], ["out"], SOURCE)(
        inputs=[mx.array([int(seconds * 1e9)], dtype=mx.int64)],
        grid=(1, 1, 1),
        threadgroup=(1, 1, 1),
        output_shapes=[(1,)],
        output_dtypes=[mx.float32],
    )
    return out


def steps(first, last):
    """Some short steps of a training, with their lines."""
    weights = mx.random.normal((512, 512))
    for step in range(first, last):
        weights = weights - 0.01 * (weights @ weights.T) @ weights / 512
        mx.eval(weights)
        print(f"step {step} loss {2 - step * 0.05:.3f}", flush=True)
        time.sleep(0.2)


def never_told():
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
        ("cuStreamCreate", ctypes.byref(stream), 1),
        ("cuEventCreate", ctypes.byref(event), 3),
        ("cuStreamWaitValue32_v2", stream, word, 1, 1),
        ("cuEventRecord", event, stream),
        ("cuEventSynchronize", event),
    ):
        if code := getattr(cuda, name)(*given):
            raise RuntimeError(f"{name} fails with {code}")


def on_the_cpu(seconds):
    """A lazy scalar for which the CPU factorizes matrices, for so long or a little longer."""

    def factorized():
        return mx.linalg.svd(mx.random.normal((size, size)), stream=mx.cpu)[1].sum()

    size, took = 128, 0.0
    while took < 0.5:
        size = int(1.5 * size)
        began = time.monotonic()
        mx.eval(factorized())
        took = time.monotonic() - began
    return sum((factorized() for _ in range(int(seconds / took) + 1)), mx.zeros((1,)))
