"""Ways to hang, one function each: `stacks_hangs.py NAME` prints the process to look at, and hangs.

`healthy` and `counts` do not hang; they are what a stack tool must leave unharmed.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import multiprocessing
import os
import queue
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NoReturn


def say(pid: int | None = None) -> None:
    """Announce the process to look at; what follows is the hang."""
    print(pid or os.getpid(), flush=True)


def locks() -> None:
    """Two threads take two locks in opposite order."""
    first, second = threading.Lock(), threading.Lock()
    both = threading.Barrier(2)

    def other() -> None:
        with second:
            both.wait()
            with first:
                pass

    threading.Thread(target=other, daemon=True).start()
    with first:
        both.wait()
        say()
        with second:
            pass


def empty_queue() -> None:
    """A loader that yields nothing: `Queue.get` for ever."""
    say()
    queue.Queue().get()


def process_queue() -> None:
    """The worker process that should fill the queue is not there."""
    channel = multiprocessing.get_context("spawn").Queue()
    say()
    channel.get()


def child() -> None:
    """A child process that does not end."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        say()
        process.wait()


def joined() -> None:
    """A thread that does not end is joined."""
    thread = threading.Thread(target=time.sleep, args=(600,), daemon=True)
    thread.start()
    say()
    thread.join()


def sleeps() -> None:
    say()
    time.sleep(600)


def receives() -> None:
    """A peer that is connected and sends nothing."""
    here, there = socket.socketpair()
    say()
    here.recv(1)
    there.close()


def accepts() -> None:
    """A peer that never connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        say()
        server.accept()


def reads() -> None:
    """A pipe that nobody writes into."""
    source, sink = os.pipe()
    say()
    os.read(source, 1)
    os.close(sink)


def gil() -> None:
    """Native code sleeps and keeps the GIL; a second Python thread wants it."""
    started = threading.Event()

    def wants() -> None:
        started.set()
        while True:
            sum(range(1000))

    threading.Thread(target=wants, daemon=True).start()
    started.wait()
    say()
    ctypes.PyDLL(None).pause()


def mutex() -> None:
    """A native mutex is taken twice, with the GIL held."""
    library = ctypes.PyDLL(None)
    lock = ctypes.create_string_buffer(256)
    library.pthread_mutex_init(lock, None)
    library.pthread_mutex_lock(lock)
    say()
    library.pthread_mutex_lock(lock)


def spins() -> None:
    """A livelock: Python code that never finds what it waits for."""
    done: list[int] = []
    say()
    while not done:
        done.extend(x for x in range(100) if x < 0)


def spins_native() -> None:
    """A regular expression that takes longer than the universe."""
    say()
    re.match(r"(a+)+$", "a" * 64 + "b")


def counts() -> None:
    """Healthy: counts to the number given, slowly enough to be looked at, and prints the sum."""
    say()
    total = 0
    for number in range(int(sys.argv[2])):
        total += number
        time.sleep(0.001)
    print(total, flush=True)


def fork_deadlock() -> None:
    """The child of a fork evaluates after its parent used MLX: its stream has no thread."""
    import mlx.core as mx

    mx.eval(mx.ones(4) + 1)
    pid = os.fork()
    if pid == 0:
        mx.eval(mx.ones(4) * 2)
        os._exit(0)
    say(pid)
    os.waitpid(pid, 0)


def _compile() -> None:
    import mlx.core as mx

    say()
    mx.eval(mx.compile(lambda x: mx.exp(x) * 3 + 1)(mx.ones(8)))


def jit() -> None:
    """The compiler that mx.compile starts never returns."""
    folder = tempfile.mkdtemp()
    compiler = Path(folder, "g++")
    # With one argument, --version, MLX asks whether there is a compiler at all.
    compiler.write_text("#!/bin/sh\n[ $# = 1 ] && exit 0\nexec sleep 600\n")
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    os.environ["TMPDIR"] = folder
    _compile()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def ring() -> None:
    """Two ranks; one skips a collective, the other waits for it."""
    hosts = Path(tempfile.mkdtemp(), "hosts.json")
    hosts.write_text(json.dumps([[f"127.0.0.1:{_free_port()}"] for _ in range(2)]))
    ranks = []
    for rank in range(2):
        environment = {**os.environ, "MLX_RANK": str(rank), "MLX_HOSTFILE": str(hosts)}
        command = [sys.executable, __file__, "rank", str(rank)]
        ranks.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE))
    assert ranks[0].stdout is not None
    ranks[0].stdout.readline()
    say(ranks[0].pid)
    ranks[0].wait()


def rank() -> None:
    import mlx.core as mx

    group = mx.distributed.init(strict=True, backend="ring")
    mx.eval(mx.distributed.all_sum(mx.ones(4), group=group))
    say()
    if group.rank() == 1:
        time.sleep(600)
    mx.eval(mx.distributed.all_sum(mx.ones(4), group=group))


def alone() -> None:
    """A rank whose peers never start: accept inside distributed.init, the GIL held."""
    hosts = Path(tempfile.mkdtemp(), "hosts.json")
    hosts.write_text(json.dumps([[f"127.0.0.1:{_free_port()}"] for _ in range(2)]))
    os.environ.update(MLX_RANK="0", MLX_HOSTFILE=str(hosts))
    import mlx.core as mx

    say()
    mx.distributed.init(strict=True, backend="ring")


def healthy() -> NoReturn:
    """Trains for ever."""
    import mlx.core as mx
    import mlx.nn as nn
    import mlx.optimizers as optim

    model = nn.Sequential(nn.Linear(256, 256), nn.Linear(256, 256))
    optimizer = optim.AdamW(learning_rate=1e-3)
    x = mx.random.normal((64, 256))

    def loss_fn(model: nn.Module) -> mx.array:
        return (model(x) - x).square().mean()

    step = nn.value_and_grad(model, loss_fn)
    say()
    while True:
        loss, grads = step(model)
        optimizer.update(model, grads)
        mx.eval(loss, model.state, optimizer.state)


if __name__ == "__main__":
    if log := os.environ.get("STACKS_FAULTHANDLER"):
        faulthandler.register(signal.SIGUSR1, file=open(log, "a"))  # noqa: SIM115
    globals()[sys.argv[1]]()
