"""macOS's kqueue on Linux, as far as a guard uses it: NOTE_EXIT by pidfd, NOTE_FORK by looking.

The real one tells of each fork. This one looks every few milliseconds who has new children.
"""

import contextlib
import os
import select
import threading
import time
from dataclasses import dataclass

KQ_FILTER_PROC, KQ_EV_ADD, KQ_NOTE_EXIT, KQ_NOTE_FORK = -5, 1, 0x80000000, 0x40000000
_APART_S = 0.004
listdir = os.listdir  # before anything hides /proc from it


@dataclass
class kevent:  # noqa: N801
    ident: int
    filter: int = KQ_FILTER_PROC
    flags: int = KQ_EV_ADD
    fflags: int = 0


class kqueue:  # noqa: N801
    def __init__(self):
        self._epoll, self._bell = select.epoll(), os.eventfd(0, os.EFD_NONBLOCK)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._ends, self._children, self._forks = {}, {}, set()
        self._lock = threading.Lock()
        threading.Thread(target=self._look, daemon=True).start()

    def fileno(self):
        return self._epoll.fileno()

    def control(self, changes, most, timeout=None):
        for change in changes or ():
            assert (change.filter, change.flags) == (KQ_FILTER_PROC, KQ_EV_ADD)
            self._add(change.ident)
        events = []
        for fd, _ in self._epoll.poll(timeout, most) if most else ():
            if fd == self._bell:
                os.eventfd_read(self._bell)
                with self._lock:
                    forks, self._forks = self._forks, set()
                events += [kevent(pid, fflags=KQ_NOTE_FORK) for pid in forks]
            else:
                self._epoll.unregister(fd)
                os.close(fd)
                events.append(kevent(self._ends.pop(fd), fflags=KQ_NOTE_EXIT))
        return events

    def close(self):
        self._epoll.close()

    def _add(self, pid):
        if pid in self._ends.values():
            return
        fd = os.pidfd_open(pid)
        if select.select([fd], [], [], 0)[0]:  # a zombie cannot be followed
            os.close(fd)
            raise ProcessLookupError
        self._ends[fd] = pid
        self._children[pid] = children(pid)
        self._epoll.register(fd, select.EPOLLIN)

    def _look(self):
        while True:
            for pid in list(self._ends.values()):
                now = children(pid)
                if now - self._children.get(pid, set()):
                    with self._lock:
                        self._forks.add(pid)
                    os.eventfd_write(self._bell, 1)
                self._children[pid] = now
            time.sleep(_APART_S)


def children(pid):
    """Those of all its threads."""
    found = set()
    with contextlib.suppress(OSError):
        for tid in listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{tid}/children") as file:
                found |= set(map(int, file.read().split()))
    return found
