"""The types everything else speaks in: frozen, and without an import from the rest of the package.

In the order in which data flows: what is asked for (`asked`), what a worker writes (`beats`), what
the supervisor sees from outside (`seen`), what is said of one worker (`verdict`, `metrics`,
`ranks`), and what is told of all of them (`diagnosis`, `environment`, `repeats`, `run`). Others
import each of them from here.

Times named `t` are seconds of `time.monotonic()`, which all processes of one machine share and
which stands still while the machine sleeps, so that a closed lid is not a hang. Sizes are bytes.
"""

from __future__ import annotations

from harness.model.beats import (
    SCHEMA,
    AnyBeat,
    Beat,
    BuiltBeat,
    CheckBeat,
    CollectiveBeat,
    EndBeat,
    ErrorBeat,
    GradientBeat,
    MlxBeat,
    ModelBeat,
    Number,
    Position,
    StartBeat,
    StepBeat,
    Tensors,
)
from harness.model.outcome import Cause, Doubt, Ending, Finding, Outcome, Severity, Transient
from harness.model.ranks import (
    RankResult,
    Standing,
)
from harness.model.run import (
    Bound,
    Continuation,
    Diagnosis,
    Environment,
    Hang,
    Hypothesis,
    LeftOut,
    LossSummary,
    MemorySummary,
    Metrics,
    RepeatSummary,
    RunResult,
    ScenarioResult,
    Share,
    Spread,
    StepTimes,
    Support,
)
from harness.model.settings import (
    Command,
    Expected,
    Host,
    Hostfile,
    OnHang,
    Patience,
    ScenarioInfo,
    Settings,
    WorkerSpec,
)
from harness.model.snapshot import Machine, Process, Sample, Snapshot, Thread

__all__ = [
    "SCHEMA",
    "AnyBeat",
    "Beat",
    "Bound",
    "BuiltBeat",
    "Cause",
    "CheckBeat",
    "CollectiveBeat",
    "Command",
    "Continuation",
    "Diagnosis",
    "Doubt",
    "EndBeat",
    "Ending",
    "Environment",
    "ErrorBeat",
    "Expected",
    "Finding",
    "GradientBeat",
    "Hang",
    "Host",
    "Hostfile",
    "Hypothesis",
    "LeftOut",
    "LossSummary",
    "Machine",
    "MemorySummary",
    "Metrics",
    "MlxBeat",
    "ModelBeat",
    "Number",
    "OnHang",
    "Outcome",
    "Patience",
    "Position",
    "Process",
    "RankResult",
    "RepeatSummary",
    "RunResult",
    "Sample",
    "ScenarioInfo",
    "ScenarioResult",
    "Settings",
    "Severity",
    "Share",
    "Snapshot",
    "Spread",
    "Standing",
    "StartBeat",
    "StepBeat",
    "StepTimes",
    "Support",
    "Tensors",
    "Thread",
    "Transient",
    "WorkerSpec",
]
