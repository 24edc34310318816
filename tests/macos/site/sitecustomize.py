"""Makes each Python that a harness on the simulated Mac starts a bit of a Mac's.

It has a SIGINFO, for which SIGURG stands: that does nothing by default, too. Threads have the names
that Python gives them, as macOS shows them.
"""

import contextlib
import signal
import threading

signal.SIGINFO = signal.SIGURG
bootstrap = threading.Thread._bootstrap_inner


def named(thread):
    with contextlib.suppress(OSError), open("/proc/thread-self/comm", "w") as comm:
        comm.write(thread.name[:15])
    bootstrap(thread)


threading.Thread._bootstrap_inner = named
