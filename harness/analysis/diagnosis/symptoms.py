"""The symptoms of one run, as the kinds of the table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.diagnosis.hypotheses import STOPS, Kind
from harness.analysis.findings.learning import REASONS
from harness.model import Finding, Located, Outcome, ScenarioResult, Severity
from harness.scenario.load import BASELINE
from harness.text import late, phrases
from harness.text.units import duration, number, percent, plural

HOST_WAITS = frozenset(("queue", "io"))
HOST_PHASES = frozenset(("data", "checkpoint", "validate", "log"))
DEVICE_WAITS = frozenset(("stream_evaluation", "collective"))
"""Waits that are the runtime's whatever phase the trainer is in."""
NOT_ITS_OWN = frozenset(("running", "gil", "jit", "memory", "unknown"))
"""Kinds of wait after which a hang is named though the main thread does not wait so."""
KILLS = frozenset(("SIGKILL", "SIGSEGV", "SIGBUS", "SIGABRT"))
"""Signals as which the end of memory can show. SIGTERM and SIGINT are somebody's wish."""
OUT_OF_MEMORY = late.compile(
    r"\[(malloc|malloc_or_wait|metal::malloc|cuda_?malloc)\]|^MemoryError|std::bad_alloc"
    r"|out of memory|Insufficient Memory|Cannot allocate memory",
)
"""Messages of MLX, the C++ library, Python, CUDA, Metal and the operating system."""
TRACE_FACTOR, TRACE_S = 5.0, 0.5
"""A second trace matters when its step takes this many usual steps, and this much longer."""
DATA_SHARE, DATA_S = 0.5, 0.25
"""Data matters when it takes this share of a step, and this long."""
SWAP = 256 << 20
"""Growth of used swap, in bytes, below which other programs can be the reason."""
FAULTS = 10_000
"""Major faults below which loading programs and models is the reason."""
DIFFERS = 1e-3
"""Relative difference of losses that are computed alike."""


@dataclass(frozen=True)
class Facts:
    """One run."""

    result: ScenarioResult
    kinds: frozenset[Kind]
    informative: bool
    """False when it was skipped, or ended for reasons of its own: it says nothing either way."""

    @property
    def name(self) -> str:
        """The name of the scenario."""
        return self.result.scenario

    @property
    def steps(self) -> int:
        """Steps that returned."""
        return self.result.steps_completed

    @property
    def compiles(self) -> bool:
        """False when it asked for compilation and had none: it says nothing of what that does."""
        return not any(f.code == "compile_disabled" for f in self.result.findings)

    @property
    def completed(self) -> bool:
        """True if its outcome is `completed`."""
        return self.result.outcome is Outcome.COMPLETED

    @property
    def place(self) -> str | None:
        """The place of a wait: the category of its site, or the phase where no stack was taken."""
        category = self.result.cause.evidence.get("wait_category") if self.result.cause else None
        return str(category) if category else self.result.last_phase

    @property
    def step_s(self) -> float | None:
        """Seconds of a step after the first; of one that never came back, at least its wall time.

        A median over two steps would be half of step 0, hence step 1 itself.
        """
        times = self.result.metrics.step_s
        if Kind.SLOW in self.kinds and self.steps < 2:
            return self.result.wall_s
        if times is None:
            return None
        return times.second if self.steps < 4 and times.second is not None else times.median


def gather(results: Sequence[ScenarioResult]) -> tuple[Facts, ...]:
    """Collect the facts of each run, and those that only a comparison of twins shows."""
    wrong = _recreated_differs(results)
    facts = []
    for result in results:
        kinds = _kinds(result)
        if wrong and result.scenario == "value_and_grad_recreated":
            kinds |= {Kind.MISMATCH}
        facts.append(Facts(result, frozenset(kinds), _informative(result, kinds)))
    return tuple(facts)


def _informative(result: ScenarioResult, kinds: set[Kind]) -> bool:
    if result.outcome in (Outcome.COMPLETED, Outcome.DIVERGED):
        return True
    return bool(kinds & (STOPS | {Kind.SLOW, Kind.SLOW_DATA}))


def _kinds(result: ScenarioResult) -> set[Kind]:
    kinds = ended_by(result)
    findings = {f.code: f for f in result.findings if not f.expected}
    if "graph_growth" in findings or "deferred_work" in findings:
        kinds.add(Kind.PILING)
    if "memory_growth" in findings and "graph_growth" not in findings:
        kinds.add(Kind.GROWING)
    if "cache_growth" in findings:
        kinds.add(Kind.CACHING)
    if "shapes_growth" in findings:
        kinds.add(Kind.VARIED)
    if "retrace_every_step" in findings or _traced_twice(result, findings.get("double_trace")):
        kinds.add(Kind.RETRACED)
    if "loss_flat" in findings or "parameters_unchanged" in findings:
        kinds.add(Kind.INERT)
    if any(f.code in REASONS and f.severity is not Severity.INFO for f in findings.values()):
        kinds.add(Kind.UNTAUGHT)
    if Kind.DIVERGED in kinds and _located(result):
        kinds.add(Kind.NOT_FINITE)
    if any(f.code == "check_failed" and _stale(f) for f in result.findings):
        kinds.add(Kind.MISMATCH)
    return kinds | _times(result, findings.get("step_time_jump"))


def _located(result: ScenarioResult) -> bool:
    """Return True if a replay named an operation. What came in with the batch, or was loaded, is
    none."""
    found = result.origin
    return found is not None and found.status is Located.LOCATED and bool(found.operation)


def ended_by(result: ScenarioResult) -> set[Kind]:
    """The symptoms that lie in the way in which a run ended."""
    if result.outcome is Outcome.HUNG:
        return _hang(result)
    if result.outcome is Outcome.CRASHED:
        return _crash(result)
    if result.outcome is Outcome.DIVERGED:
        return {Kind.DIVERGED}
    if any(finding.code == "ended_early" for finding in result.findings):
        return set()  # by itself, and not because it is slow
    interrupted = (result.reason or "").startswith("interrupted")
    if result.outcome is Outcome.UNFINISHED and not interrupted:
        if result.last_phase == "compile":
            return {Kind.COMPILING}
        return {Kind.SLOW_DATA if result.last_phase == "data" else Kind.SLOW}
    return set()


def _hang(result: ScenarioResult) -> set[Kind]:
    cause = result.cause
    if cause is None or cause.code == "stopped":
        return set()
    category = cause.evidence.get("wait_category")
    if cause.proven:
        # What nobody will ever put into a queue is the loader's fault as well.
        return {Kind.DEAD, Kind.PROVEN} | ({Kind.HOST} if category in HOST_WAITS else set())
    if category == "jit":
        return {Kind.COMPILING}
    if end_of(result) == "gpu_works" and not _pages(result):
        return {Kind.KERNEL}
    if category == "memory" or cause.code == "starved":
        return {Kind.STARVED}
    in_host_phase = result.last_phase in HOST_PHASES and category not in DEVICE_WAITS
    host = category in HOST_WAITS or category == "child" or in_host_phase
    if host:
        return {Kind.HOST}
    return {Kind.DEAD} | ({Kind.IDLE_GPU} if end_of(result) == "gpu_idle" else set())


def end_of(result: ScenarioResult) -> str | None:
    """The kind of the end of its chain of waits, where it has one."""
    end = result.cause.evidence.get("end") if result.cause else None
    return None if end is None else str(end.get("kind"))


def _pages(result: ScenarioResult) -> bool:
    """Return True if memory was swapped: a GPU that waits for it seems to work on one kernel."""
    memory = result.metrics.memory
    return (memory.swap_growth or 0) >= SWAP or (memory.major_faults or 0) >= FAULTS


def _crash(result: ScenarioResult) -> set[Kind]:
    codes = {finding.code for finding in result.findings}
    if OUT_OF_MEMORY.search(result.reason or "") or codes & {"memory_limited", "oom_killer"}:
        return {Kind.NO_MEMORY}
    if result.signal is not None:
        return {Kind.KILLED} if result.signal in KILLS else set()
    # Without an exit code its guard was killed: nothing is known of the worker itself.
    return {Kind.RAISED} if result.exit_code is not None else set()


def _times(result: ScenarioResult, jump: Finding | None) -> set[Kind]:
    phases = result.metrics.phase_s
    data, total = phases.get("data", 0.0), sum(phases.values())
    kinds = {Kind.SLOW_DATA} if data >= DATA_S and data >= DATA_SHARE * total else set()
    if jump is None or not jump.evidence.get("lasting"):
        return kinds
    if jump.evidence.get("phase") == "data":
        return kinds | {Kind.SLOW_DATA}
    return kinds | {Kind.JUMP if jump.evidence.get("step") == 1 else Kind.SLOW}


def _traced_twice(result: ScenarioResult, finding: Finding | None) -> bool:
    """Return True if an unexpected second trace costs noticeable time."""
    times = result.metrics.step_s
    if times is None or finding is None or finding.severity is Severity.INFO:
        return False
    limit = max(TRACE_FACTOR * times.median, times.median + TRACE_S)
    return float(finding.evidence.get("seconds_step_1") or 0.0) >= limit


def _stale(finding: Finding) -> bool:
    return str(finding.evidence.get("name", "")).startswith("stale_loss")


def _recreated_differs(results: Sequence[ScenarioResult]) -> bool:
    """Return True if a new value_and_grad in each step gives another loss than a reused one.

    The baseline and its twin compute the same: what differs between them is not to be told apart.
    And where scenarios that go another way about it agree with the new one, it is the kept one that
    is wrong, for which a compiled function is reason enough.
    """
    base, reused, new = (
        _last_loss(results, name)
        for name in (BASELINE, "value_and_grad_reused", "value_and_grad_recreated")
    )
    if base is None or reused is None or new is None:
        return False
    noise = max(DIFFERS * abs(reused), 10 * abs(base - reused))
    if min(abs(new - reused), abs(new - base)) <= noise:
        return False
    others = (_last_loss(results, name) for name in ("vjp_step", "eval_after_update"))
    return not any(other is not None and abs(other - new) <= noise for other in others)


def _last_loss(results: Sequence[ScenarioResult], name: str) -> float | None:
    for result in results:
        loss = result.metrics.loss
        if result.scenario == name and result.outcome is Outcome.COMPLETED and loss is not None:
            return loss.last
    return None


# --- sentences ------------------------------------------------------------------------------------


def describe(runs: Sequence[Facts], kinds: frozenset[Kind] = STOPS) -> str:
    """Describe runs of one scenario in one sentence.

    Examples: `sgd_step completes 10 steps`, `baseline_update hangs in step 1, phase eval
    (3 of 4 runs)`.

    It describes the first run that shows one of `kinds`, and counts those that do the same.
    """
    first = next((run for run in runs if run.kinds & kinds), runs[0])
    same = sum(bool(run.kinds & kinds) == bool(first.kinds & kinds) for run in runs)
    text = f"{first.name} {_verb(first)}"
    if len(runs) == 1:
        return text
    others = " of it and its like" if any(run.name != first.name for run in runs) else ""
    return f"{text} ({same} of {len(runs)} runs{others})"


def _verb(run: Facts) -> str:
    result = run.result
    stops = [kind for kind in Kind if kind in run.kinds & STOPS]
    if stops:
        verb = _ends(run, stops)
        return f"{verb} {phrases.place(result.last_step, result.last_phase)}".rstrip()
    verb = {
        Outcome.COMPLETED: f"completes {plural(run.steps, 'step')}",
        Outcome.DIVERGED: "diverges",
        Outcome.UNFINISHED: f"is unfinished after {plural(run.steps, 'step')}",
    }.get(result.outcome, f"is {result.outcome.value}")
    peak = result.metrics.memory.peak_over_p
    verb += "" if peak is None else f" at a peak of {number(peak, 3)} P"
    told = run.kinds - {Kind.DIVERGED, Kind.NOT_FINITE}
    kinds = [_describe_kind(kind, run) for kind in Kind if kind in told]
    return " and ".join([verb, *kinds])


def _ends(run: Facts, stops: Sequence[Kind]) -> str:
    if stops[0] is Kind.KILLED or (run.result.signal and stops[0] is Kind.NO_MEMORY):
        return f"is killed by {run.result.signal}"
    if Kind.PROVEN in stops:
        return Kind.PROVEN.value
    # What it waits for is known from its stacks alone; a phase does not say it.
    return Kind.DEAD.value if Kind.HOST in stops else stops[-1].value


def waits(run: Facts) -> str | None:
    """Describe the wait of a hung run; None without stacks.

    Example: `the main thread waits for a queue (get), from train.py:12 in step`.
    """
    evidence = run.result.cause.evidence if run.result.cause else {}
    site, category = evidence.get("wait_site"), evidence.get("wait_category")
    if not site:
        return None
    if category == "child" and not site.startswith("waits for a child"):
        return f"a child process {site}"
    # The thread that computes for a stream may be the one that names the cause.
    return f"{'it' if category in NOT_ITS_OWN else 'the main thread'} {site}"


def _describe_kind(kind: Kind, run: Facts) -> str:
    times = run.result.metrics.step_s
    if kind is Kind.JUMP and times is not None and times.second is not None:
        return f"jumps from {duration(times.first)} in step 0 to {duration(times.second)} in step 1"
    phases = run.result.metrics.phase_s
    if kind is Kind.SLOW_DATA and (share := _data_share(phases)):
        of = f"{duration(phases['data'])} of {duration(sum(phases.values()))}"
        return f"spends {percent(share)} of each step ({of}) waiting for data"
    return kind.value


def _data_share(phases: Mapping[str, float]) -> float:
    """The share of the phase `data` in a step; 0 where it is not the larger part."""
    total = sum(phases.values())
    share = phases.get("data", 0.0) / total if total > 0 else 0.0
    return share if share >= DATA_SHARE else 0.0
