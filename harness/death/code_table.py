"""The known errors of Metal, CUDA, NCCL, ring and MLX, as data: nothing else is in this module.

Each row names its source: the code that prints it, a public thread, or the maker's list of codes.
A row for another error goes into the part of its library. The first row that matches a line
counts, so special ones stand before general ones.
"""

from __future__ import annotations

from harness.model.death import ErrorCode

_MLX = "https://github.com/ml-explore/mlx"
_MAIN = f"{_MLX}/blob/main/mlx"
_NVIDIA = "https://docs.nvidia.com"
_CUDA = f"{_NVIDIA}/cuda/cuda-runtime-api/group__CUDART__TYPES.html"
_XID = "https://github.com/NVIDIA/open-gpu-kernel-modules/blob/main/src/common/sdk/nvidia/inc/nverror.h"
"""NVIDIA's own list of the numbers; those of mere events (63, 92) are no rows."""
_XIDS = f"{_NVIDIA}/deploy/xid-errors/analyzing-xid-catalog.html"
_PAGES = f"{_NVIDIA}/deploy/dynamic-page-retirement/visibility.html"
_CONTAINED = (
    f"{_NVIDIA}/deploy/a100-gpu-mem-error-mgmt/response-to-uncorrectable-contained-ecc-errors.html"
)
_NCCL = f"{_NVIDIA}/deeplearning/nccl/user-guide/docs/api/types.html"

METAL = (
    ErrorCode(
        code="metal_out_of_memory",
        pattern=r"kIOGPUCommandBufferCallbackErrorOutOfMemory|Insufficient Memory \(0*8[:)]",
        meaning="the GPU had no memory left for what was submitted at once",
        cure="Use a smaller batch or sequence, gradient checkpointing, or evaluate more often.",
        source=f"{_MLX}/pull/479",
    ),
    ErrorCode(
        code="metal_timeout",
        pattern=r"kIOGPUCommandBufferCallbackErrorTimeout|Caused GPU Timeout Error",
        meaning="one submission ran longer than macOS lets a GPU be used at a time",
        cure="Give the GPU less at once: a smaller batch, or a lower MLX_MAX_OPS_PER_BUFFER.",
        source="https://github.com/jundot/omlx/issues/2029",
    ),
    ErrorCode(
        code="metal_impacting_interactivity",
        pattern=r"kIOGPUCommandBufferCallbackErrorImpactingInteractivity|Impacting Interactivity",
        meaning="macOS took the GPU away, because the display had to wait for it",
        cure="Give the GPU less at once, or let the display sleep while it trains.",
        source=f"{_MLX}/issues/3267",
    ),
    ErrorCode(
        code="metal_hang",
        pattern=r"kIOGPUCommandBufferCallbackErrorHang|Caused GPU Hang Error",
        meaning="a kernel on the GPU did not come to an end, and macOS reset the GPU",
        cure="Upgrade MLX and macOS. Then find the operation: evaluate after each one.",
        source="https://github.com/Blaizzy/mlx-vlm/issues/1064",
    ),
    ErrorCode(
        code="metal_page_fault",
        pattern=r"kIOGPUCommandBufferCallbackErrorPageFault|Caused GPU Address Fault Error",
        meaning="a kernel on the GPU used an address that it may not use",
        cure="Look for an index out of range, as in take, gather or a kernel of your own.",
        source="https://github.com/Blaizzy/mlx-vlm/issues/1064",
    ),
    ErrorCode(
        code="metal_victim",
        pattern=r"kIOGPUCommandBufferCallbackErrorInnocentVictim|Discarded \(victim of GPU error",
        meaning="the GPU was reset because of an error of other work, perhaps of another program",
        cure="Look for the first error, also in other programs on this GPU, and start again.",
        source="https://github.com/cubist38/mlx-openai-server/issues/169",
        follows=True,
    ),
    ErrorCode(
        code="metal_ignored",
        pattern=r"kIOGPUCommandBufferCallbackErrorSubmissionsIgnored"
        r"|Ignored \(for causing prior/excessive GPU errors\)",
        meaning="macOS takes no more work of this process after its earlier errors on the GPU",
        cure="The first error counts: look above this line. Then start the process again.",
        source="https://github.com/flutter/flutter/issues/146011",
        follows=True,
    ),
    ErrorCode(
        code="metal_internal",
        pattern=r"Internal Error \(0000000e",
        meaning="Metal gave up a submission, most likely for a kernel that ran too long",
        cure="Give the GPU less at once: a smaller batch, or shorter sequences.",
        source=f"{_MLX}/issues/1231",
    ),
    ErrorCode(
        code="metal_resource_limit",
        pattern=r"\[metal::malloc\] Resource limit \(\d+\) exceeded",
        meaning="there are too many buffers at once; it counts buffers, not bytes",
        cure="Evaluate more often, so that the graph stays small, and call mx.clear_cache().",
        source=f"{_MLX}/pull/1718",
    ),
    ErrorCode(
        code="metal_buffer_too_large",
        pattern=r"\[metal::malloc\] Attempting to allocate \d+ bytes which is greater than",
        meaning="one array is larger than a buffer of Metal can be",
        cure="Make that array smaller: a smaller batch or sequence, or work on parts of it.",
        source="https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/2240",
    ),
    ErrorCode(
        code="metal_command_buffer",
        pattern=r"\[METAL\] Command buffer execution failed",
        meaning="Metal gave up a submission",
        cure="Give the GPU less at once: a smaller batch, or evaluate more often.",
        source=f"{_MAIN}/backend/metal/device.cpp",
    ),
    ErrorCode(
        code="metal_encoder",
        pattern=r"failed assertion [`'][^`']*(?:command encoder|command buffer)",
        meaning="two threads used one command buffer of Metal at the same time",
        cure="Let one thread alone evaluate on a stream.",
        source=f"{_MLX}/issues/4506",
    ),
)
"""Errors of Apple's GPUs."""

CUDA = (
    ErrorCode(
        code="cuda_out_of_memory",
        pattern=r"(?i)\bcuda\w*\b.{0,120}\bout of memory\b|cudaErrorMemoryAllocation"
        r"|CUDA_ERROR_OUT_OF_MEMORY",
        meaning="the GPU had no memory left",
        cure="Use a smaller batch or sequence, or gradient checkpointing. Look for other programs "
        "on this GPU.",
        source=_CUDA,
    ),
    ErrorCode(
        code="cuda_illegal_address",
        pattern=r"an illegal memory access was encountered|cudaErrorIllegalAddress"
        r"|CUDA_ERROR_ILLEGAL_ADDRESS",
        meaning="a kernel on the GPU used an address that it may not use, in this call or earlier",
        cure="Look for an index out of range. CUDA_LAUNCH_BLOCKING=1 names the call itself. MLX "
        "reports memory that is used up in this way too.",
        source=f"{_MLX}/issues/2821",
    ),
    ErrorCode(
        code="cuda_launch_failure",
        pattern=r"unspecified launch failure|cudaErrorLaunchFailure|CUDA_ERROR_LAUNCH_FAILED",
        meaning="a kernel on the GPU failed",
        cure="Set CUDA_LAUNCH_BLOCKING=1 to name the call, and look for an Xid in the kernel log.",
        source=_CUDA,
    ),
    ErrorCode(
        code="cuda_launch_timeout",
        pattern=r"the launch timed out and was terminated|cudaErrorLaunchTimeout",
        meaning="a kernel ran longer than a GPU with a display may be used at a time",
        cure="Use a GPU without a display, or smaller kernels.",
        source=_CUDA,
    ),
    ErrorCode(
        code="cuda_no_kernel_image",
        pattern=r"no kernel image is available for execution|cudaErrorNoKernelImageForDevice",
        meaning="the installed package was not built for this GPU",
        cure="Install the package for this GPU and this version of CUDA.",
        source=_CUDA,
    ),
    ErrorCode(
        code="cuda_driver_too_old",
        pattern=r"CUDA driver version is insufficient|cudaErrorInsufficientDriver",
        meaning="the driver is older than the CUDA runtime needs",
        cure="Upgrade the driver, or install the package for an older CUDA.",
        source=_CUDA,
    ),
    ErrorCode(
        code="cuda_no_device",
        pattern=r"no CUDA-capable device is detected|cudaErrorNoDevice",
        meaning="no GPU is seen",
        cure="Look at CUDA_VISIBLE_DEVICES, at nvidia-smi, and at the container's options.",
        source=_CUDA,
    ),
    ErrorCode(
        code="cuda_ecc",
        pattern=r"uncorrectable ECC error encountered|cudaErrorECCUncorrectable",
        meaning="the GPU's memory had an error that it could not correct",
        cure="Reset the GPU, and have it looked at if it comes again.",
        source=_CUDA,
    ),
    ErrorCode(
        code="xid_memory_fault",
        pattern=r"Xid(?: \([^)]*\))?: 31\b",
        meaning="a program used an address of the GPU that it may not use",
        cure="Look for an index out of range in this program.",
        source=_XID,
    ),
    ErrorCode(
        code="xid_off_the_bus",
        pattern=r"Xid(?: \([^)]*\))?: 79\b|GPU has fallen off the bus",
        meaning="the GPU does not answer any more",
        cure="Restart the machine. Look at its power, its heat and its slot.",
        source=_XID,
    ),
    ErrorCode(
        code="xid_ecc",
        pattern=r"Xid(?: \([^)]*\))?: (?:48|64)\b",
        meaning="the GPU's memory had an error that it could not correct",
        cure="Reset the GPU, and have it looked at if it comes again.",
        source=_PAGES,
    ),
    ErrorCode(
        code="xid_contained",
        pattern=r"Xid(?: \([^)]*\))?: 94\b",
        meaning="the GPU had an error that it could not correct; it ended the programs that it met",
        cure="Start the program again. Reset the GPU when nothing else runs on it.",
        source=_CONTAINED,
    ),
    ErrorCode(
        code="xid_uncontained",
        pattern=r"Xid(?: \([^)]*\))?: 95\b",
        meaning="the GPU had an error that it could not correct, nor keep to one program",
        cure="Reset the GPU, and have it looked at if it comes again.",
        source=_CONTAINED,
    ),
    ErrorCode(
        code="xid_nvlink",
        pattern=r"Xid(?: \([^)]*\))?: 74\b",
        meaning="a link between GPUs failed",
        cure="Restart the machine, and have the link looked at if it comes again.",
        source=_XID,
    ),
    ErrorCode(
        code="xid",
        pattern=r"NVRM: Xid\b",
        meaning="the driver of the GPU reported a failure",
        cure="Look its number up in NVIDIA's list.",
        source=_XIDS,
    ),
    ErrorCode(
        code="cuda_error",
        pattern=r"\bCUDA error\b|\bcu(?:da)?[A-Z]\w+(?:\(.*\))? failed: |\bcudaError[A-Z]\w+",
        meaning="a call of CUDA failed",
        cure="Set CUDA_LAUNCH_BLOCKING=1 to name the call that failed.",
        source=f"{_MAIN}/backend/cuda/utils.cpp",
    ),
)
"""Errors of NVIDIA's GPUs: CUDA's own, and the numbers of its driver in the kernel log."""

RANKS = (
    ErrorCode(
        code="nccl_remote",
        pattern=r"ncclRemoteError|NCCL.{0,80}remote process exited",
        meaning="another rank has ended, or the network between them failed",
        cure="Look for the rank that ended first. If none did, look at the network.",
        source=_NCCL,
        follows=True,
    ),
    ErrorCode(
        code="nccl_system",
        pattern=r"ncclSystemError|NCCL.{0,80}unhandled system error",
        meaning="the system refused NCCL a socket, shared memory or another device",
        cure="Set NCCL_DEBUG=WARN. Look at /dev/shm, at NCCL_SOCKET_IFNAME and at the firewall.",
        source=_NCCL,
    ),
    ErrorCode(
        code="nccl_cuda",
        pattern=r"ncclUnhandledCudaError|NCCL.{0,80}unhandled cuda error",
        meaning="a call of CUDA failed inside NCCL",
        cure="Set NCCL_DEBUG=WARN to see which one. Often the GPU has no memory left.",
        source=_NCCL,
    ),
    ErrorCode(
        code="nccl_usage",
        pattern=r"ncclInvalid(?:Usage|Argument)|NCCL.{0,80}invalid (?:usage|argument)",
        meaning="a call is not valid, as when two ranks have the same GPU or do not agree",
        cure="Give each rank a GPU of its own. Set NCCL_DEBUG=WARN.",
        source=_NCCL,
    ),
    ErrorCode(
        code="nccl_error",
        pattern=r"\bNCCL error\b|\bncclInternalError\b|NCCL WARN .*(?i:error|fail)",
        meaning="NCCL failed",
        cure="Set NCCL_DEBUG=WARN, which says more.",
        source=f"{_MAIN}/distributed/nccl/nccl.cpp",
    ),
    ErrorCode(
        code="ring_peer_lost",
        pattern=r"\[ring\] (?:connection to a peer was lost|Too many send/recv errors)",
        meaning="another rank has ended, and this one lost its connection",
        cure="Look for the rank that ended first.",
        source=f"{_MAIN}/distributed/ring/ring.cpp",
        follows=True,
    ),
    ErrorCode(
        code="ring_connect",
        pattern=r"\[ring\] Couldn't (?:connect|create socket to connect)|\[ring\] Accept failed",
        meaning="a rank could not reach its neighbor",
        cure="Look at the addresses in the hostfile, at the firewall, and at the other rank.",
        source=f"{_MAIN}/distributed/utils.cpp",
    ),
    ErrorCode(
        code="ring_bind",
        pattern=r"\[ring\] Couldn't (?:bind socket|listen|enable reuse)",
        meaning="a rank could not open the port that the hostfile gives it",
        cure="Use another --starting-port: an earlier run may still hold it.",
        source=f"{_MAIN}/distributed/utils.cpp",
    ),
    ErrorCode(
        code="ring_settings",
        pattern=r"\[ring\] (?:You need to provide via environment|Rank cannot be larger"
        r"|Rank \d+ has no sockets|It is required to have as many connections)",
        meaning="the ranks and the hostfile do not fit together",
        cure="Start the ranks with mlx.launch, and give as many hosts as ranks.",
        source=f"{_MAIN}/distributed/ring/ring.cpp",
    ),
    ErrorCode(
        code="jaccl_connection",
        pattern=r"\[jaccl\] (?:Changing queue pair|Send failed|Recv failed"
        r"|Creating the queue pair failed)",
        meaning="the connection over Thunderbolt could not be made, or was lost",
        cure="Look at the cables and at the device file. Then look for the rank that ended first.",
        source=f"{_MAIN}/distributed/jaccl",
    ),
    ErrorCode(
        code="jaccl_device",
        pattern=r"\[jaccl\] (?:Could not (?:find|open) device|No IPv4-mapped GID)",
        meaning="a device of the device file is not there, or has no address",
        cure="Compare the device file with what ibv_devices lists.",
        source=f"{_MAIN}/distributed/jaccl",
    ),
)
"""Errors of the connections between ranks."""

MLX = (
    ErrorCode(
        code="mlx_no_stream",
        pattern=r"There is no Stream\((?:gpu|cpu), \d+\) in current thread",
        meaning="a stream belongs to the thread that made it, and another thread uses it",
        cure="Make the stream, and evaluate, in one and the same thread.",
        source="https://github.com/ml-explore/mlx-lm/issues/1179",
    ),
    ErrorCode(
        code="mlx_malloc",
        pattern=r"\[malloc(?:_or_wait)?\] Unable to allocate \d+ bytes",
        meaning="there was no memory left for an array",
        cure="Use a smaller batch or sequence, or gradient checkpointing.",
        source=f"{_MLX}/issues/63",
    ),
    ErrorCode(
        code="mlx_compile_cpu",
        pattern=r"\[Compile::eval_cpu\] Failed to (?:compile|load compiled) function",
        meaning="MLX could not build or load a kernel for the CPU",
        cure="Install g++, make room in $TMPDIR, or set MLX_DISABLE_COMPILE=1.",
        source=f"{_MAIN}/backend/cpu/compiled.cpp",
    ),
    ErrorCode(
        code="mlx_metal_library",
        pattern=r"\[metal::Device\] Unable to (?:load|build)|Failed to load the default metallib",
        meaning="MLX could not load or build a kernel for Metal",
        cure="Install MLX again, and keep mlx and mlx-metal at the same version.",
        source=f"{_MAIN}/backend/metal/device.cpp",
    ),
)
"""Errors of MLX itself, on any device."""

SYSTEM = (
    ErrorCode(
        code="disk_full",
        pattern=r"No space left on device|Disk quota exceeded",
        meaning="a disk is full",
        cure="Make room, or write the checkpoints elsewhere.",
        source="https://man7.org/linux/man-pages/man3/errno.3.html",
    ),
    ErrorCode(
        code="file_too_large",
        pattern=r"\[Errno 27\] File too large",
        meaning="a file reached the size limit of the process (ulimit -f)",
        cure="Raise the limit with ulimit -f unlimited.",
        source="https://man7.org/linux/man-pages/man2/getrlimit.2.html",
    ),
    ErrorCode(
        code="too_many_files",
        pattern=r"\[Errno 24\] Too many open files|: Too many open files",
        meaning="the process reached its limit of open files (ulimit -n)",
        cure="Close what is opened in each step, or raise the limit with ulimit -n.",
        source="https://man7.org/linux/man-pages/man2/getrlimit.2.html",
    ),
    ErrorCode(
        code="out_of_memory",
        pattern=r"\b_?(?:Array)?MemoryError(?::|$)|std::bad_alloc|[Cc]annot allocate memory"
        r"|JavaScript heap out of memory|java\.lang\.OutOfMemoryError",
        meaning="the system had no memory for the process, or a limit of it was reached",
        cure="Use a smaller batch or sequence, or raise the limit (ulimit -v).",
        source="https://docs.python.org/3/library/exceptions.html#MemoryError",
    ),
)
"""Errors of the operating system."""

CODES: tuple[ErrorCode, ...] = (*METAL, *CUDA, *RANKS, *MLX, *SYSTEM)
"""All rows, in the order in which they are tried."""
