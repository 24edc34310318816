"""Ports on loopback for the ranks of one job, which no other job on this machine is given.

MLX binds its ports so that two jobs may bind the same ones: neither notices, and each talks to
ranks of the other. To ask which are free is not enough, then, while another job asks the same. So
ports come in blocks, and who has a block holds a port that stands for it. Nothing listens there.
"""

from __future__ import annotations

import os
import socket

FIRST, BLOCK, BLOCKS = 20_000, 64, 187
"""The blocks end below the ports that the kernel gives out by itself."""
_GUARDS = FIRST - BLOCKS
MOST = BLOCK * BLOCKS
"""The ranks that one job can have here: each needs a port."""


class Ports:
    """A number of free ports in a row, from `first` on, until it is closed.

    Raises OSError when there are none.
    """

    def __init__(self, count: int) -> None:
        blocks = -(-count // BLOCK)
        for at in range(BLOCKS - blocks + 1):
            # Not all begin at the same end.
            block = (at + os.getpid()) % (BLOCKS - blocks + 1)
            guards = _bound(range(_GUARDS + block, _GUARDS + block + blocks))
            if guards is None:
                continue
            self.first = FIRST + block * BLOCK
            self._guards = guards
            if _free(range(self.first, self.first + count)):
                return
            self.close()
        raise OSError(
            f"no {count} free ports in a row on loopback; wait for other jobs, or use fewer ranks"
        )

    def close(self) -> None:
        for one in self._guards:
            one.close()


def _free(ports: range) -> bool:
    sockets = _bound(ports)
    for one in sockets or ():
        one.close()
    return sockets is not None


def _bound(ports: range) -> list[socket.socket] | None:
    """Sockets bound to all of these; None when one of them is taken."""
    sockets = []
    for port in ports:
        sockets.append(socket.socket())
        try:
            sockets[-1].bind(("127.0.0.1", port))
        except OSError:
            for one in sockets:
                one.close()
            return None
    return sockets
