"""For each known issue a text that shows it, one that nearly does, and the releases around it.

The texts have the form of what MLX and Python print. Those of the issues that
`benchmarks/known_issues.py` runs are cut from what was printed there.
"""

from __future__ import annotations

from typing import NamedTuple


class Sample(NamedTuple):
    shows: str
    nearly: str
    bad: str
    """A release that has the issue."""
    good: str | None
    """A release without it; None: there is none."""


SITE = "/env/lib/python3.11/site-packages"


def trace(*frames: str, error: str, user: str = "main()") -> str:
    """A traceback from a user's line down through `file:function:source`."""
    lines = ["Traceback (most recent call last):", '  File "/home/train.py", line 3, in <module>']
    lines.append(f"    {user}")
    for frame in frames:
        file, function, source = frame.split(":", 2)
        lines += [f'  File "{SITE}/{file}", line 12, in {function}', f"    {source}"]
    return "\n".join([*lines, error])


def stack(*frames: str) -> str:
    """The stack of one thread as pystack writes it."""
    lines = ["Traceback for thread 12 (python) [] (most recent call last):"]
    for frame in frames:
        python = frame.startswith("py ")
        lines.append(
            '    (Python) File "{}/{}", line 9, in {}'.format(SITE, *frame[3:].split(":"))
            if python
            else f'    (C) File "???", line 0, in {frame} ({SITE}/mlx/lib/libmlx.so)'
        )
    return "\n".join(lines)


_STREAM = "mlx::core::scheduler::StreamThread::thread_fn()"
_LOOP = "nn/losses.py"
_VJP = "Use stop_gradient on indices to stop gradients from being computed."

WAITS: dict[str, Sample] = {
    "mlx#4100": Sample(
        stack(
            _STREAM,
            "void mlx::core::binary_op<int, int, mlx::core::detail::Power>(mlx::core::array)",
        ),
        stack(
            _STREAM,
            "void mlx::core::binary_op<float, float, mlx::core::detail::Power>(mlx::core::array)",
        ),
        "0.32.0",
        "0.32.1",
    ),
    "mlx#1976": Sample(
        stack(_STREAM, "mlx::core::allocator::malloc_or_wait(unsigned long)"),
        stack(_STREAM, "mlx::core::allocator::malloc(unsigned long)"),
        "0.24.0",
        "0.24.1",
    ),
    "mlx#1712": Sample(
        stack("mlx::core::metal::MetalAllocator::malloc(unsigned long)", "IOGPUResourceCreate"),
        stack("mlx::core::metal::MetalAllocator::malloc(unsigned long)"),
        "0.21.1",
        "0.22.0",
    ),
    "mlx-lm#1834": Sample(
        stack("py mlx_lm/server.py:_generate", "mlx::core::eval_impl(std::vector<>, bool)"),
        stack("py mlx_lm/generate.py:_step", "mlx::core::eval_impl(std::vector<>, bool)"),
        "0.31.3",
        None,
    ),
}

ERRORS: dict[str, Sample] = {
    "mlx#4060": Sample(
        "[ring] Receiving from socket 5 failed with errno 104\n"
        "[ring] Too many send/recv errors. Aborting...",
        "[ring] Receiving from socket 5 failed with errno 14\n"
        "[ring] Too many send/recv errors. Aborting...",
        "0.32.0",
        "0.32.1",
    ),
    "mlx#2821": Sample(
        "RuntimeError: cudaMallocManaged failed: an illegal memory access was encountered.",
        "RuntimeError: cudaLaunchKernel failed: an illegal memory access was encountered.",
        "0.30.0",
        None,
    ),
    "mlx#3742": Sample(
        "terminate called after throwing an instance of 'std::runtime_error'\n"
        "  what():  [Inverse::eval_cpu] LU factorization failed with error code 2",
        "RuntimeError: [Inverse::eval_cpu] LU factorization failed with error code 2",
        "0.32.0",
        "0.32.1",
    ),
    "mlx#3834": Sample(
        " ** On entry to SSYEVD parameter number  5 had an illegal value",
        "On entry to the function parameter number 5 had an illegal value",
        "0.31.2",
        "0.32.1",
    ),
    "mlx#4240": Sample(
        "RuntimeError: [Compile::eval_cpu] Failed to compile function Cu4IAbsADu4IBroadcastBEu4OAdd"
        "CD_VC_u4_10159970873491820195_contiguous: Failed to execute command",
        "RuntimeError: [Compile::eval_cpu] Failed to compile function Cf4IExpADf4IBroadcastBEf4OAdd"
        "CD_VC_f4_10159970873491820195_contiguous: Failed to execute command",
        "0.32.0",
        "0.32.1",
    ),
    "mlx#3165": Sample(
        trace(error="IndexError: _Map_base::at"),
        trace(error="IndexError: list index out of range"),
        "0.30.6",
        "0.31.0",
    ),
    "mlx#1160": Sample(
        trace(error="RuntimeError: [eval] Attempting to eval an array without a primitive."),
        trace(error="RuntimeError: [eval] Attempting to eval an array"),
        "0.32.4",
        None,
    ),
    "mlx#1401": Sample(
        trace(
            error="ValueError: [compile] Attempting to compile a function with uncaptured inputs is"
            " not allowed."
        ),
        trace(error="ValueError: [compile] Attempting to compile something else"),
        "0.32.4",
        "0.17.2",
    ),
    "mlx#712": Sample(
        trace(
            error="ValueError: [eval] Attempting to eval an array during function transformations "
            "like compile or vmap is not allowed."
        ),
        trace(error="ValueError: [eval] Attempting to eval an array"),
        "0.32.4",
        None,
    ),
    "mlx#3787": Sample(
        trace(
            error=f"ValueError: [scatter_axis] Cannot calculate VJP with respect to indices. {_VJP}"
        ),
        trace(error="ValueError: [gather] Cannot calculate the indices"),
        "0.32.4",
        None,
    ),
    "mlx#2345": Sample(
        trace(error="ValueError: [Primitive::vjp] Not implemented for ArgSort."),
        trace(error="ValueError: [Primitive::vjp] Not implemented for Argmax."),
        "0.26.3",
        "0.26.5",
    ),
    "mlx#3599": Sample(
        trace(error="RuntimeError: VJP is not implemented for cumulative min/max"),
        trace(error="RuntimeError: VJP is not implemented for this"),
        "0.31.2",
        "0.32.0",
    ),
    "mlx#3708": Sample(
        trace(
            user="mx.jvp(lambda x: mx.logsumexp(x, axis=-1), [x], [x])",
            error="ValueError: [squeeze] Cannot squeeze axis 1 with size 3 which is not 1.",
        ),
        trace(
            user="mx.logsumexp(x, axis=-1).squeeze(1)",
            error="ValueError: [squeeze] Cannot squeeze axis 1 with size 3 which is not 1.",
        ),
        "0.31.2",
        "0.32.0",
    ),
    "mlx#4200": Sample(
        trace(error="RuntimeError: [SliceUpdate] JVP for one argument not implemented yet."),
        trace(error="RuntimeError: [Slice] JVP not implemented yet."),
        "0.32.0",
        "0.32.1",
    ),
    "mlx#4125": Sample(
        trace(
            user='mx.einsum("...ij,...jk->...ik", a, b)',
            error="ValueError: [reshape] Cannot reshape array of size 30 into shape (1,3,5).",
        ),
        trace(
            user="x.reshape(1, 3, 5)",
            error="ValueError: [reshape] Cannot reshape array of size 30 into shape (1,3,5).",
        ),
        "0.32.0",
        "0.32.1",
    ),
    "mlx#4255": Sample(
        trace(
            error="TypeError: arange(): incompatible function arguments. The following argument "
            "types are supported:\n    1. arange(stop) -> array\n\nInvoked with types: int, int"
        ),
        trace(
            error="TypeError: arange(): incompatible function arguments. The following argument "
            "types are supported:\n    1. arange(start, stop) -> array\n\nInvoked with types: str"
        ),
        "0.32.0",
        "0.32.1",
    ),
    "mlx#3425": Sample(
        trace(error="ValueError: Shape dimension falls outside supported `int` range."),
        trace(error="ValueError: Shape dimension 3 does not match"),
        "0.32.4",
        None,
    ),
    "mlx#3327": Sample(
        trace(
            error="RuntimeError: [metal::malloc] Attempting to allocate 18446744069414600704 bytes "
            "which is greater than the maximum allowed buffer size of 86586540032 bytes."
        ),
        trace(
            error="RuntimeError: [metal::malloc] Attempting to allocate 48736917632 bytes which is "
            "greater than the maximum allowed buffer size of 30150672384 bytes."
        ),
        "0.31.1",
        None,
    ),
    "mlx#3845": Sample(
        trace(
            user="mx.conv_transpose2d(x, w)",
            error="RuntimeError: [metal::malloc] Attempting to allocate 48736917632 bytes which is "
            "greater than the maximum allowed buffer size of 30150672384 bytes.",
        ),
        trace(
            user="mx.conv2d(x, w)",
            error="RuntimeError: [metal::malloc] Attempting to allocate 48736917632 bytes which is "
            "greater than the maximum allowed buffer size of 30150672384 bytes.",
        ),
        "0.32.0",
        "0.32.1",
    ),
    "mlx#2724": Sample(
        "RuntimeError: cudaGraphAddKernelNode(&node, graph_, NULL, 0, &params) failed: invalid "
        "argument",
        "RuntimeError: cudaGraphLaunch(graph) failed: invalid argument",
        "0.29.3",
        None,
    ),
    "mlx#3743": Sample(
        trace(
            "mlx/nn/layers/base.py:update_modules:_update_modules(self, modules, strict)",
            "mlx/nn/layers/base.py:_update_modules:current_value = dst[i]",
            error="IndexError: list index out of range",
        ),
        trace(
            "mlx/nn/layers/containers.py:__call__:self.layers[9]",
            error="IndexError: list index out of range",
        ),
        "0.31.2",
        "0.32.0",
    ),
    "mlx#3214": Sample(
        trace(
            "mlx/nn/layers/base.py:load_weights:self.update(tree_unflatten(weights), strict=False)",
            "mlx/nn/layers/base.py:update:apply(self, parameters)",
            "mlx/nn/layers/base.py:apply:current_value = dst[i]",
            error="IndexError: list index out of range",
        ),
        trace(
            "mlx/nn/layers/base.py:load_weights:weights[0]",
            error="IndexError: list index out of range",
        ),
        "0.31.0",
        "0.31.1",
    ),
    "mlx#4215": Sample(
        trace(
            "mlx/optimizers/optimizers.py:apply_gradients:tree = tree_merge(tree, part)",
            "mlx/utils.py:tree_merge:raise ValueError(",
            error="ValueError: Trees contain elements at the same locations but no merge function "
            "was provided",
        ),
        trace(
            "mlx/utils.py:tree_merge:raise ValueError(",
            error="ValueError: Trees contain elements at the same locations but no merge function "
            "was provided",
        ),
        "0.32.0",
        "0.32.1",
    ),
    "mlx#3652": Sample(
        trace(
            "mlx/optimizers/optimizers.py:apply_single:update = self._approximate_exp_moving_avg(",
            "mlx/optimizers/optimizers.py:_approximate_exp_moving_avg:return mx.matmul(",
            error="ValueError: [matmul] Last dimension of first input with shape (2,3,1) must "
            "match second to last dimension of second input with shape (1,2,4).",
        ),
        trace(
            "mlx/optimizers/optimizers.py:apply_single:return mx.matmul(",
            error="ValueError: [matmul] Last dimension of first input with shape (2,3,1) must "
            "match second to last dimension of second input with shape (1,2,4).",
        ),
        "0.31.2",
        "0.32.0",
    ),
    "mlx#3786": Sample(
        trace(error="TypeError: Module.__init__() got an unexpected keyword argument 'lambd'"),
        trace(error="TypeError: Module.__init__() got an unexpected keyword argument 'alpha'"),
        "0.31.2",
        "0.32.0",
    ),
    "mlx#3769": Sample(
        trace(
            "mlx/nn/layers/upsample.py:_interpolate:indices_fn(n, s)",
            "mlx/nn/layers/upsample.py:_scaled_indices:indices = (N - 1) / (M - 1)",
            error="ZeroDivisionError: division by zero",
        ),
        trace(
            "mlx/nn/layers/upsample.py:_interpolate:1 / scale",
            error="ZeroDivisionError: division by zero",
        ),
        "0.31.2",
        "0.32.0",
    ),
    "mlx#3651": Sample(
        trace(
            f"mlx/{_LOOP}:nll_loss:loss = -mx.take_along_axis(inputs, targets, axis).squeeze(-1)",
            error="ValueError: [squeeze] Cannot squeeze axis -1 with size 4 which is not 1.",
        ),
        trace(
            f"mlx/{_LOOP}:l1_loss:loss.squeeze(-1)",
            error="ValueError: [squeeze] Cannot squeeze axis -1 with size 4 which is not 1.",
        ),
        "0.31.2",
        "0.32.0",
    ),
    "mlx#2641": Sample(
        trace(
            f"mlx/{_LOOP}:cross_entropy:score = mx.take_along_axis(logits, targets).squeeze(-1)",
            error="ValueError: [squeeze] Cannot squeeze axis -1 with size 4 which is not 1.",
        ),
        trace(
            f"mlx/{_LOOP}:cross_entropy:raise ValueError(",
            error="ValueError: Targets shape (2, 4) does not match logits shape (2, 3, 4).",
        ),
        "0.29.2",
        "0.29.3",
    ),
    "mlx#3674": Sample(
        trace(
            "mlx/utils.py:tree_map_with_path:return TreeType(",
            error="TypeError: State.__new__() missing 1 required positional argument: 'b'",
        ),
        trace(
            "mlx/utils.py:tree_map_with_path:return fn(path, tree)",
            error="TypeError: f() missing 1 required positional argument: 'b'",
        ),
        "0.31.2",
        "0.32.0",
    ),
    "mlx#3727": Sample(
        trace(error="RuntimeError: There is no Stream(cpu, 0) in current thread."),
        trace(error="RuntimeError: There is no current event loop in thread 'Thread-1'."),
        "0.32.0",
        "0.31.1",
    ),
    "mlx#4276": Sample(
        "[ring] Receiving from socket 51 failed with errno 14",
        "[ring] Receiving from socket 51 failed with errno 104",
        "0.32.0",
        None,
    ),
    "mlx#3755": Sample(
        trace(error="RuntimeError: [ring] Couldn't connect (error: 65)"),
        trace(error="RuntimeError: [ring] Couldn't connect (error: 61)"),
        "0.32.0",
        None,
    ),
    "mlx#3849": Sample(
        trace(error="RuntimeError: [metal::malloc] Resource limit (499000) exceeded."),
        trace(error="RuntimeError: [metal::malloc] Unable to allocate 499000 bytes."),
        "0.32.0",
        "0.21.1",
    ),
    "mlx#4464": Sample(
        trace(
            "mlx_lm/tuner/trainer.py:train:mx.eval(state, losses)",
            error="RuntimeError: [metal::malloc] Resource limit (499000) exceeded.",
        ),
        trace(error="RuntimeError: [metal::malloc] Resource limit (499000) exceeded."),
        "0.32.2",
        None,
    ),
    "mlx#1231": Sample(
        "libc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] "
        "Command buffer execution failed: Internal Error (0000000e:Internal Error)",
        "libc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] "
        "Command buffer execution failed: Caused GPU Hang Error (00000003)",
        "0.32.0",
        None,
    ),
    "mlx#479": Sample(
        "libc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] "
        "Command buffer execution failed: Insufficient Memory "
        "(00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
        "libc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] "
        "Command buffer execution failed: Caused GPU Hang Error (00000003)",
        "0.31.3",
        "0.0.9",
    ),
    "mlx-lm#1786": Sample(
        trace(
            "mlx_lm/tuner/trainer.py:step:loss_value_and_grad(model, *batch)",
            error=f"ValueError: [gather_axis] Cannot calculate VJP with respect to indices. {_VJP}",
        ),
        trace(
            error=f"ValueError: [gather_axis] Cannot calculate VJP with respect to indices. {_VJP}",
        ),
        "0.31.3",
        "0.32.0",
    ),
    "mlx-lm#1181": Sample(
        trace(
            "mlx_lm/generate.py:prompt:mx.eval([c.state for c in self.prompt_cache])",
            error="RuntimeError: There is no Stream(gpu, 0) in current thread.",
        ),
        trace(
            "own/generate.py:prompt:mx.eval([c.state for c in self.prompt_cache])",
            error="RuntimeError: There is no Stream(gpu, 0) in current thread.",
        ),
        "0.31.2",
        "0.31.3",
    ),
    "mlx-lm#831": Sample(
        trace(
            "mlx_lm/server.py:_generate:responses = batch_generator.next()",
            error="RuntimeError: [metal::malloc] Resource limit (499000) exceeded.",
        ),
        trace(error="RuntimeError: [metal::malloc] Resource limit (499000) exceeded."),
        "0.30.5",
        "0.30.6",
    ),
    "mlx-lm#1165": Sample(
        trace(
            "mlx_lm/models/cache.py:nbytes:return tree_reduce(",
            error="NameError: name 'tree_reduce' is not defined",
        ),
        trace(error="NameError: name 'tree_reduce' is not defined"),
        "0.31.2",
        "0.31.3",
    ),
    "mlx-lm#778": Sample(
        trace(
            'mlx_lm/utils.py:load_model:logging.error(f"No safetensors found in {model_path}")',
            error="NameError: name 'logging' is not defined",
        ),
        trace(error="NameError: name 'logging' is not defined"),
        "0.30.4",
        "0.30.5",
    ),
    "mlx-lm#1743": Sample(
        trace(
            "mlx_lm/fuse.py:main:convert_to_gguf(model_path, weights, config)",
            error="ValueError: [save_gguf] can only serialize row-major arrays",
        ),
        trace(error="ValueError: [save_gguf] can only serialize row-major arrays"),
        "0.31.3",
        "0.32.0",
    ),
    "mlx-lm#1467": Sample(
        trace(
            "mlx_lm/models/base.py:quantized_scaled_dot_product_attention:scores = mx.where(mask,",
            error="ValueError: [broadcast_shapes] Shapes (2,1,16,16) and (2,2,4,16,16) cannot be "
            "broadcast.",
        ),
        trace(
            "mlx_lm/models/base.py:scaled_dot_product_attention:scores = mx.where(mask,",
            error="ValueError: [broadcast_shapes] Shapes (2,1,16,16) and (2,2,4,16,16) cannot be "
            "broadcast.",
        ),
        "0.31.3",
        "0.32.0",
    ),
    "mlx-lm#1141": Sample(
        trace(
            "mlx_lm/models/cache.py:extend:dynamic_roll(k, left)",
            "mlx_lm/models/cache.py:dynamic_roll:idx = (mx.arange(n) - shifts) % n",
            error="ValueError: [broadcast_shapes] Shapes (3,8) and (2,1) cannot be broadcast.",
        ),
        trace(
            "mlx_lm/models/cache.py:extend:k + left",
            error="ValueError: [broadcast_shapes] Shapes (3,8) and (2,1) cannot be broadcast.",
        ),
        "0.31.2",
        "0.31.3",
    ),
}

ALSO = {
    "mlx#3787": {"mlx-lm#1786"},
    "mlx#3727": {"mlx-lm#1181"},
    "mlx#3849": {"mlx#4464", "mlx-lm#831"},
}
"""The issues whose samples show the general one as well."""
