"""run.json: where a run took place, its results and figures, and what they say together."""

from __future__ import annotations

import msgspec

from harness.model.beats import SCHEMA
from harness.model.enums import TextEnum
from harness.model.ladder import EnvironmentLadder
from harness.model.origin import Origin
from harness.model.outcome import Cause, Doubt, Finding, KnownIssueMatch, Outcome
from harness.model.ranks import RankResult
from harness.model.settings import ScenarioInfo, Settings


class Bound(TextEnum):
    """Whose memory a training is given."""

    MACHINE = "machine"
    CONTAINER = "container"
    PROCESS = "process"
    """There is a limit on its address space."""
    GPU = "gpu"
    GIVEN = "given"
    """Another machine's, as somebody said."""

    @property
    def sentence(self) -> str:
        """A size follows."""
        return _HAS[self]


_HAS = {
    Bound.MACHINE: "this machine has",
    Bound.CONTAINER: "this container may use",
    Bound.PROCESS: "this process may use",
    Bound.GPU: "the GPU has",
    Bound.GIVEN: "there are to be",
}


class Mac(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that slow a Mac down, or bound its GPU's memory."""

    wired_limit: int | None = None
    """Bytes that the GPU may keep in memory (sysctl iogpu.wired_limit_mb); 0: macOS chooses."""
    low_power: bool | None = None
    thermal: str = ""
    """The limit of the CPU because of heat; `no limit`; empty: not known."""
    unread: dict[str, str] = {}
    """The reason why one of these is not known, by its name."""


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
    mac: Mac | None = None
    """None: this is no Mac, or the run is an older one."""


class StepTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Wall time of a step in seconds: data to evaluation, graph sampling left out."""

    first: float
    median: float
    p99: float
    max: float
    second: float | None = None
    """The time of step 1, which in a lazy framework may pay for step 0."""


class LossSummary(msgspec.Struct, frozen=True, kw_only=True):
    first: float
    last: float
    min: float | None
    """Over the finite losses; None when there are none."""
    max: float | None
    finite: bool


class FigureSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A named figure of a log, over all of its reads."""

    name: str
    """As the log prints it, in lower case."""
    first: float
    last: float
    min: float | None
    """Over the finite ones; None when there are none."""
    max: float | None
    reads: int
    not_finite: int = 0
    """The number of reads that were NaN or infinite."""


class MemorySummary(msgspec.Struct, frozen=True, kw_only=True):
    active_peak: int | None = None
    """Highest active memory seen when a step returned."""
    peak: int | None = None
    """Highest active memory inside any step, or that a log tells."""
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
    page_outs: int | None = None
    decompressions: int | None = None
    """Pages that the machine wrote to a disk, and that it decompressed, while it ran (macOS)."""
    limit: int | None = None
    """The bound that `--memory-limit` gave, in bytes; None without one."""
    limited_peak: int | None = None
    """Highest memory that was measured against it: pages of files left out, shared ones once."""
    unread: dict[str, str] = {}
    """The reasons why figures are null, by their names."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    step_s: StepTimes | None = None
    phase_s: dict[str, float] = {}
    """Median seconds of each phase after the first step."""
    loss: LossSummary | None = None
    figures: tuple[FigureSummary, ...] = ()
    """The other figures that a log gives, in the order of their names."""
    memory: MemorySummary = MemorySummary()
    traces: int | None = None
    """None when nothing was compiled by the scenario."""
    graph_nodes_last: int | None = None
    parameters_changed: bool | None = None
    """True if any trainable tensor changed; None when that could not be seen."""
    drain_s: float | None = None


class Support(TextEnum):
    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNTESTED = "untested"


class Hypothesis(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    title: str
    verdict: Support
    because: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    """Evidence that speaks against the verdict, or the two sides when there is none."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    hypotheses: tuple[Hypothesis, ...] = ()
    unexplained: str | None = None
    """The baseline's symptom, when every hypothesis is refuted or does not explain it."""
    next_experiment: str | None = None
    no_experiment: str | None = None
    """The reason why there is none, although something is untested."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A share, so many of so many, with the 95 % interval of the probability behind it."""

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
    """The share of each outcome that came, by outcome."""
    hangs: tuple[Hang, ...] = ()
    figures: dict[str, Spread] = {}
    """The spread of each figure, by its name in `harness.analysis.repeats.FIGURES`."""


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
    place: str | None = None
    """The line of the user's code that an exception came from, such as `train.py:12 in step`."""
    cause: Cause | None = None
    last_step: int | None = None
    last_phase: str | None = None
    stalled_at_s: float | None = None
    detected_at_s: float | None = None
    exit_code: int | None = None
    signal: str | None = None
    findings: tuple[Finding, ...] = ()
    metrics: Metrics = Metrics()
    doubts: tuple[Doubt, ...] = ()
    """Doubts that were said while it ran, those that were taken back included."""
    ranks: tuple[RankResult, ...] = ()
    """The ranks of a job of several; empty where there is one worker."""
    known_issues: tuple[KnownIssueMatch, ...] = ()
    """Public bugs and pitfalls that it shows, the surest first."""
    origin: Origin | None = None
    """The place where its numbers stopped being finite; None where nothing was replayed."""

    @property
    def first_step_known(self) -> bool:
        """True unless the steps come from a log, which does not tell how long the first one took:
        then the first time that is known is that of a later step."""
        return all(finding.code != "steps_printed" for finding in self.findings)


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
    """Summaries of the scenarios that were run more than once."""
    left_out: tuple[LeftOut, ...] = ()
    diagnosis: Diagnosis = Diagnosis()
    ladder: EnvironmentLadder | None = None
    """The answer of an environment ladder; None where none was run."""
    interrupted: bool = False
    full: bool = False
    """True if nothing was redacted, so that it must not be published."""
    continued: tuple[Continuation, ...] = ()
    """The runs that were added since the first command ended."""
