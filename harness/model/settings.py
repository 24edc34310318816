"""The request: the settings, the scenarios or commands, and each worker's share of it."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.model.enums import TextEnum
from harness.model.origin import Replay
from harness.model.outcome import Outcome

BUILT_IN_MODELS = ("tiny", "micro")
"""The names that `--model` takes beside a path and a name on the hub."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The set-up of a scenario's training. A scenario may override any of them for itself."""

    steps: int = 10
    model: str = "tiny"
    """`tiny`, `micro` (both built in), a folder of an mlx-lm model, or a Hugging Face id."""
    train: str | None = None
    """`full`, `lora`, or `last:N`: the last N blocks. None: full, or lora for a quantized model."""
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    dtype: str | None = None
    """`float32`, `bfloat16`, `float16`; None keeps the model's own."""
    batch_size: int = 2
    seq_len: int = 32
    seed: int = 0
    device: str | None = None
    """`cpu` or `gpu`; None takes MLX's default."""
    ranks: int = 1
    """Processes that train together, each on batches of its own, their gradients averaged."""
    backend: str = "any"
    """The backend of mx.distributed: `any`, `ring`, `mpi` or `nccl`."""
    collective_beats: bool = True
    """True if each rank writes down the collectives that it issues."""


class OnHang(TextEnum):
    """The treatment of a worker that is hung, once its evidence is saved."""

    KILL = "kill"
    KEEP = "keep"
    """It is left alone, to be looked at with a debugger; the harness goes on without it."""
    WAIT = "wait"
    """It is watched until its budget ends: a hang may resolve itself."""


class Expected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The verdict that a control must get. What is left out may be anything."""

    outcome: tuple[Outcome, ...]
    """Several where MLX itself varies."""
    cause: tuple[str, ...] = ()
    """Codes of a hang's cause; of another outcome, words of which its reason holds one."""
    step: int | None = None
    """The last step; of one that diverges, the first in which its numbers are wrong."""
    findings: tuple[str, ...] = ()
    """Codes that must be among the findings."""
    culprit: int | None = None
    """The rank that the first finding about ranks must name, and no other."""
    culprits: tuple[int, ...] = ()
    """The ranks, where it must name several."""
    says: tuple[str, ...] = ()
    """Words that the reason must hold, each of them."""
    budget: float | None = None
    """Seconds after which its run is ended, if the user's budget is not shorter."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's own program, which is run as it is and watched."""

    argv: tuple[str, ...]
    variables: dict[str, str] = {}
    """Environment variables that are set for it."""
    pattern: str | None = None
    """The regex by which steps are found in its output; None: its format is recognized."""
    inject: bool = True
    """True if a Python that uses mlx-lm may be made to report its steps itself."""


class OwnStep(msgspec.Struct, frozen=True, kw_only=True):
    """The file of a user whose step a scenario varies."""

    path: str
    source: str


class ScenarioInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a scenario file that needs no import (the supervisor never imports mlx).

    Or of an outside command, which has no file, and neither docstring nor source.
    """

    name: str
    path: str
    summary: str
    """First line of the docstring."""
    doc: str
    source: str
    expects: tuple[str, ...] = ()
    """Codes of findings that belong to this scenario by design (`parameters_unchanged`)."""
    settings: dict[str, Any] = {}
    """Overrides of `Settings`, by field name."""
    verdict: Expected | None = None
    """The expected result of a control; None for every other scenario."""
    command: Command | None = None
    """Set for an outside command, and for nothing else."""
    variables: dict[str, str] = {}
    """Environment variables that are set for its worker; those of a command are its own."""
    own: OwnStep | None = None
    """Set for a variation of a user's own step, and for nothing else."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One rank's machine, as MLX's host files name it."""

    ssh: str
    """The name that ssh gets; `127.0.0.1` is this machine itself, without ssh."""
    ips: tuple[str, ...] = ()
    """The addresses at which its peers reach it."""
    rdma: tuple[Any, ...] = ()


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """The time that a doubt stands before a run is called hung that is not proven dead."""

    seconds: float
    factor: float = 0.0
    """At least this many times the longest such phase of the run before."""

    def of(self, longest: float) -> float:
        """Seconds of patience with a phase that has lasted `longest` seconds before."""
        return max(self.seconds, self.factor * longest)


WATCH_PATIENCE = Patience(seconds=600.0, factor=20.0)
"""The patience of `watch`, for a command of which little is known."""
NO_PATIENCE = Patience(seconds=0.0)
"""The patience of controls, which are known to hang."""


def short_patience(budget: float) -> Patience:
    """The patience of the API and of tests: a quarter of the budget, from 5 s to 60 s."""
    return Patience(seconds=min(60.0, max(5.0, budget / 4)))


RUN_PATIENCE = Patience(seconds=60.0, factor=10.0)
"""The patience of `run` and `run-all`, for a scenario whose steps are known."""


class Hostfile(msgspec.Struct, frozen=True, kw_only=True):
    """The machines of a job, the first one that of rank 0, in MLX's own format."""

    hosts: tuple[Host, ...]
    backend: str = ""
    envs: tuple[str, ...] = ()
    """`NAME=VALUE`, set for all ranks."""


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A Python other than that of the harness, with packages of its own."""

    python: str
    """The path of the program."""
    version: str
    package: str
    """The folder that holds the package of the harness and nothing else."""
    libraries: str
    """The folder of what a worker imports and the environment does not have; empty for none."""
    variables: dict[str, str] = {}
    """Environment variables that are set for what runs in it."""
    versions: dict[str, str | None] = {}
    """Distribution name to version, of what it has installed."""


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one worker process needs to know; handed over as a JSON file."""

    scenario: str
    path: str
    folder: str
    settings: Settings | None
    """None for an outside command."""
    repeat: int = 0
    rank: int = 0
    ranks: int = 1
    hostfile: Hostfile | None = None
    """The machines of the ranks; None: all on this machine."""
    own: str = ""
    """The file of the user's step that the scenario varies; empty: none."""
    device_required: bool = False
    """True if the user has asked for the device, and not the scenario: without it, nothing can be
    run."""
    replay: Replay | None = None
    """The run is a replay of one that diverged."""
    interpreter: Interpreter | None = None
    """The Python that runs it; None for that of the harness."""
