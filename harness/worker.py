"""The child process: imports mlx, runs one scenario, writes beats. `python -m harness.worker SPEC`.

The supervisor starts it with exec, never by forking an interpreter that has used MLX: MLX's
threads do not survive a fork, and its next evaluation would wait for them for ever.
"""

from __future__ import annotations

import faulthandler
import os
import random
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec

from harness.beats.file import Recorder
from harness.errors import SkipError, UsageError
from harness.inject.inside import answering, operations
from harness.model import SCHEMA, ErrorBeat, MlxBeat, StartBeat, WorkerSpec


def main(argv: list[str]) -> int:
    spec = msgspec.json.decode(Path(argv[1]).read_bytes(), type=WorkerSpec)
    faulthandler.enable()
    # For a supervisor that has no tool to read our stacks with, or none that knows Python. Appended
    # to: an answer is what came since the question.
    answering.register((Path(spec.folder) / "faulthandler.txt").open("a"))
    rank = _rank(spec)
    folder = Path(spec.folder) / (f"rank-{rank}" if spec.ranks > 1 else "")
    folder.mkdir(exist_ok=True)
    recorder = Recorder(folder)
    recorder.write(
        StartBeat(
            t=time.monotonic(),
            schema=SCHEMA,
            pid=os.getpid(),
            tid=threading.get_native_id(),
            wall=time.time(),
            scenario=spec.scenario,
            rank=rank,
        )
    )
    try:
        _run(spec, recorder, rank)
    except Exception as error:
        recorder.write(_error_beat(error))
        traceback.print_exc()
        return 1
    recorder.phase("exit")
    return 0


def _run(spec: WorkerSpec, recorder: Recorder, rank: int) -> None:
    settings = spec.settings
    assert settings is not None  # only an outside command has none, and it is no worker of ours
    recorder.phase("import")
    if spec.ranks > 1:
        _take_own_gpu(rank)
    try:
        import mlx.core as mx
    except ImportError as error:  # the one for another device is installed, or a part is missing
        from harness.observe import installation

        problem = f"cannot be imported ({str(error).splitlines()[0]})"
        raise UsageError(installation.missing("MLX", problem)) from error

    # Before anything else imports MLX's functions by their names.
    switch = operations.install(mx) if spec.replay is not None else None

    from harness.inject.inside.taps import Taps
    from harness.training import collectives, device, loop, replay, scenario_file
    from harness.training.probes import CompileProbe
    from harness.training.setup import Training

    _choose_device(mx, settings.device, spec.device_required)
    device.flip(spec.folder)
    recorder.write(
        MlxBeat(
            t=time.monotonic(),
            version=device.version(mx),
            device=_device(mx),
            memory=device.memory(mx),
        )
    )
    if spec.ranks > 1 and settings.collective_beats:
        collectives.watch(recorder)
    probe = CompileProbe(recorder)
    taps = Taps()
    if switch is None:
        probe.install()
        taps.install()
    # A scenario's own model and data come again in a replay; each rank has its own data.
    random.seed(settings.seed + rank)
    mx.random.seed(settings.seed + rank)
    scenario = scenario_file.imported(Path(spec.path), Path(spec.own) if spec.own else None)
    if spec.ranks > 1:
        recorder.phase("distributed_init")
        _join(mx, settings.backend)
    recorder.phase("setup")
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed((settings.seed + rank) % 2**32)
    training = Training(settings, recorder, probe, rank)
    step, maker, batches = scenario_file.parts(scenario, training)
    if spec.replay is not None and switch is not None:
        replay.run(training, step, batches, recorder, spec.replay, switch, spec.folder)
    loop.run(training, step, batches, recorder, probe, taps, maker)


def _rank(spec: WorkerSpec) -> int:
    """The rank of this worker, as the launchers of MLX's backends tell it."""
    if spec.ranks == 1:
        return spec.rank
    return int(os.environ.get("MLX_RANK") or os.environ.get("OMPI_COMM_WORLD_RANK") or spec.rank)


def _take_own_gpu(rank: int) -> None:
    """Let MLX see this rank's GPU alone, of those that the job was given."""
    from harness.observe import rank_env

    gpu = rank_env.own_gpu(os.environ, rank)
    if gpu is not None:
        os.environ[rank_env.CUDA] = gpu


def _choose_device(mx: Any, device: str | None, required: bool) -> None:
    if device is None:
        return
    wanted = mx.Device(getattr(mx.DeviceType, device), 0)
    try:
        mx.set_default_device(wanted)
        mx.eval(mx.zeros(1) + 1)
    except Exception as error:
        message = f"MLX has no {device} here: {error}".rstrip(".")
        if required:
            raise UsageError(f"{message}; use another --device, or omit it") from error
        raise SkipError(message) from error


def _join(mx: Any, backend: str) -> None:
    """Come to the other ranks. It waits for ever for one that does not come."""
    try:
        # Both are one backend; mlx.launch tells it by a variable which of them is meant.
        mx.distributed.init(strict=True, backend=backend.removesuffix("-ring"))
    except RuntimeError as error:
        # It was not even tried: MLX was built without it, or what it needs is not there.
        if "nitialize" not in str(error):
            raise
        raise SkipError(f"MLX cannot start the backend {backend}: {error}") from error


def _device(mx: Any) -> str:
    """The default device and, where MLX knows it, the hardware behind it."""
    kind = str(mx.default_device().type).rpartition(".")[2]
    try:
        name = str(mx.device_info().get("device_name", ""))
    except Exception:  # older versions have no device_info, or only under mx.metal
        name = ""
    return f"{kind} ({name})" if name else kind


def _error_beat(error: Exception) -> ErrorBeat:
    return ErrorBeat(
        t=time.monotonic(),
        type=type(error).__name__,
        message=_message(error),
        traceback=_storable("".join(traceback.format_exception(error))),
        usage=isinstance(error, UsageError),
        skip=isinstance(error, SkipError),
    )


def _message(error: Exception) -> str:
    """Whatever its class makes of it: an exception that cannot be printed must not hide itself."""
    try:
        return _storable(str(error))
    except Exception:
        return "(it cannot be printed)"


def _storable(text: str) -> str:
    """Escape lone surrogates, which file names bring and JSON cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
