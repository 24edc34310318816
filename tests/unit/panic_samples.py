"""Panic reports in the form in which people have published them, made up in every detail."""

from __future__ import annotations

import json

BOOT, AT = 0x69E50000, 0x69E53000


def text(said, task="python3.12", kexts=(), compressor="OK", at=AT, boot=BOOT, pid=612):
    """The text of a panic on Apple silicon."""
    listed = "".join(
        f"         {name}(130.13)[0A1B2C3D-0000-1111-2222-333344445555]@0xfffffe00->0xfffffe01\n"
        f"            dependency: com.apple.iokit.IOSurface(393.5.7)[0A1B2C3D]@0xfffffe02\n"
        for name in kexts
    )
    swap = "OK" if compressor == "OK" else "LOW"
    return (
        f"panic(cpu 7 caller 0xfffffe0012345678): {said}\n"
        "Debugger message: panic\nMemory ID: 0x6\nOS release type: User\nOS version: 25E246\n"
        "Kernel version: Darwin Kernel Version 25.4.0: Thu Mar 19 19:31:09 PDT 2026; "
        "root:xnu-12377.101.15~1/RELEASE_ARM64_T8132\n"
        "Boot session UUID: 00000000-1111-2222-3333-444444444444\nsecure boot?: YES\n"
        "Epoch Time:        sec       usec\n"
        f"  Boot    : {boot:#010x} 0x000480a2\n  Sleep   : 0x00000000 0x00000000\n"
        f"  Wake    : 0x00000000 0x00000000\n  Calendar: {at:#010x} 0x0004bfcc\n\n"
        "CORE 0 is the one that panicked. Check the full backtrace for details.\n"
        f"Compressor Info: 12% of compressed pages limit (OK) and 100% of segments limit "
        f"({compressor}) with 3 swapfiles and {swap} swap space\n"
        f"Panicked task 0xfffffe2012391d80: 26839 pages, 26 threads: pid {pid}: {task}\n"
        "Panicked thread: 0xfffffe2012391e80, backtrace: 0xfffffe5043b67ed0, tid: 5021\n"
        "\t\t  lr: 0xfffffe001eeea074  fp: 0xfffffe5043b67ee0\n"
        + (f"      Kernel Extensions in backtrace:\n{listed}\n" if kexts else "")
        + "last started kext at 123: com.apple.filesystems.autofs\t3.0\n"
    )


def ips(said, bug_type="210", resident=(), **fields):
    """The same as a document, as `panic-full-*.ips` and newer `.panic` files have it."""
    head = {
        "bug_type": bug_type, "timestamp": "2026-04-19 20:26:40.00 +0000",
        "os_version": "macOS 26.4 (25E246)", "incident_id": "0A1B2C3D",
    }  # fmt: skip
    listed = {
        str(pid): {"pid": pid, "procname": "python3.12", "residentMemoryBytes": size}
        for pid, size in resident
    }
    body = {
        "build": "macOS 26.4 (25E246)", "product": "Mac16,1", "crashReporterKey": "0A1B",
        "panicString": text(said, **fields), "memoryStatus": {"memoryPressure": False},
        "processByPid": listed,
    }  # fmt: skip
    return f"{json.dumps(head)}\n{json.dumps(body, indent=2)}\n"


UNDERFLOW = '"completeMemory() prepare count underflow" @IOGPUMemory.cpp:550'
NOT_FOUND = (
    '"IOGPUGroupMemory::remove_memory_object() memory object not found" @IOGPUGroupMemory.cpp:323'
)
WATCHDOG = (
    "watchdog timeout: no checkins from watchdogd in 91 seconds (3378 total checkins since "
    "monitoring last enabled)"
)
WINDOWS = "userspace watchdog timeout: no successful checkins from WindowServer in 120 seconds"
ZONE = (
    '"zalloc: zone map exhausted while allocating from zone kalloc.12288, likely due to memory leak'
    ' in zone kalloc.48 (6586956000 total bytes, 137228148 elements allocated)"'
)
AGX = '"agx_power failed to transition to state 0" @AGXPowerManagement.cpp:119'
SPINLOCK = "Spinlock[0xfffffe299a622040] timeout after 12606975 ticks; current state: 0x2247"
OLD = """\
Mon Apr 20 01:26:40 2026

*** Panic Report ***
panic(cpu 0 caller 0xffffff7fb12de8d7): "GPU Panic: mux-regs 4 3 7f 0 0 0 severity 3"@/BuildRoot/\
Library/Caches/GPUPanic.cpp:170
Backtrace (CPU 0), Frame : Return Address
0xffffff921d563aa0 : 0xffffff802fc6c1c6
      Kernel Extensions in backtrace:
         com.apple.driver.AppleMuxControl(3.20.13)[CAEF0436]@0xffffff7fb12d0000->0xffffff7fb12e2fff

BSD process name corresponding to current thread: python3.12
Mac OS version:
18B75
"""
