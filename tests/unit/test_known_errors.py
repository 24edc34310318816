"""The table of known errors: what each row matches, and what it must not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.death import codes
from harness.death.code_table import CODES

METAL = "[METAL] Command buffer execution failed: "
EXAMPLES = {
    "metal_out_of_memory": f"{METAL}Insufficient Memory "
    "(00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
    "metal_timeout": f"{METAL}Caused GPU Timeout Error "
    "(00000002:kIOGPUCommandBufferCallbackErrorTimeout).",
    "metal_impacting_interactivity": f"{METAL}Impacting Interactivity (0000000e:"
    "kIOGPUCommandBufferCallbackErrorImpactingInteractivity)",
    "metal_hang": f"{METAL}Caused GPU Hang Error (00000003:kIOGPUCommandBufferCallbackErrorHang)",
    "metal_page_fault": f"{METAL}Caused GPU Address Fault Error "
    "(0000000b:kIOGPUCommandBufferCallbackErrorPageFault)",
    "metal_victim": f"{METAL}Discarded (victim of GPU error/recovery) "
    "(00000005:kIOGPUCommandBufferCallbackErrorInnocentVictim)",
    "metal_ignored": f"{METAL}Ignored (for causing prior/excessive GPU errors) "
    "(00000004:kIOGPUCommandBufferCallbackErrorSubmissionsIgnored)",
    "metal_internal": f"{METAL}Internal Error (0000000e:Internal Error)",
    "metal_resource_limit": "RuntimeError: [metal::malloc] Resource limit (499000) exceeded.",
    "metal_buffer_too_large": "[metal::malloc] Attempting to allocate 48736917632 bytes which is "
    "greater than the maximum allowed buffer size of 30150672384 bytes.",
    "metal_command_buffer": f"{METAL}something new",
    "metal_encoder": "-[AGXG13 tryCoalescing]: failed assertion `A command encoder is already "
    "encoding to this command buffer'",
    "cuda_out_of_memory": "RuntimeError: cudaMallocAsync(&data, size) failed: out of memory",
    "cuda_illegal_address": "cudaFreeAsync(x) failed: an illegal memory access was encountered",
    "cuda_launch_failure": "CUDA error: unspecified launch failure",
    "cuda_launch_timeout": "CUDA error: the launch timed out and was terminated",
    "cuda_no_kernel_image": "no kernel image is available for execution on the device",
    "cuda_driver_too_old": "CUDA driver version is insufficient for CUDA runtime version",
    "cuda_no_device": "no CUDA-capable device is detected",
    "cuda_ecc": "uncorrectable ECC error encountered",
    "xid_memory_fault": "NVRM: Xid (PCI:0000:65:00): 31, pid=12, name=python, Ch 00000008",
    "xid_off_the_bus": "NVRM: Xid (PCI:0000:65:00): 79, GPU has fallen off the bus.",
    "xid_ecc": "NVRM: Xid (PCI:0000:65:00): 48, pid=12, An uncorrectable double bit error (DBE)",
    "xid_contained": "NVRM: Xid (PCI:0000:65:00): 94, Contained: CE User Channel",
    "xid_uncontained": "NVRM: Xid (PCI:0000:65:00): 95, Uncontained: FBHUB",
    "xid_nvlink": "NVRM: Xid (PCI:0000:65:00): 74, NVLink: fatal error",
    "xid": "NVRM: Xid (PCI:0000:65:00): 13, Graphics Exception",
    "cuda_error": "RuntimeError: cudaMemcpyAsync(dst, src) failed: invalid argument",
    "nccl_remote": "NCCL error nccl.cpp:9 'remote process exited or there was a network error'",
    "nccl_system": "NCCL error nccl.cpp:9 'unhandled system error (run with NCCL_DEBUG=INFO)'",
    "nccl_cuda": "NCCL error nccl.cpp:9 'unhandled cuda error'",
    "nccl_usage": "NCCL error nccl.cpp:9 'invalid usage'",
    "nccl_error": "NCCL error nccl.cpp:9 'internal error'",
    "ring_peer_lost": "RuntimeError: [ring] connection to a peer was lost",
    "ring_connect": "RuntimeError: [ring] Couldn't connect (error: 111)",
    "ring_bind": "RuntimeError: [ring] Couldn't bind socket (error: 98)",
    "ring_settings": "[ring] Rank cannot be larger than the size of the group",
    "jaccl_connection": "[jaccl] Changing queue pair to RTR failed with errno 60",
    "jaccl_device": "[jaccl] Could not find device rdma_en5 (2 devices)",
    "mlx_no_stream": "RuntimeError: There is no Stream(gpu, 1) in current thread.",
    "mlx_malloc": "[malloc] Unable to allocate 40000000000 bytes.",
    "mlx_compile_cpu": "[Compile::eval_cpu] Failed to compile function abc: no g++",
    "mlx_metal_library": "[metal::Device] Unable to load kernel steel_gemm",
    "disk_full": "OSError: [Errno 28] No space left on device",
    "file_too_large": "OSError: [Errno 27] File too large",
    "too_many_files": "OSError: [Errno 24] Too many open files: 'a'",
    "out_of_memory": "std::bad_alloc",
}


@pytest.mark.parametrize("row", CODES, ids=lambda row: row.code)
def test_each_row_matches_its_error_and_no_other_row_comes_first(row):
    found = codes.match(EXAMPLES[row.code])
    assert found is not None
    assert found.code == row.code


@pytest.mark.parametrize(
    "line",
    ["MemoryError", "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8.00 PiB",
     "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
     "java.lang.OutOfMemoryError: Java heap space"],
)  # fmt: skip
def test_memory_that_is_used_up(line):
    assert codes.match(line).code == "out_of_memory"


@pytest.mark.parametrize("number", [63, 92])
def test_an_event_of_the_memory_is_no_failure_of_it(number):
    """NVIDIA's driver numbers what it has mended as well."""
    line = f"NVRM: Xid (PCI:0000:65:00): {number}, Row Remapper: New row marked for remapping"
    assert codes.match(line).code == "xid"


def test_codes_are_unique_and_each_row_says_all():
    assert len({row.code for row in CODES}) == len(CODES)
    for row in CODES:
        assert row.source.startswith("https://")
        assert row.cure.endswith(".")
        assert not row.meaning.endswith(".")


@pytest.mark.parametrize(
    "line",
    ["step 12 loss 0.31 memory 4.2 GB", "using CUDA device 0", "NCCL version 2.28.9",
     "cuda: 12.4, cudnn: 9", "MemoryError handling is on", "wired limit: 8 GB", "ring backend",
     "Impact on interactivity: none", "NCCL INFO Bootstrap : Using eth0", "disk quota: 5 GB",
     "ValueError: bad shape", "the device has 31 SMs", "saving 24 files"],
)  # fmt: skip
def test_ordinary_lines_match_none(line):
    assert codes.match(line) is None


def test_the_first_error_counts_and_not_those_that_follow_from_it():
    lines = [EXAMPLES["metal_ignored"], EXAMPLES["metal_timeout"], EXAMPLES["metal_victim"]]
    found = codes.search(lines)
    assert found is not None
    assert found[0].code == "metal_timeout"
    alone = codes.search([EXAMPLES["metal_victim"]])
    assert alone is not None
    assert alone[0].code == "metal_victim"
    assert codes.search(["nothing"]) is None


def test_the_docs_have_each_row():
    page = Path(__file__).parents[2] / "docs" / "reference" / "verdicts" / "crashes.md"
    text = page.read_text(encoding="utf-8")
    rows = [f"| `{row.code}` | {row.meaning} | {row.cure} |" for row in CODES]
    assert [row for row in rows if row not in text] == []
    assert len(re.findall(r"^\| `[a-z_]+` \| [a-z]", text, re.MULTILINE)) >= len(rows)
