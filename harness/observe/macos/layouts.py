"""Structures that macOS's libproc, sysctl and Mach fill in, as XNU's headers declare them.

A test holds each of them against offsets that a C compiler gave for those headers.
docs/internals/macos.md says which call fills in which, and where it stands in XNU.
"""

from __future__ import annotations

from ctypes import (
    Structure,
    c_char,
    c_int32,
    c_int64,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
)

_UNSIGNED, _LONG = c_uint32, c_uint64


def _fields(kind: type, names: str) -> list[tuple[str, type]]:
    return [(name, kind) for name in names.split()]


class BsdInfo(Structure):
    """proc_bsdinfo: a process as BSD knows it."""

    _fields_ = [
        *_fields(
            _UNSIGNED,
            "pbi_flags pbi_status pbi_xstatus pbi_pid pbi_ppid pbi_uid pbi_gid pbi_ruid pbi_rgid"
            " pbi_svuid pbi_svgid rfu_1",
        ),
        ("pbi_comm", c_char * 16),
        ("pbi_name", c_char * 32),
        *_fields(_UNSIGNED, "pbi_nfiles pbi_pgid pbi_pjobc e_tdev e_tpgid"),
        ("pbi_nice", c_int32),
        *_fields(_LONG, "pbi_start_tvsec pbi_start_tvusec"),
    ]


class TaskInfo(Structure):
    """proc_taskinfo: the sums of a process. Its times are in Mach ticks."""

    _fields_ = [
        *_fields(
            _LONG,
            "pti_virtual_size pti_resident_size pti_total_user pti_total_system pti_threads_user"
            " pti_threads_system",
        ),
        *_fields(
            c_int32,
            "pti_policy pti_faults pti_pageins pti_cow_faults pti_messages_sent"
            " pti_messages_received pti_syscalls_mach pti_syscalls_unix pti_csw pti_threadnum"
            " pti_numrunning pti_priority",
        ),
    ]


class TaskAllInfo(Structure):
    """proc_taskallinfo: both of them, by one call."""

    _fields_ = [("pbsd", BsdInfo), ("ptinfo", TaskInfo)]


class ThreadInfo(Structure):
    """proc_threadinfo: one thread. Its times are in nanoseconds, unlike those of its task."""

    _fields_ = [
        *_fields(_LONG, "pth_user_time pth_system_time"),
        *_fields(
            c_int32,
            "pth_cpu_usage pth_policy pth_run_state pth_flags pth_sleep_time pth_curpri"
            " pth_priority pth_maxpriority",
        ),
        ("pth_name", c_char * 64),
    ]


class Rusage(Structure):
    """rusage_info_v4: memory and transfers of a process."""

    _fields_ = [
        ("ri_uuid", c_uint8 * 16),
        *_fields(
            _LONG,
            "ri_user_time ri_system_time ri_pkg_idle_wkups ri_interrupt_wkups ri_pageins"
            " ri_wired_size ri_resident_size ri_phys_footprint ri_proc_start_abstime"
            " ri_proc_exit_abstime ri_child_user_time ri_child_system_time"
            " ri_child_pkg_idle_wkups ri_child_interrupt_wkups ri_child_pageins"
            " ri_child_elapsed_abstime ri_diskio_bytesread ri_diskio_byteswritten"
            " ri_cpu_time_qos_default ri_cpu_time_qos_maintenance ri_cpu_time_qos_background"
            " ri_cpu_time_qos_utility ri_cpu_time_qos_legacy ri_cpu_time_qos_user_initiated"
            " ri_cpu_time_qos_user_interactive ri_billed_system_time ri_serviced_system_time"
            " ri_logical_writes ri_lifetime_max_phys_footprint ri_instructions ri_cycles"
            " ri_billed_energy ri_serviced_energy ri_interval_max_phys_footprint"
            " ri_runnable_time",
        ),
    ]


class FdInfo(Structure):
    """proc_fdinfo: one open file."""

    _fields_ = [("proc_fd", c_int32), ("proc_fdtype", _UNSIGNED)]


class FileInfo(Structure):
    """proc_fileinfo: how a file is open."""

    _fields_ = [
        *_fields(_UNSIGNED, "fi_openflags fi_status"),
        ("fi_offset", c_int64),
        ("fi_type", c_int32),
        ("fi_guardflags", _UNSIGNED),
    ]


class Stat(Structure):
    """vinfo_stat: what stat() tells."""

    _fields_ = [
        ("vst_dev", _UNSIGNED),
        *_fields(c_uint16, "vst_mode vst_nlink"),
        ("vst_ino", _LONG),
        *_fields(_UNSIGNED, "vst_uid vst_gid"),
        *_fields(
            c_int64,
            "vst_atime vst_atimensec vst_mtime vst_mtimensec vst_ctime vst_ctimensec"
            " vst_birthtime vst_birthtimensec vst_size vst_blocks",
        ),
        ("vst_blksize", c_int32),
        *_fields(_UNSIGNED, "vst_flags vst_gen vst_rdev"),
        ("vst_qspare", c_int64 * 2),
    ]


class PipeInfo(Structure):
    """pipe_info: one end of a pipe, and the number of the other one."""

    _fields_ = [
        ("pipe_stat", Stat),
        *_fields(_LONG, "pipe_handle pipe_peerhandle"),
        *_fields(c_int32, "pipe_status rfu_1"),
    ]


class PipeFdInfo(Structure):
    """pipe_fdinfo: a pipe that is open."""

    _fields_ = [("pfi", FileInfo), ("pipeinfo", PipeInfo)]


class VmStatistics(Structure):
    """vm_statistics64: the machine's pages. Later versions of macOS append to it."""

    _fields_ = [
        *_fields(_UNSIGNED, "free_count active_count inactive_count wire_count"),
        *_fields(
            _LONG,
            "zero_fill_count reactivations pageins pageouts faults cow_faults lookups hits purges",
        ),
        *_fields(_UNSIGNED, "purgeable_count speculative_count"),
        *_fields(_LONG, "decompressions compressions swapins swapouts"),
        *_fields(
            _UNSIGNED,
            "compressor_page_count throttled_count external_page_count internal_page_count",
        ),
        ("total_uncompressed_pages_in_compressor", _LONG),
    ]


class SwapUsage(Structure):
    """xsw_usage: the swap files."""

    _fields_ = [
        *_fields(_LONG, "xsu_total xsu_avail xsu_used"),
        *_fields(_UNSIGNED, "xsu_pagesize xsu_encrypted"),
    ]


class Timebase(Structure):
    """mach_timebase_info: nanoseconds in a Mach tick, as a fraction."""

    _fields_ = _fields(_UNSIGNED, "numer denom")


OF_XNU: dict[str, type[Structure]] = {
    "proc_bsdinfo": BsdInfo,
    "proc_taskinfo": TaskInfo,
    "proc_taskallinfo": TaskAllInfo,
    "proc_threadinfo": ThreadInfo,
    "rusage_info_v4": Rusage,
    "proc_fdinfo": FdInfo,
    "proc_fileinfo": FileInfo,
    "vinfo_stat": Stat,
    "pipe_info": PipeInfo,
    "pipe_fdinfo": PipeFdInfo,
    "vm_statistics64": VmStatistics,
    "xsw_usage": SwapUsage,
    "mach_timebase_info": Timebase,
}
"""Each structure by its name in XNU."""
