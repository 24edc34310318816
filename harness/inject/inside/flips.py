"""Flips one setting of a training from inside, and tells when there was something to flip.

The variable FLIP names the setting. `harness.flips.table` says why each could cure something.
"""

from __future__ import annotations

import os
from typing import Any

FLIP = "HARNESS_FLIP"
FLIPPED = "flips.txt"
"""The file with a line for each thing that was changed."""
MODULES = {
    "device_cpu": ("mlx.core",),
    "no_cache": ("mlx.core",),
    "no_wiring": ("mlx.core",),
    "one_worker": (
        "multiprocessing.pool",
        "concurrent.futures.thread",
        "concurrent.futures.process",
        "torch.utils.data.dataloader",
    ),
    "spawned_workers": ("multiprocessing.context",),
}
"""For each flip the modules in which something is changed."""


def wrap(module: Any, folder: str) -> None:
    """Make the change in `module`, which was just imported, and write it down in `folder`."""
    flip, name = os.environ.get(FLIP, ""), module.__name__
    if name not in MODULES.get(flip, ()):
        return
    if flip == "device_cpu":
        module.set_default_device(module.cpu)
        _tell(folder, "the default device is the CPU")
    elif flip == "no_cache":
        module.set_cache_limit(0)
        module.set_cache_limit = _instead(folder, "set_cache_limit", 0)
        _tell(folder, "the limit of the cache is 0")
    elif flip == "no_wiring":
        module.set_wired_limit = _instead(folder, "set_wired_limit", 0)
    elif flip == "spawned_workers":
        _spawn(module, folder)
    elif name == "multiprocessing.pool":
        _few(module.Pool, folder, "processes", 0)
    elif name == "torch.utils.data.dataloader":
        _few(module.DataLoader, folder, "num_workers", 5)
    else:
        kind = "ThreadPoolExecutor" if name.endswith("thread") else "ProcessPoolExecutor"
        _few(getattr(module, kind), folder, "max_workers", 0)


def install(folder: str) -> None:
    """Make the change in a worker of the harness, which has no hook: in what Python brings, and in
    MLX."""
    import importlib

    for name in MODULES.get(os.environ.get(FLIP, ""), ()):
        if not name.startswith("torch"):
            wrap(importlib.import_module(name), folder)


def _instead(folder: str, name: str, answer: Any) -> Any:
    """A function that does nothing, in place of one that sets what is flipped."""

    def ignored(*_: Any, **__: Any) -> Any:
        _tell(folder, f"a call of {name} was ignored")
        return answer

    return ignored


def _spawn(module: Any, folder: str) -> None:
    """Let the processes of multiprocessing start by spawn, unless the program names another way."""
    default = module._default_context
    if default._actual_context is not None or default._default_context._name == "spawn":
        return
    default._default_context = default.get_context("spawn")
    start = module.SpawnProcess._Popen

    def told(process: Any) -> Any:
        _tell(folder, "a process was spawned")
        return start(process)

    module.SpawnProcess._Popen = staticmethod(told)


def _few(kind: Any, folder: str, name: str, place: int) -> None:
    """Give each `kind` one worker, where it asks for more or for as many as there are cores.

    `name` is the argument that says how many, and `place` its place after self.
    """
    made = kind.__init__
    none_is_many = name != "num_workers"

    def init(self: Any, *arguments: Any, **named: Any) -> None:
        given = list(arguments)
        asked = given[place] if len(given) > place else named.get(name)
        if (none_is_many and asked is None) or (isinstance(asked, int) and asked > 1):
            if len(given) > place:
                given[place] = 1
            else:
                named[name] = 1
            _tell(folder, f"{kind.__name__} got 1 worker in place of {asked or 'many'}")
        made(self, *given, **named)

    kind.__init__ = init


def _tell(folder: str, text: str) -> None:
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        file = os.open(os.path.join(folder, FLIPPED), flags, 0o644)
        os.write(file, f"{text}\n".encode())
        os.close(file)
    except OSError:
        pass  # the harness has gone, or the disk is full: the training must not suffer
