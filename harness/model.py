"""The types everything else speaks in: frozen, and without an import from the package.

Four groups, in the order in which data flows: what is asked for (`Settings`, `Plan`), what a
worker writes (`Beat` and its kinds), what the supervisor sees from outside (`Snapshot`), and what
is concluded (`Finding`, `Cause`, `ScenarioResult`, `RunResult`).

Times named `t` are seconds of `time.monotonic()`, which all processes of one machine share and
which stands still while the machine sleeps, so that a closed lid is not a hang. Sizes are bytes.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec

SCHEMA = 1
"""Version of run.json and of the beats; raised when a reader of the old form would be misled."""


# --- what is asked for -----------------------------------------------------------------------


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a scenario's training is set up. A scenario may override any of them for itself."""

    steps: int = 10
    model: str = "tiny"
    """`tiny`, `micro` (both built in), a folder of an mlx-lm model, or a Hugging Face id."""
    train: str | None = None
    """`full`, `lora`, or `last:N`: the last N blocks. None: full, or lora for a quantised model."""
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
    """Of mx.distributed: `any`, `ring`, `mpi` or `nccl`."""
    collective_beats: bool = True
    """Whether each rank writes down the collectives that it issues."""


class Word(str, Enum):
    """One of a few words, which is printed as it is."""

    __str__ = str.__str__


class OnHang(Word):
    """What is done with a worker that is hung, once its evidence is saved."""

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
    """The regex by which steps are found in its output; None: its format is recognised."""
    inject: bool = True
    """Whether a Python that uses mlx-lm may be made to report its steps itself."""


class ScenarioInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a scenario file without importing it (the supervisor never imports mlx).

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
    """What must come of a control; None for every other scenario."""
    command: Command | None = None
    """Set for an outside command, and for nothing else."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One rank's machine, as MLX's host files name it."""

    ssh: str
    """What ssh is told; `127.0.0.1` is this machine itself, without ssh."""
    ips: tuple[str, ...] = ()
    """The addresses at which its peers reach it."""
    rdma: tuple[Any, ...] = ()


class Hostfile(msgspec.Struct, frozen=True, kw_only=True):
    """The machines of a job, the first one that of rank 0, in MLX's own format."""

    hosts: tuple[Host, ...]
    backend: str = ""
    envs: tuple[str, ...] = ()
    """`NAME=VALUE`, set for all ranks."""


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
    """Where the ranks are; None: all on this machine."""


# --- what a worker writes --------------------------------------------------------------------

Number = float | str
"""A float as it is stored: JSON has no NaN, so the non-finite are "nan", "inf" and "-inf"."""


class Beat(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", omit_defaults=True, gc=False):
    """One line of beats.jsonl. Holds no cycles, so the collector need not look at millions."""

    t: float


class StartBeat(Beat, frozen=True, kw_only=True, tag="start"):
    """The worker is up: before mlx is imported, so that a hang in the import has a beat too."""

    schema: int
    pid: int
    wall: float
    """`time.time()` at `t`: what turns monotonic times into dates."""
    scenario: str
    rank: int = 0


class MlxBeat(Beat, frozen=True, kw_only=True, tag="mlx"):
    """mlx is imported and its device answers."""

    version: str
    device: str
    """Such as `cpu` or `gpu (Apple M3 Max)`."""
    memory: int | None = None
    """Bytes that a GPU may use, as MLX tells; None: it does not, or the device is no GPU."""


class ModelBeat(Beat, frozen=True, kw_only=True, tag="model"):
    """The model is built and evaluated; P, the unit of the memory law, is `trainable_bytes`."""

    parameters: int
    """Number of scalars."""
    parameter_bytes: int
    trainable: int
    trainable_bytes: int
    dtype: str
    description: str = ""
    active: int | None = None
    """MLX active memory once the model is there, before the first step."""
    own: bool = False
    """The scenario has brought it; it is not that of the settings."""


class BuiltBeat(Beat, frozen=True, kw_only=True, tag="built"):
    """The graph of this step stands; nothing says yet that the device has done any of it."""

    step: int
    nodes: int | None = None
    """Arrays pending behind the loss, the parameters and the optimizer state, when sampled."""
    depth: int | None = None
    """Longest chain among them, when sampled."""


class StepBeat(Beat, frozen=True, kw_only=True, tag="step"):
    """The step's evaluation returned."""

    step: int
    phases: dict[str, float]
    """Seconds spent in each phase of the step."""
    loss: Number | None = None
    """None when the scenario did not read the loss in this step."""
    active: int | None = None
    cache: int | None = None
    peak: int | None = None
    """Highest active memory since the step began."""
    traces: int = 0
    """How often the user's compiled functions have been traced so far."""
    calls: int = 0
    """How often they have been called so far."""
    covers: int = 1
    """Steps whose seconds these are: a log may report only every 10th. 0 of its first report: how
    long that took to come is no step's time; and of what it adds to a step already reported."""
    left: int | None = None
    """Operations still pending behind the parameters and the optimizer state, when sampled."""
    carried: int | None = None
    """Operations left pending by earlier steps that this one's evaluation ran, when sampled."""


class CheckBeat(Beat, frozen=True, kw_only=True, tag="check"):
    """A scenario compared two numbers that ought to agree."""

    step: int
    name: str
    value: Number
    expected: Number
    ok: bool


class GradientBeat(Beat, frozen=True, kw_only=True, tag="gradient"):
    """A scenario looked at its evaluated gradients."""

    step: int
    norm: Number
    """Global L2 norm; not finite when any gradient is not."""


class CollectiveBeat(Beat, frozen=True, kw_only=True, tag="collective"):
    """A collective has been put into the graph; it runs when the graph is evaluated.

    Ranks that work together issue the same ones in the same order, so that `n` names it for all.
    """

    n: int
    """How many this rank had issued before."""
    step: int
    op: str
    """Such as `all_sum`, `all_gather`, `send`."""
    shape: tuple[int, ...]
    dtype: str


class Tensors(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a group of tensors changed between the first step and the last."""

    total: int
    changed: int
    examples: tuple[str, ...] = ()
    """Names of a few that changed (frozen ones) or did not (trainable ones)."""


class EndBeat(Beat, frozen=True, kw_only=True, tag="end"):
    """The steps are over and what was still pending has been evaluated."""

    steps: int
    drain_s: float
    """Seconds that evaluating the rest took: work that nothing had asked for until now."""
    trainable: Tensors | None = None
    frozen: Tensors | None = None
    not_finite: tuple[str, ...] = ()
    """Parameters and optimizer state that hold NaN or infinity, by name; a few of them."""
    compile_works: bool | None = None
    """Whether a compiled function is really traced once; None when none was compiled."""
    fault: str | None = None
    """Why the recorder lost beats (a full disk), if it did."""
    lost: int = 0


class ErrorBeat(Beat, frozen=True, kw_only=True, tag="error"):
    """An exception ended the worker."""

    type: str
    message: str
    traceback: str
    usage: bool = False
    """The user's to mend (a broken model folder), not a crash of the training step."""
    skip: bool = False
    """The scenario cannot run here (no such device); `message` says why."""


AnyBeat = (
    StartBeat
    | MlxBeat
    | ModelBeat
    | BuiltBeat
    | StepBeat
    | CheckBeat
    | GradientBeat
    | CollectiveBeat
    | EndBeat
    | ErrorBeat
)


class Position(msgspec.Struct, frozen=True):
    """Where a worker is right now: the step, the phase, and since when (`t`)."""

    step: int
    phase: str
    t: float


# --- what the supervisor sees from outside ------------------------------------------------------


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """One thread of a watched process. None is "could not be read", never "zero"."""

    tid: int
    name: str
    state: str
    """As in /proc: R running, S sleeping, D uninterruptible, T stopped, t traced, Z zombie."""
    cpu_s: float
    syscall: int | None = None
    """Number of the system call it sits in; -1 when blocked outside one, None when unknown."""
    args: tuple[int, ...] = ()
    switches: int | None = None
    """Voluntary and involuntary context switches since it started."""
    wakes_in: float | None = None
    """Seconds until the timed wait it is in ends by itself, where that can be read."""


class Process(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    ppid: int
    name: str
    state: str
    cpu_s: float
    """User and system time of all its threads, dead ones included."""
    rss: int | None = None
    major_faults: int | None = None
    io_bytes: int | None = None
    """Bytes read and written through system calls."""
    io_main: int | None = None
    """Those of them that its main thread did."""
    threads: tuple[Thread, ...] = ()


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The whole machine's memory at one moment."""

    available: int | None = None
    swap_used: int | None = None
    compressed: int | None = None
    """Memory that compressed pages take: macOS's compressor, Linux's zswap and zram."""
    pressure: float | None = None
    """Percent of the last 10 s in which something waited for memory (Linux)."""
    pressure_level: int | None = None
    """1 normal, 2 warning, 4 critical (macOS)."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything seen of one worker at one moment."""

    t: float
    rank: int = 0
    position: Position | None = None
    """None until the worker's first beat."""
    steps: int = 0
    """Steps whose evaluation has returned."""
    loss: float | None = None
    processes: tuple[Process, ...] = ()
    """The worker first, then its descendants."""
    machine: Machine = Machine()


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of samples.jsonl: what a report needs of a snapshot."""

    t: float
    step: int | None = None
    phase: str | None = None
    rss: int | None = None
    cpu_s: float = 0.0
    major_faults: int | None = None
    threads: int = 0
    processes: int = 0
    available: int | None = None
    swap_used: int | None = None
    footprint: int | None = None
    """Memory that is the processes' own, in RAM, compressed or swapped out: unlike the RSS it does
    not fall when they swap. macOS's phys_footprint; Linux's RssAnon + RssShmem + VmSwap."""
    swapped: int | None = None
    """Of the processes' own memory, what is swapped out (Linux)."""
    compressed: int | None = None
    pressure: float | None = None
    pressure_level: int | None = None
    """These three are the machine's."""


# --- what is concluded -------------------------------------------------------------------------


class Outcome(Word):
    COMPLETED = "completed"
    HUNG = "hung"
    DIVERGED = "diverged"
    CRASHED = "crashed"
    UNFINISHED = "unfinished"
    SKIPPED = "skipped"


class Severity(Word):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One observed fact. `code` is stable; `summary` is for people; `evidence` is the numbers."""

    code: str
    severity: Severity
    summary: str
    evidence: dict[str, Any] = {}
    expected: bool = False
    """The scenario declares that this belongs to it."""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run is hung."""

    code: str
    """`deadlock`, `stalled`, `waiting`, `stopped` or `starved`."""
    summary: str
    proven: bool = False
    evidence: dict[str, Any] = {}


class Transient(msgspec.Struct, frozen=True, kw_only=True):
    """A hang that was confirmed, and resolved itself later."""

    cause: Cause
    step: int | None = None
    phase: str | None = None
    stalled_at_s: float
    """Seconds after the start at which the last progress before it was seen."""
    lasted_s: float


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker ended, as the supervisor knows it: the input to classification."""

    wall_s: float
    exit_code: int | None = None
    """None when a signal ended it, or when it never started."""
    signal: str | None = None
    cause: Cause | None = None
    """Set when the watchdog confirmed a hang."""
    stalled_at_s: float | None = None
    """Seconds after the start at which the last progress was seen."""
    detected_at_s: float | None = None
    transients: tuple[Transient, ...] = ()
    address_space: int | None = None
    """Bytes that it was limited to at its end; None without a limit."""
    oom_kills: int = 0
    """How often the kernel's out-of-memory killer struck, on the whole machine, while it ran."""
    over_budget: bool = False
    interrupted: bool = False
    ended_by: str = ""
    """Who interrupted it, in words, if not its user: `ended by pytest-timeout after 3 s`."""
    doing: str = ""
    """What it was at when it was ended, as stacks that were taken last have shown."""
    position: Position | None = None
    """The last known place, also when no beat of it reached beats.jsonl."""
    rss_peak: int | None = None
    unread: dict[str, str] = {}
    """What of the memory could not be read, and why."""
    steps: int | None = None
    """How many there were to be, where an outside command's log says so."""
    findings: tuple[Finding, ...] = ()
    """What the supervisor has to say of how it watched."""


class StepTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Wall time of a step in seconds: data to evaluation, graph sampling left out."""

    first: float
    median: float
    p99: float
    max: float
    second: float | None = None
    """Of step 1, which in a lazy framework may pay for step 0."""


class LossSummary(msgspec.Struct, frozen=True, kw_only=True):
    first: float
    last: float
    min: float | None
    """Over the finite losses; None when there are none."""
    max: float | None
    finite: bool


class MemorySummary(msgspec.Struct, frozen=True, kw_only=True):
    active_peak: int | None = None
    """Highest active memory seen when a step returned."""
    cache_peak: int | None = None
    rss_peak: int | None = None
    parameter_bytes: int | None = None
    """P: bytes of the trainable parameters."""
    active_over_p: float | None = None
    peak_over_p: float | None = None
    """Highest active memory inside any step, in P."""
    p_per_step: float | None = None
    """Slope of the active memory after the warm-up, in P; None below three points."""
    p_per_step_margin: float | None = None
    """Half the width of its 95 % confidence interval."""
    swap_growth: int | None = None
    """The most by which the machine's used swap exceeded what it was at the first look."""
    major_faults: int | None = None
    """Pages that were read in from a disk while it ran."""
    footprint_peak: int | None = None
    """Highest memory of its own, in RAM or not, of the worker and all it started."""
    swapped_peak: int | None = None
    compressed_peak: int | None = None
    pressure_peak: float | None = None
    pressure_level_peak: int | None = None
    unread: dict[str, str] = {}
    """Of the figures that are null, why they could not be read."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    step_s: StepTimes | None = None
    phase_s: dict[str, float] = {}
    """Median seconds of each phase after the first step."""
    loss: LossSummary | None = None
    memory: MemorySummary = MemorySummary()
    traces: int | None = None
    """None when nothing was compiled by the scenario."""
    graph_nodes_last: int | None = None
    parameters_changed: bool | None = None
    """Whether any trainable tensor changed; None when that could not be seen."""
    drain_s: float | None = None


class Standing(Word):
    """What one rank of a job is doing, seen among the others."""

    DEAD = "dead"
    STOPPED = "stopped"
    STALLED = "stalled"
    """It makes no progress, and it is not its peers that it waits for."""
    WAITING = "waiting"
    """It waits for a peer."""
    AHEAD = "ahead"
    BEHIND = "behind"
    NEVER_STARTED = "never_started"
    CUT_OFF = "cut_off"
    SLOW = "slow"
    FINISHED = "finished"
    WORKING = "working"


class RankResult(msgspec.Struct, frozen=True, kw_only=True):
    """One rank of a job at the verdict, or at the end."""

    rank: int
    state: Standing
    reason: str
    """One line."""
    culprit: bool = False
    """Whether the job came to grief because of it."""
    host: str | None = None
    steps_completed: int = 0
    last_step: int | None = None
    last_phase: str | None = None
    phase_s: float | None = None
    """Seconds in that phase until the verdict."""
    collective: int | None = None
    """The last that it issued, by number; None when it issued none."""
    collective_op: str | None = None
    collective_step: int | None = None
    exit_code: int | None = None
    signal: str | None = None
    wait_site: str | None = None
    """The function that its stacks show it to wait in."""
    wait: str | None = None
    """What it waits for there, in words."""
    python_frame: str | None = None
    """The line of the user's code that it was called from, such as `train.py:12 in step`."""


class ScenarioResult(msgspec.Struct, frozen=True, kw_only=True):
    scenario: str
    outcome: Outcome
    steps_requested: int | None
    """None when nobody said how many: an outside command that names no total."""
    steps_completed: int
    wall_s: float
    repeat: int = 0
    rank: int = 0
    reason: str | None = None
    """One line: why it was skipped, crashed, called diverged or left unfinished."""
    cause: Cause | None = None
    last_step: int | None = None
    last_phase: str | None = None
    stalled_at_s: float | None = None
    detected_at_s: float | None = None
    exit_code: int | None = None
    signal: str | None = None
    findings: tuple[Finding, ...] = ()
    metrics: Metrics = Metrics()
    ranks: tuple[RankResult, ...] = ()
    """Of a job of several; empty where there is one worker."""


class Verdict(Word):
    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNTESTED = "untested"


class Hypothesis(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    title: str
    verdict: Verdict
    because: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    """Evidence that speaks against the verdict, or the two sides when there is none."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    hypotheses: tuple[Hypothesis, ...] = ()
    unexplained: str | None = None
    """The baseline's symptom, when every hypothesis is refuted or does not explain it."""
    next_experiment: str | None = None
    no_experiment: str | None = None
    """Why there is none, although something is untested."""


class Bound(Word):
    """Whose memory a training is given."""

    MACHINE = "machine"
    CONTAINER = "container"
    PROCESS = "process"
    """There is a limit on its address space."""
    GPU = "gpu"

    @property
    def sentence(self) -> str:
        """A size follows."""
        return _HAS[self]


_HAS = {
    Bound.MACHINE: "this machine has",
    Bound.CONTAINER: "this container may use",
    Bound.PROCESS: "this process may use",
    Bound.GPU: "the GPU has",
}


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The machine and the versions, chosen field by field: nothing that names a person."""

    platform: str
    machine: str
    python: str
    cpu_count: int
    memory: int
    """Physical memory, whatever of it may be used."""
    swap: int | None = None
    usable_memory: int | None = None
    """Bytes that a training on the device may use; None: not known, in an older run."""
    usable_of: Bound = Bound.MACHINE
    """Whose memory that is."""
    versions: dict[str, str | None] = {}
    """Distribution name to version; None when it is not installed."""
    device: str | None = None
    """MLX's default device, as a worker saw it."""
    compiler: str | None = None
    variables: dict[str, str] = {}
    """The few environment variables that change how MLX runs (`MLX_*`)."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """So many of so many, with the 95 % interval of the probability behind it."""

    count: int
    of: int
    low: float
    high: float


class Hang(msgspec.Struct, frozen=True, kw_only=True):
    """The runs that hung in one and the same way, as far as their stacks or their cause tell."""

    share: Share
    fingerprint: str | None
    """None when no stack could be had, or several tools took them, which cannot be compared; then
    only cause and place are known to agree."""
    cause: str
    step: int | None = None
    phase: str | None = None
    wait_site: str | None = None
    repeats: tuple[int, ...] = ()


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A figure over the repeats that have it."""

    runs: int
    min: float
    median: float
    max: float


class RepeatSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The repeats of one scenario, taken together."""

    scenario: str
    outcomes: dict[str, Share]
    """By outcome, those that came."""
    hangs: tuple[Hang, ...] = ()
    figures: dict[str, Spread] = {}
    """By name, as in `harness.repeats.FIGURES`."""


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was planned and, by the user's wish, not started."""

    scenario: str
    repeat: int
    reason: str


class Continuation(msgspec.Struct, frozen=True, kw_only=True):
    """A command that added runs to a run."""

    command: tuple[str, ...]
    started: str
    """ISO 8601, with the zone."""
    interrupted: bool = False


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """run.json."""

    schema: int = SCHEMA
    harness_version: str
    started: str
    """ISO 8601, with the zone."""
    finished: str | None = None
    command: tuple[str, ...] = ()
    environment: Environment
    settings: Settings | None
    """None when outside commands were run."""
    scenarios: tuple[ScenarioInfo, ...] = ()
    results: tuple[ScenarioResult, ...] = ()
    repeats: tuple[RepeatSummary, ...] = ()
    """Of the scenarios that were run more than once."""
    left_out: tuple[LeftOut, ...] = ()
    diagnosis: Diagnosis = Diagnosis()
    interrupted: bool = False
    full: bool = False
    """Whether nothing was redacted, so that it must not be published."""
    continued: tuple[Continuation, ...] = ()
    """What has been added since the first command ended."""
