"""A scenario starts a second rank of its own, which takes no part any more from step 3 on.

This rank waits for ever, while a thread that serves its socket spins at some 90 % of a core.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
from baseline_update import make_step as make_baseline

VERDICT = {"outcome": "hung", "cause": ("waiting", "stalled"), "step": 3}
PEER = """
import signal
import mlx.core as mx
group = mx.distributed.init(strict=True, backend="ring")
for _ in range(3):
    mx.eval(mx.distributed.all_sum(mx.array(1.0), group=group))
signal.pause()
"""


def join_a_peer():
    """Start the other rank, and the group of both."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    hosts = Path(tempfile.mkdtemp(), "hosts.json")
    hosts.write_text(json.dumps([[f"127.0.0.1:{port}"] for port in ports]))
    os.environ.update(MLX_HOSTFILE=str(hosts), MLX_RANK="0")
    subprocess.Popen([sys.executable, "-c", PEER], env={**os.environ, "MLX_RANK": "1"})
    return mx.distributed.init(strict=True, backend="ring")


def make_step(training):
    baseline, group = make_baseline(training), join_a_peer()

    def step(*batch):
        return mx.distributed.all_sum(baseline(*batch), group=group) / 2

    return step
