"""The host waits for a GPU that has nothing to do: its work waits for a word that nobody writes."""

import ctypes

from _event import in_step
from _gpu import on_cuda

from harness.errors import SkipError

VERDICT = {"outcome": "hung", "cause": "stalled", "step": 3}
ASIDE, WAITS_ASLEEP, NO_TIMES, IS_EQUAL = 1, 1, 2, 1
"""CU_STREAM_NON_BLOCKING, CU_EVENT_BLOCKING_SYNC and _DISABLE_TIMING, CU_STREAM_WAIT_VALUE_EQ."""


def wait_for_nobody():
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


def make_step(training):
    if not on_cuda():
        raise SkipError("needs an NVIDIA GPU")
    return in_step(training, wait_for_nobody)
