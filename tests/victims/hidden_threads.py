"""The harness's command line as on a system that shows the threads of no other process, and whose
memory cannot be asked for: so psutil answers on macOS."""

import os
import sys
import sysconfig

import psutil

from harness.cli import main

shown = psutil.Process.threads


def threads(process):
    if process.pid != os.getpid():
        raise psutil.AccessDenied(process.pid)
    return shown(process)


def virtual_memory():
    raise RuntimeError("host_statistics64(HOST_VM_INFO64) syscall failed: array not large enough")


if __name__ == "__main__":
    psutil.Process.threads, psutil.virtual_memory = threads, virtual_memory
    sysconfig.get_config_vars()  # read while this Python can still find its own
    sys.platform = "freebsd14"  # one that is known by psutil alone
    sys.exit(main())
