"""The start of a worker by its guard: in a session of its own, with the signals of a fresh
process."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import signal
import termios

TYPE_CHECKING = False  # known to type checkers by its name; importing typing would take longer
if TYPE_CHECKING:
    from harness.supervise.guarding.tree import Family

IGNORED = (
    *(signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE),
    *(signal.SIGUSR1, signal.SIGUSR2),
)
"""The signals that a guard ignores."""


def spawn(command: list[str], family: Family, core: int = -1) -> int:
    """Fork and exec. This interpreter has one thread and has never seen MLX: forking is safe.

    `core` is the most bytes of a core that it may leave; negative: as it is.
    """
    supervisor, guard = os.getppid(), os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 127
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for ignored in (*IGNORED, signal.SIGXFSZ):  # Python itself ignores the last one
            signal.signal(ignored, signal.SIG_DFL)
        if not family.enter(supervisor, guard):
            os._exit(127)
        if core >= 0:
            hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (core, hard))
        _take_terminal()
        _execute(command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        code = 127 if isinstance(error, FileNotFoundError) else 126
    finally:  # whatever has happened: there must not be a second guard
        os._exit(code)


def _execute(command: list[str]) -> None:
    try:
        os.execvp(command[0], command)
    except OSError as error:
        script = shutil.which(command[0])
        if error.errno != errno.ENOEXEC or script is None:
            raise
        # A script that names no interpreter: a shell and execvp(3) hand it to sh.
        os.execv("/bin/sh", ["/bin/sh", script, *command[1:]])


def _take_terminal() -> None:
    """Make the terminal that we were given, if it is nobody's yet, that of the new session."""
    for stream in (0, 1, 2):
        if os.isatty(stream):
            try:
                fcntl.ioctl(stream, termios.TIOCSCTTY, 0)
                return
            except OSError:  # it is the supervisor's own
                pass
