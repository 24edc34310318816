"""The answer of a worker to who asks for its Python stacks: faulthandler writes them at a signal.

Where there is SIGINFO, on macOS, that is the signal. It does nothing by default, so that no process
is harmed which has become another program meanwhile. There one thread rests for it, and all others
block it: a signal ends the call that a thread waits in, and what Metal makes of a wait that ends
early is not known. XNU gives it to the first thread that does not block it
(`bsd/kern/kern_sig.c:1933`). Behind the stacks that thread writes a digest of each thread's
variables, which no tool reads there.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import threading
from typing import TextIO

from harness.inject.inside import variables

_QUIET: int | None = getattr(signal, "SIGINFO", None)
QUESTION: int = signal.SIGUSR1 if _QUIET is None else _QUIET
NAME = "harness-answers"
"""The name of the thread that rests for it."""
_OF_THE_THREAD_ITSELF = (
    signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT,
)  # fmt: skip
"""A mistake of this very thread: not blocked, so that it is told."""


def register(file: TextIO, apart: bool = _QUIET is not None) -> None:
    """Let faulthandler append the stacks of all threads to `file`, when QUESTION comes.

    `apart`: a thread of its own takes the signal. Threads that are started from now on block it, so
    call this before any other is there. Raises OSError where the signal cannot be handled.
    """
    if apart:
        signal.pthread_sigmask(signal.SIG_BLOCK, (QUESTION,))
    faulthandler.register(QUESTION, file=file, all_threads=True)
    if apart:
        threading.Thread(target=rests, args=(file,), name=NAME, daemon=True).start()


def rests(file: TextIO) -> None:
    """Take the signal and no other, and write the variables once faulthandler has answered."""
    import ctypes

    library = ctypes.CDLL(None)
    # A signal of the user's that came here would end no call of the thread that it is meant for.
    others = signal.valid_signals() - {QUESTION, *_OF_THE_THREAD_ITSELF}
    signal.pthread_sigmask(signal.SIG_SETMASK, others)
    if hasattr(library, "pthread_threadid_np"):  # there, a thread names none but itself
        library.pthread_setname_np(NAME.encode())
    while True:
        library.pause()  # until faulthandler's handler has returned
        with contextlib.suppress(Exception):
            os.write(file.fileno(), variables.told().encode())
