"""The answer of a worker to who asks for its Python stacks: faulthandler writes them at a signal.

Where there is SIGINFO, on macOS, that is the signal. It does nothing by default, so that no process
is harmed which has become another program meanwhile. There one thread rests for it, and all others
block it: a signal ends the call that a thread waits in, and what Metal makes of a wait that ends
early is not known. XNU gives it to the first thread that does not block it
(`bsd/kern/kern_sig.c:1933`).
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import threading
from typing import TextIO

_QUIET: int | None = getattr(signal, "SIGINFO", None)
QUESTION: int = signal.SIGUSR1 if _QUIET is None else _QUIET
NAME = "harness-answers"
"""The name of the thread that rests for it."""


def register(file: TextIO, apart: bool = _QUIET is not None) -> None:
    """Let faulthandler append the stacks of all threads to `file`, when QUESTION comes.

    `apart`: a thread of its own takes the signal. Threads that are started from now on block it, so
    call this before any other is there. Raises OSError where the signal cannot be handled.
    """
    if apart:
        signal.pthread_sigmask(signal.SIG_BLOCK, (QUESTION,))
    faulthandler.register(QUESTION, file=file, all_threads=True)
    if apart:
        threading.Thread(target=rests, name=NAME, daemon=True).start()


def rests() -> None:
    """Take the signal, and wait for ever."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (QUESTION,))
    if _QUIET is not None:
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).pthread_setname_np(NAME.encode())
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
