"""A small physical model of a training run, with faults, to test the diagnosis against.

It knows nothing of hypotheses and of what they expect. A scenario is what its file does: which
work it asks for and when it is evaluated, what is compiled, what it allocates. A fault is what it
does to a machine: too little memory, a loader that blocks, an event that is never signaled. Each
run is simulated step by step into the beats that a worker would have written and the ending that
the supervisor would have seen; outcomes, findings and figures are then `classify`'s own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from harness.analysis.classify import classify
from harness.analysis.origin import request, with_origin
from harness.beats.file import number
from harness.beats.record import gather
from harness.model import (
    Cause,
    CheckBeat,
    EndBeat,
    Ending,
    Environment,
    ErrorBeat,
    LearningBeat,
    Locate,
    Located,
    MemorySummary,
    ModelBeat,
    Origin,
    Position,
    ScenarioResult,
    Settings,
    StartBeat,
    StepBeat,
    Tensors,
)
from harness.model.beats import Gradients, Labels
from harness.scenario import load as scenario

STEPS = 10
BUDGET_S = 300.0
INFOS = {info.name: info for info in scenario.ladder()}


@dataclass(frozen=True)
class Variation:
    """What a scenario's file does."""

    backward: bool = True
    """Gradients of the loss are asked for by somebody, at some time."""
    update: bool = True
    evaluates: str = "loss"
    """Beside the loss, within the step: `all`, `parameters` or `gradients`."""
    compiled: str | None = None
    """`once` or `rebuilt`: the whole step."""
    initialized: bool = False
    kernels: bool = True
    """Whether anything at all is compiled, the model's own layers included."""
    transform: str = "kept"
    """The function that computes gradients: `kept`, `new` in each step, or `vjp`."""
    moments: float = 2.0
    trained: float = 1.0
    scale: float = 1.0
    width: float = 1.0
    loader: bool = True
    every: int = 1
    oracle: bool = False
    clears: bool = False
    """The cache is cleared at the end of each step."""


VARIATIONS = {
    "baseline_update": Variation(),
    "value_and_grad_reused": Variation(),
    "clear_cache_after_update": Variation(clears=True),
    "value_and_grad_recreated": Variation(transform="new"),
    "vjp_step": Variation(transform="vjp"),
    "sgd_step": Variation(moments=0.0),
    "lora_step": Variation(trained=0.03),
    "tiny_model": Variation(scale=0.001),
    "half_precision": Variation(width=0.5),
    "constant_batch": Variation(loader=False),
    "grad_without_update": Variation(backward=False, update=False),
    "grad_evaluated_without_update": Variation(update=False, evaluates="gradients"),
    "update_without_grad": Variation(backward=False, evaluates="all"),
    "eval_after_update": Variation(evaluates="all"),
    "eval_parameters_only": Variation(evaluates="parameters"),
    "stale_loss_oracle": Variation(evaluates="all", oracle=True),
    "loss_read_every_k": Variation(every=3),
    "compiled_step": Variation(compiled="once"),
    "compiled_step_initialized": Variation(compiled="once", initialized=True),
    "rebuild_compiled": Variation(compiled="rebuilt"),
    "uncompiled_step": Variation(kernels=False),
}


@dataclass(frozen=True)
class Memory:
    capacity: float
    """In units of the trainable parameters of the full model."""
    mode: str
    """`limit` of the process, the kernel's `killer`, or `swap`."""
    slowdown: float = 50.0


@dataclass(frozen=True)
class Stale:
    """A compiled function that is kept goes wrong."""

    where: str
    """`layers`: in every scenario that compiles; `step`: only where the whole step is compiled."""
    job: str
    symptom: str
    """`frozen`, `nan` or `hang`."""
    step: int


@dataclass(frozen=True)
class Corruption:
    """What a gradient function still has to read is given away once an evaluation is over.

    It knows the parameters by their names in the model; where an update has put others in their
    place, nothing but its pending graph holds the old ones, and that is forgotten.
    """

    symptom: str
    """`nan`, `segfault`, `hang` or `silent`."""
    step: int
    new_helps: bool
    """Whether a new gradient function in each step avoids it."""


@dataclass(frozen=True)
class Leak:
    share: float
    """Of the gradients' bytes, kept in each step."""
    where: str
    """`gradients`, wherever they are evaluated; `binding`, of value_and_grad; `update`."""


@dataclass(frozen=True)
class Retrace:
    why: str
    """`shapes` change; a `constant` in the function does; `compiler` never returns; `cold`."""
    seconds: float
    counted: bool
    """The user's function in the baseline is compiled, and so counted."""


@dataclass(frozen=True)
class Shapes:
    """Each batch has a shape of its own."""

    counted: bool
    """The user's function in the baseline is compiled, and so counted."""
    cached: float
    """Of the gradients' bytes, which MLX keeps in each step and no later step can use."""
    seconds: float


@dataclass(frozen=True)
class Deadlock:
    job: str
    step: int
    rate: float
    proven: bool
    category: str | None


@dataclass(frozen=True)
class Data:
    how: str
    """`blocks`, `slow`, or `checkpoint`: writing one blocks."""
    step: int
    category: str | None
    seconds: float = 1.0


@dataclass(frozen=True)
class Untaught:
    """The training is set up so that it cannot learn."""

    why: str
    """`rate`: it is 0; `labels`: none counts; `detached`: the loss leaves the graph; `rounded`:
    each update is below the resolution of the weights."""
    seen: bool
    """The optimizer is followed, and so the reason is seen."""


@dataclass(frozen=True)
class Numerics:
    """An operation gets numbers for which it has no finite result."""

    job: str
    step: int
    narrow: bool
    """They are too large for half precision alone: what has the range of single precision holds
    them. The model is one of half precision then."""
    of_batch: bool
    """A batch brings them, that of `step`; else the training comes to them."""
    located: bool
    """A replay names the operation."""


@dataclass(frozen=True)
class Kernel:
    """A kernel of the GPU loops for ever."""

    job: str
    step: int
    only: str | None
    """`fused`: one that the compiler made; `narrow`: one for half precision; `large`: one for
    large matrices; None: any."""


@dataclass(frozen=True)
class Lost:
    """The GPU finishes its work, and the host is never told."""

    job: str
    step: int
    rate: float


@dataclass(frozen=True)
class Laziness:
    """No fault at all: one that is felt, because a step is long."""


@dataclass(frozen=True)
class Machine:
    parameters: float
    """Bytes of the full model."""
    memory: float
    forward_s: float
    activations: float
    """In units of the model."""
    cold: bool
    """No kernel has been compiled yet."""
    jitter: float
    stray: float
    """Share of runs that end for reasons of their own."""
    gpu: bool
    """It computes on a GPU, which can be asked for its work."""
    faults: tuple[object, ...]

    def fault(self, kind):
        return next((f for f in self.faults if isinstance(f, kind)), None)


class Stopped(Exception):  # noqa: N818
    def __init__(self, phase, seconds=0.0, **ending):
        self.phase, self.seconds, self.ending = phase, seconds, ending


@dataclass
class Run:
    """One run of one scenario, while it is simulated."""

    machine: Machine
    variation: Variation
    draw: random.Random
    acted: set[str] = field(default_factory=set)
    """Names of the faults that did something which can be seen."""
    pending: list[tuple[str, int]] = field(default_factory=list)
    version: int = 0
    """Of the parameters that the model names: each update puts new ones in their place."""
    given_away: int = 0
    """Versions below this one are no longer what they were, where nobody but a graph holds them."""
    reads: dict[int, int] = field(default_factory=dict)
    """By step, the version that its graph reads."""
    leaked: float = 0.0
    cached: float = 0.0
    traces: int = 0
    calls: int = 0
    swap: float = 0.0
    frozen: bool = False
    broken: bool = False
    overflowed: bool = False
    updates: int = 0
    silent: bool = False
    lucky: bool | None = None
    """Whether a deadlock that comes and goes spares this run; not known before it is due."""
    told: bool | None = None
    """The same of an end of the GPU's work that is lost now and then."""
    high: float = 0.0
    """Peak of the last evaluation, bytes."""
    beats: list = field(default_factory=list)
    t: float = 0.0
    phases: dict = field(default_factory=dict)

    # -- what it costs

    @property
    def model(self) -> float:
        return self.machine.parameters * self.variation.scale * self.variation.width

    @property
    def trained(self) -> float:
        return self.model * self.variation.trained

    def cost(self, job: str) -> float:
        v = self.variation
        unit = self.machine.forward_s * max(v.scale, 0.02)
        share = {"forward": 1.0, "backward": 2.0, "update": 0.3 * v.trained * (1 + v.moments / 2)}
        return unit * share[job] * self.draw.lognormvariate(0, self.machine.jitter)

    def live(self) -> float:
        """What outlives a step: weights, the optimizer's state, and what is leaked."""
        moments = self.variation.moments * self.trained if self.updates else 0.0
        return self.model + moments + self.leaked

    def peak(self, jobs: list[tuple[str, int]]) -> float:
        v, kinds = self.variation, {job for job, _ in jobs}
        need = self.model * (1 + self.machine.activations) + self.leaked
        state = v.moments * self.trained
        if "backward" in kinds:
            need += self.trained
        if "update" in kinds:
            made = 0.0 if v.backward else self.trained
            at_once = 1.5 * self.trained if v.evaluates == "all" and state else 0.0
            old = 0.5 * self.trained if state and self.updates else 0.0
            need += made + state + (1.0 if state else 0.5) * self.trained + at_once + old
        elif self.updates:
            need += state
        return need

    def spend(self, phase: str, seconds: float) -> None:
        self.phases[phase] = self.phases.get(phase, 0.0) + seconds
        self.t += seconds
        if self.t > BUDGET_S:
            raise Stopped(phase, over_budget=True)

    # -- what happens in a step

    def step(self, step: int) -> None:
        v = self.variation
        self.phases = {}
        self.load(step)
        self.spend("forward", 0.002)
        self.trace(step)
        self.reads[step] = self.version
        self.version += v.update
        jobs = [("forward", step)]
        later = [("backward", step)] * v.backward + [("update", step)] * v.update
        if v.evaluates == "gradients":
            jobs += [("backward", step)]
            later = []
        elif not v.update:
            later = []  # nobody asks for the gradients, ever
        elif v.evaluates != "loss":
            jobs, later = jobs + later, []
        self.keep()
        read = (step + 1) % v.every == 0 or step == STEPS - 1
        if read:
            work, self.pending = self.pending + jobs, later
            self.evaluate(work)
        else:
            self.pending += jobs + later
        loss = self.loss(step)
        if v.oracle:
            self.check(step, loss)
        self.beats.append(
            StepBeat(
                t=self.t,
                step=step,
                phases=dict(self.phases),
                loss=number(loss) if read else None,
                active=round(self.live()),
                peak=round(self.high),
                cache=round(self.cached),
                shapes=step + 1 if self.varied else 1,
                inputs=1000,
                traces=self.traces,
                calls=self.calls,
            )
        )
        self.checkpoint(step)

    @property
    def varied(self) -> bool:
        """Whether each batch has a shape of its own."""
        retrace = self.machine.fault(Retrace)
        anew = self.machine.fault(Shapes) or (retrace and retrace.why == "shapes")
        return bool(anew) and self.variation.loader

    def keep(self) -> None:
        """What the step has freed stays in the cache, where no later step finds a use for it."""
        fault = self.machine.fault(Shapes)
        if fault and self.varied and fault.cached and not self.variation.clears:
            self.acted.add("shapes")
            self.cached += fault.cached * self.trained

    def load(self, step: int) -> None:
        fault = self.machine.fault(Data)
        if fault and fault.how == "blocks" and step == fault.step and self.variation.loader:
            self.hang("data", "data", "waiting", fault.category)
        if fault and fault.how == "slow" and step >= fault.step and self.variation.loader:
            self.acted.add("data")
            self.spend("data", fault.seconds * self.draw.lognormvariate(0, 0.3))
        self.spend("data", 0.0005)

    def checkpoint(self, step: int) -> None:
        fault = self.machine.fault(Data)
        if fault and fault.how == "checkpoint" and step == fault.step:
            self.hang("data", "checkpoint", "waiting", fault.category)

    def trace(self, step: int) -> None:
        """Tracing, and the compiler's time for kernels that are not there yet."""
        v, fault = self.variation, self.machine.fault(Retrace)
        shapes = self.machine.fault(Shapes)
        counted = (fault and fault.counted) or (shapes and shapes.counted)
        user = v.compiled is not None or bool(counted and v.kernels)
        self.calls += user
        anew = v.compiled == "rebuilt" or step == 0
        second = v.compiled == "once" and not v.initialized and step == 1
        changed = bool(
            fault
            and step > 0
            and v.kernels
            and (user or fault.counted)
            and (fault.why == "constant" or (fault.why == "shapes" and v.loader))
        )
        reshaped = bool(shapes and step > 0 and v.kernels and user and self.varied)
        if user and (anew or second or changed or reshaped):
            self.traces += 1
        if reshaped:
            self.acted |= {"retrace", "shapes"}
            self.spend("forward", shapes.seconds * self.draw.lognormvariate(0, 0.2))
        if changed:
            # Where it is the shapes that change, they are the cause of it.
            self.acted |= {"retrace"} | ({"shapes"} if self.varied else set())
            self.spend("forward", fault.seconds * self.draw.lognormvariate(0, 0.2))
        if fault and fault.why == "compiler" and v.kernels and step == 0:
            self.acted.add("retrace")
            self.hang("retrace", "eval", "waiting", "jit")
        if self.machine.cold and v.compiled and v.kernels and (step == 0 or second):
            self.spend("forward", (8.0 if step == 0 else 3.0) * self.draw.uniform(0.8, 1.2))

    def evaluate(self, jobs: list[tuple[str, int]]) -> None:
        for job, step in jobs:
            self.deadlock(job, step)
            self.kernel(job, step)
            self.lose(job, step)
            self.stale(job, step)
            self.corrupt(job, step)
            self.overflow(job, step)
        self.high = self.peak(jobs)
        slow = self.pressure()
        self.spend("eval", sum(self.cost(job) for job, _ in jobs) * slow)
        for job, _ in jobs:
            leak = self.machine.fault(Leak)
            if leak and self.leaks(leak, job):
                self.acted.add("leak")
                self.leaked += leak.share * self.trained
            self.updates += job == "update"
        self.given_away = self.version

    def leaks(self, leak: Leak, job: str) -> bool:
        if leak.where == "update":
            return job == "update"
        if leak.where == "binding" and self.variation.transform == "vjp":
            return False
        return job == "backward"

    def pressure(self) -> float:
        """The factor by which memory slows the step down; it may end the run."""
        fault = self.machine.fault(Memory)
        capacity = fault.capacity * self.machine.parameters if fault else self.machine.memory
        if self.high <= capacity:
            return 1.0
        leak = self.machine.fault(Leak)
        if leak and self.high - self.leaked <= capacity:
            self.acted.add("leak")
        else:
            self.acted.add("memory")
        mode = fault.mode if fault else "killer"
        if mode == "swap":
            self.swap = max(self.swap, self.high - capacity)
            return fault.slowdown
        if mode == "killer":
            raise Stopped("eval", 0.5, signal="SIGKILL")
        if self.draw.random() < 0.3:
            raise Stopped("eval", 0.5, error="[malloc_or_wait] Unable to allocate 1073741824")
        raise Stopped("eval", 0.5, signal=self.draw.choice(["SIGSEGV", "SIGSEGV", "SIGABRT"]))

    def deadlock(self, job: str, step: int) -> None:
        fault = self.machine.fault(Deadlock)
        if fault is None or job != fault.job or step != fault.step:
            return
        if self.lucky is None:
            self.lucky = self.draw.random() >= fault.rate
        if not self.lucky:
            code = "deadlock" if fault.proven else "stalled"
            self.hang("deadlock", "eval", code, fault.category)

    def stale(self, job: str, step: int) -> None:
        fault = self.machine.fault(Stale)
        v = self.variation
        if fault is None or job != fault.job or step < fault.step or not v.kernels:
            return
        if v.compiled == "rebuilt" or (fault.where == "step" and v.compiled is None):
            return
        self.acted.add("stale_compile")
        if fault.symptom == "hang":
            self.hang("stale_compile", "eval", "stalled", "stream_evaluation")
        self.frozen |= fault.symptom == "frozen"
        self.broken |= fault.symptom == "nan"

    def corrupt(self, job: str, step: int) -> None:
        fault = self.machine.fault(Corruption)
        if fault is None or job != "backward" or not self.damaged(fault, step):
            return
        self.acted.add("corruption")
        if fault.symptom == "hang":
            self.hang("corruption", "eval", "stalled", "stream_evaluation")
        if fault.symptom == "segfault":
            raise Stopped("eval", 0.1, signal="SIGSEGV")
        self.broken |= fault.symptom == "nan"
        self.silent |= fault.symptom == "silent"

    def overflow(self, job: str, step: int) -> None:
        fault, v = self.machine.fault(Numerics), self.variation
        if fault is None or job != fault.job or step < fault.step:
            return
        if fault.narrow and v.width < 1.0:
            return  # bfloat16
        if fault.of_batch and not v.loader:
            return  # that batch never comes
        if not (v.update and v.backward) and not (fault.of_batch and job == "forward"):
            return  # what is not trained neither comes there, nor keeps what is not finite
        self.acted.add("numerics")
        self.broken = self.overflowed = True

    def damaged(self, fault: Corruption, step: int) -> bool:
        """Whether what the graph of `step` reads has been given away by now."""
        transform = self.variation.transform
        # A vjp is handed the arrays themselves, so that it holds them.
        holds = transform == "vjp" or (transform == "new" and fault.new_helps)
        return step >= fault.step and not holds and self.reads[step] < self.given_away

    def check(self, step: int, loss: float) -> None:
        """The loss is read once more, from its graph, after all has been evaluated."""
        fault = self.machine.fault(Corruption)
        wrong = fault is not None and self.damaged(fault, step)
        if wrong:
            self.acted.add("corruption")
        value = loss * (1.05 if wrong else 1.0)
        self.beats.append(
            CheckBeat(t=self.t, step=step, name="stale_loss", value=number(value),
                      expected=number(loss), ok=not wrong)
        )  # fmt: skip

    def kernel(self, job: str, step: int) -> None:
        fault, v = self.machine.fault(Kernel), self.variation
        if fault is None or job != fault.job or step < fault.step:
            return
        another = {"fused": not v.kernels, "narrow": v.width < 1.0, "large": v.scale < 1.0}
        if not another.get(fault.only, False):
            self.hang("kernel", "eval", "waiting", "stream_evaluation", "gpu_works")

    def lose(self, job: str, step: int) -> None:
        fault = self.machine.fault(Lost)
        if fault is None or job != fault.job or step < fault.step:
            return
        if self.told is None:
            self.told = self.draw.random() >= fault.rate
        if not self.told:
            self.acted.add("deadlock")  # the host waits for an event that cannot come
            self.hang("gpu_idle", "eval", "stalled", "stream_evaluation", "gpu_idle")

    def hang(
        self, name: str, phase: str, code: str, category: str | None, end: str | None = None
    ) -> None:
        self.acted.add(name)
        evidence = {"wait_category": category, "fingerprint": name} if category else {}
        if end is None and self.machine.gpu and category == "stream_evaluation":
            # Whatever keeps the host from it, the GPU has nothing to do.
            end = "gpu_idle"
        if end is not None:
            evidence["end"] = {"kind": end}
            self.acted |= {end} & {"gpu_idle"}
        proven = code == "deadlock"
        cause = Cause(code=code, summary=f"{phase} {code}", proven=proven, evidence=evidence)
        raise Stopped(phase, 2.0 if proven else 40.0, cause=cause)

    def stuck(self) -> bool:
        """Return True if no update moves a weight."""
        fault, v = self.machine.fault(Untaught), self.variation
        if fault is None or not v.update:
            return False
        self.acted.add("learning")
        # Made-up gradients need no label and no loss.
        return fault.why in ("rate", "rounded") or v.backward

    def learning(self) -> list:
        """What a worker has seen of it, if anything."""
        fault, v = self.machine.fault(Untaught), self.variation
        if fault is None or not fault.seen:
            return []
        nothing = fault.why in ("labels", "detached") and v.backward
        seen = LearningBeat(
            t=self.t,
            trainable=Tensors(total=20, changed=0 if self.stuck() or not v.update else 20),
            updates=self.updates,
            followed=v.update,
            rate=0.0 if fault.why == "rate" else 1e-3,
            highest_rate=0.0 if fault.why == "rate" else 1e-3,
            gradients=Gradients(
                tensors=20,
                zero=20 if nothing else 0,
                largest=0.0 if nothing else 0.01,
                made=0.0 if nothing else 0.01,
            ),
            labels=Labels(counted=0, of=512) if fault.why == "labels" else None,
            batches=5,
        )
        return [seen] if v.update else []

    def loss(self, step: int) -> float:
        if self.broken:
            return float("nan")
        if self.stuck():
            return 0.0 if self.machine.fault(Untaught).why == "labels" else 5.5 + 0.01 * (step % 3)
        if self.frozen:
            return 5.5
        learned = 0.2 * step if self.variation.update and self.variation.backward else 0.0
        wobble = 0.0 if not self.variation.loader else 0.05 * ((step * 7919) % 13) / 13
        trained = 0.5 if self.variation.trained < 1 else 1.0
        return (5.5 - learned * trained + wobble) * (1.02 if self.silent else 1.0)


def simulate(machine: Machine, name: str, repeat: int, draw: random.Random):
    """(result, names of the faults that acted) of one run of one scenario."""
    variation = VARIATIONS[name]
    run = Run(machine, variation, draw)
    run.beats += [
        StartBeat(t=0.0, schema=1, pid=1, wall=0.0, scenario=name),
        ModelBeat(t=0.1, parameters=1000, parameter_bytes=round(run.model), trainable=1000,
                  trainable_bytes=round(run.trained), dtype="float32"),
    ]  # fmt: skip
    stray = draw.randrange(STEPS) if draw.random() < machine.stray else None
    ending, step, phase = {"exit_code": 0}, 0, "eval"
    try:
        for step in range(STEPS):
            if step == stray:
                raise Stopped(
                    "forward", error=draw.choice(["KeyError: 'x'", "skip: no such device"])
                )
            run.step(step)
        drain = sum(run.cost(job) for job, _ in run.pending)
        moved = 0 if run.frozen or run.stuck() or not variation.update else 20
        run.beats += run.learning()
        run.beats.append(
            EndBeat(t=run.t, steps=STEPS, drain_s=drain, compile_works=True,
                    trainable=Tensors(total=20, changed=moved))
        )  # fmt: skip
        step, phase = STEPS, "exit"
    except Stopped as stop:
        ending, phase = dict(stop.ending), stop.phase
        run.t += stop.seconds
        error = ending.pop("error", None)
        if error:
            run.beats.append(
                ErrorBeat(t=run.t, type="RuntimeError", message=error, traceback="",
                          skip=error.startswith("skip"))
            )  # fmt: skip
            ending["exit_code"] = 1
    record = gather(run.beats)
    record = _with_pressure(record, run, draw)
    result = classify(
        record,
        Ending(wall_s=run.t + 0.5, position=Position(step, phase, run.t), **ending),
        INFOS[name],
        Settings(steps=STEPS, **INFOS[name].settings),
        repeat,
    )
    return _replayed(result, run), run.acted


def _replayed(result: ScenarioResult, run: Run) -> ScenarioResult:
    """The result with what a replay shows, eagerly and uncompiled: no fault but that of the
    operation itself comes again."""
    if request(result, Locate.DIVERGED) is None:
        return result
    fault = run.machine.fault(Numerics)
    if not run.overflowed or fault is None or not fault.located:
        return with_origin(result, Origin(status=Located.NOT_AGAIN, summary="not again"))
    here = Origin(
        status=Located.LOCATED,
        summary=f"log of 0 at train.py:41 in loss_fn ({fault.job})",
        step=fault.step,
        place=fault.job,
        operation="log",
    )
    return with_origin(result, here)


def _with_pressure(record, run: Run, draw: random.Random):
    return replace(
        record,
        memory=MemorySummary(
            swap_growth=round(run.swap + draw.uniform(0, 30e6)),
            major_faults=round(run.swap / 16_384) + draw.randrange(300),
        ),
    )


# --- drawing cases -------------------------------------------------------------------------------

NAMES = (
    "memory", "deferred", "stale_compile", "corruption", "leak", "retrace", "deadlock", "data",
    "learning", "shapes", "numerics", "kernel", "gpu_idle",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    seed: int
    faults: tuple[str, ...]
    results: tuple[ScenarioResult, ...]
    environment: Environment
    true: frozenset[str]
    """The faults that were drawn and acted in one of the runs."""
    also: frozenset[str]
    """What is true as well, without being the fault: long lazy steps, kernels not yet compiled."""
    machine: Machine


def draw_case(seed: int, faults: tuple[str, ...], missing: float, repeats: int = 1) -> Case:
    """A case with these faults; each scenario but the baseline is missing with that probability."""
    draw = random.Random(seed)
    made = tuple(_fault(name, draw) for name in faults)
    # A step that is long makes laziness felt, whatever else is wrong.
    long_steps = "deferred" in faults or draw.random() < 0.2
    parameters = 10 ** draw.uniform(8, 10.5)
    memory = next((f for f in made if isinstance(f, Memory)), None)
    ample = 10 ** draw.uniform(1.3, 2.5) * parameters
    room = memory.capacity * parameters if memory and memory.mode != "limit" else ample
    machine = Machine(
        parameters=parameters,
        memory=room,
        forward_s=10 ** draw.uniform(-0.8, 1) if long_steps else 10 ** draw.uniform(-2.5, -1.6),
        activations=draw.uniform(0.01, 0.3),
        cold=draw.random() < 0.1,
        jitter=draw.choice([0.03, 0.1, 0.2]),
        stray=draw.choice([0.0, 0.0, 0.03]),
        gpu=bool({"kernel", "gpu_idle"} & {*faults}) or random.Random(f"gpu {seed}").random() < 0.5,
        faults=made,
    )
    names = [n for n in VARIATIONS if n == "baseline_update" or draw.random() >= missing]
    results, acted = [], set()
    for repeat in range(repeats):
        for name in names:
            result, did = simulate(machine, name, repeat, draw)
            results.append(result)
            acted |= did
    # Work is put off in every such training; it is felt in long steps and where memory ends.
    felt = {"deferred"} if long_steps or "memory" in acted else set()
    true = frozenset(acted & set(faults) | ({"deferred"} & set(faults)))
    environment = Environment(
        platform="Linux", machine="x86_64", python="3.11", cpu_count=8, memory=round(room)
    )
    return Case(
        seed, faults, tuple(results), environment, true, frozenset((acted | felt) - true), machine
    )


def _fault(name: str, draw: random.Random) -> object:
    job = draw.choice(["forward", "backward", "update"])
    if name == "memory":
        mode = draw.choice(["limit", "killer", "swap"])
        return Memory(draw.uniform(1.8, 4.9), mode, 10 ** draw.uniform(1, 2.5))
    if name == "stale_compile":
        where = draw.choice(["layers", "layers", "step"])
        return Stale(where, job, draw.choice(["frozen", "nan", "hang"]), draw.randrange(2))
    if name == "corruption":
        symptom = draw.choice(["nan", "segfault", "hang", "silent"])
        return Corruption(symptom, draw.randrange(3), draw.random() < 0.5)
    if name == "leak":
        where = draw.choice(["gradients", "gradients", "binding", "update"])
        return Leak(draw.uniform(0.2, 1.0), where)
    if name == "retrace":
        why = draw.choice(["shapes", "constant", "compiler"])
        return Retrace(why, draw.uniform(0.2, 3.0), draw.random() < 0.6)
    if name == "shapes":
        how = draw.choice(["compiled", "cached", "both"])
        cached = draw.uniform(0.2, 0.6) if how != "compiled" else 0.0
        return Shapes(how != "cached", cached, draw.uniform(0.05, 1.0))
    if name == "deadlock":
        proven = draw.random() < 0.6
        category = draw.choice(["stream_evaluation", "stream_evaluation", "lock", "gil", None])
        return Deadlock(job, draw.randrange(4), draw.choice([1.0, 1.0, 0.6]), proven, category)
    if name == "data":
        how = draw.choice(["blocks", "blocks", "slow", "checkpoint"])
        category = draw.choice(["io", "queue", "child", None])
        return Data(how, draw.randrange(5), category, draw.uniform(0.5, 3.0))
    if name == "learning":
        why = draw.choice(["rate", "labels", "detached", "rounded"])
        return Untaught(why, draw.random() < 0.9)
    if name == "numerics":
        # benchmarks/nan_origin.py: how often a replay names it.
        return Numerics(job, draw.randrange(5), draw.random() < 0.4, draw.random() < 0.4,
                        draw.random() < 0.9)  # fmt: skip
    if name == "kernel":
        return Kernel(job, draw.randrange(4), draw.choice([None, "fused", "narrow", "large"]))
    if name == "gpu_idle":
        return Lost(job, draw.randrange(4), draw.choice([1.0, 1.0, 0.6]))
    return Laziness()
