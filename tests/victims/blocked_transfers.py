"""Is in the middle of a transfer in each of several threads, until a line comes on stdin.

Then the other ends are drained, and it prints how much each call has moved: all of it, unless
somebody has cut one short. Arguments: the calls, of those below.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable

SIZE = 1 << 22
"""More than any pipe or socket holds."""


def write() -> tuple[Callable[[], int], Callable[[], object]]:
    reader, writer = os.pipe()
    return lambda: os.write(writer, bytes(SIZE)), lambda: drain(reader)


def writev() -> tuple[Callable[[], int], Callable[[], object]]:
    reader, writer = os.pipe()
    return lambda: os.writev(writer, [bytes(SIZE // 2)] * 2), lambda: drain(reader)


def send() -> tuple[Callable[[], int], Callable[[], object]]:
    ours, theirs = socket.socketpair()
    return lambda: ours.send(bytes(SIZE)), lambda: drain(theirs.fileno())


def sendfile() -> tuple[Callable[[], int], Callable[[], object]]:
    ours, theirs = socket.socketpair()
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.truncate(SIZE)
    return (
        lambda: os.sendfile(ours.fileno(), file.fileno(), 0, SIZE),
        lambda: drain(theirs.fileno()),
    )


def receive() -> tuple[Callable[[], int], Callable[[], object]]:
    ours, theirs = socket.socketpair()
    theirs.send(bytes(1000))
    return (
        lambda: len(ours.recv(SIZE, socket.MSG_WAITALL)),
        lambda: theirs.sendall(bytes(SIZE - 1000)),
    )


def drain(file: int) -> None:
    left = SIZE
    while left:
        left -= len(os.read(file, left))


CALLS = {one.__name__: one for one in (write, writev, send, sendfile, receive)}


def run(name: str, call: Callable[[], int]) -> None:
    moved = call()
    print(f"{name} {'whole' if moved == SIZE else moved}", flush=True)


started = []
for name in sys.argv[1:]:
    call, end = CALLS[name]()
    thread = threading.Thread(target=run, args=(name, call), daemon=True)
    thread.start()
    started.append((thread, end))
print(os.getpid(), flush=True)
sys.stdin.readline()
for thread, end in started:
    threading.Thread(target=end, daemon=True).start()
    thread.join(60)
