"""The hypotheses, and what each expects of each scenario: one table, as data.

docs/reference/diagnosis.md gives the reason for each column. A symptom is a `Kind`; slow, dead,
crashed and compiling are four different ones on purpose. To add a hypothesis, add it to
`HYPOTHESES` and a column to `_TABLE`, with an S in each row of `TWINS`. To let the diagnosis use a
new scenario, add a row; of a scenario without one it says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(str, Enum):
    """A symptom of one run; its value continues a sentence: "baseline_update hangs"."""

    DEAD = "hangs"
    PROVEN = "is in a proven deadlock"
    IDLE_GPU = "waits for a GPU that is idle"
    KERNEL = "waits for a GPU kernel that does not end"
    COMPILING = "waits for a compiler"
    HOST = "waits for data, a file or a child process"
    STARVED = "waits for memory"
    NO_MEMORY = "runs out of memory"
    KILLED = "is killed by a signal"
    RAISED = "raises an exception"
    SLOW = "becomes slow"
    SLOW_DATA = "spends most of its time waiting for data"
    JUMP = "takes longer from step 1 on"
    INERT = "learns nothing"
    UNTAUGHT = "learns nothing, and it is known why"
    DIVERGED = "diverges"
    NOT_FINITE = "computes a number that is not finite, in an operation that is known"
    MISMATCH = "computes a wrong value"
    GROWING = "keeps more memory after every step"
    PILING = "leaves work unevaluated"
    RETRACED = "traces its compiled step again"
    CACHING = "keeps more freed memory after every step"
    VARIED = "compiles and keeps a step for each new input shape"


STOPS = frozenset(
    (Kind.DEAD, Kind.PROVEN, Kind.IDLE_GPU, Kind.KERNEL, Kind.COMPILING, Kind.HOST, Kind.STARVED,
     Kind.NO_MEMORY, Kind.KILLED, Kind.RAISED)
)  # fmt: skip
"""The kinds that end a run before its steps are over."""

ALIKE = (
    frozenset((Kind.DEAD, Kind.PROVEN)),
    frozenset((Kind.KILLED, Kind.NO_MEMORY, Kind.STARVED)),
)
"""Kinds that one and the same fault shows as, from run to run."""


class Effect(str, Enum):
    """The change of the baseline's symptom in a scenario."""

    STAYS = "stays"
    CLEARS = "clears"
    MOVES = "moves to step 0"
    SHOWS = "would show it"
    """Says nothing of the baseline's symptom, but has a sign of its own for this hypothesis."""


@dataclass(frozen=True)
class Cell:
    """What a hypothesis expects of one scenario."""

    effect: Effect
    firm: bool
    """True where the opposite refutes the hypothesis; else the effect depends on quantities."""


@dataclass(frozen=True)
class Theory:
    """A hypothesis as the engine needs it."""

    id: str
    title: str
    explains: frozenset[Kind]
    """The symptoms that it can cause."""
    signs: frozenset[Kind] = frozenset()
    """Symptoms that convict it wherever they are seen, without a comparison."""
    needs: frozenset[str] = frozenset()
    """Without a sign, one of these scenarios must have done what the table says."""
    references: tuple[str, ...] = ()
    """Scenarios to search for its symptom when the baseline does not show it."""
    steps: int = 3
    """A completed run must have had so many before the absence of a symptom says anything."""
    unseen: float = 1.0
    """It is refuted only by so many runs without it that one which comes in this share of runs
    would have been seen: those of 0.5 need 4. Most faults come in each run."""


HYPOTHESES: tuple[Theory, ...] = (
    Theory(
        id="memory",
        title="memory oversubscription",
        explains=frozenset(
            (Kind.NO_MEMORY, Kind.KILLED, Kind.STARVED, Kind.DEAD, Kind.SLOW, Kind.JUMP)
        ),
        signs=frozenset((Kind.NO_MEMORY, Kind.STARVED)),
        needs=frozenset(("sgd_step", "lora_step", "half_precision", "tiny_model")),
    ),
    Theory(
        id="deferred",
        title="deferred work that runs in a later step",
        explains=frozenset((Kind.JUMP, Kind.PILING)),
        signs=frozenset((Kind.PILING,)),
        needs=frozenset(("eval_after_update", "eval_parameters_only")),
    ),
    Theory(
        id="stale_compile",
        title="stale compile cache",
        explains=frozenset((Kind.INERT, Kind.DIVERGED, Kind.DEAD, Kind.KILLED, Kind.RAISED)),
        needs=frozenset(("uncompiled_step", "rebuild_compiled")),
        references=("compiled_step", "compiled_step_initialized"),
    ),
    Theory(
        id="corruption",
        title="graph corruption",
        explains=frozenset(
            (Kind.MISMATCH, Kind.DIVERGED, Kind.INERT, Kind.DEAD, Kind.KILLED, Kind.RAISED)
        ),
        signs=frozenset((Kind.MISMATCH,)),
        needs=frozenset(("vjp_step", "value_and_grad_recreated")),
    ),
    Theory(
        id="leak",
        title="leak (gradients or graphs retained)",
        explains=frozenset((Kind.GROWING,)),
        signs=frozenset((Kind.GROWING,)),
        steps=6,
    ),
    Theory(
        id="retrace",
        title="retracing or JIT compilation",
        explains=frozenset((Kind.RETRACED, Kind.COMPILING, Kind.SLOW, Kind.JUMP)),
        signs=frozenset((Kind.RETRACED, Kind.COMPILING)),
        needs=frozenset(("uncompiled_step", "compiled_step_initialized")),
        references=("compiled_step",),
    ),
    Theory(
        id="deadlock",
        title="deadlock (threads wait for each other, or for an event that cannot come)",
        explains=frozenset((Kind.DEAD, Kind.PROVEN)),
        signs=frozenset((Kind.PROVEN,)),
        needs=frozenset(("tiny_model",)),
        unseen=0.5,
    ),
    Theory(
        id="data",
        title="data or host (loader, checkpoint, log)",
        explains=frozenset((Kind.HOST, Kind.SLOW_DATA)),
        signs=frozenset((Kind.HOST, Kind.SLOW_DATA)),
        needs=frozenset(("constant_batch",)),
    ),
    Theory(
        id="learning",
        title="no learning (no gradient, no update or no label)",
        explains=frozenset((Kind.INERT, Kind.UNTAUGHT)),
        signs=frozenset((Kind.UNTAUGHT,)),
        needs=frozenset(("update_without_grad",)),
    ),
    Theory(
        id="shapes",
        title="input shapes and caches",
        explains=frozenset((Kind.VARIED, Kind.CACHING)),
        signs=frozenset((Kind.VARIED, Kind.CACHING)),
        needs=frozenset(("constant_batch", "clear_cache_after_update")),
        references=("compiled_step",),
        steps=6,
    ),
    Theory(
        id="numerics",
        title="numerics (an operation leaves its domain, or the range of its type)",
        explains=frozenset((Kind.DIVERGED, Kind.NOT_FINITE)),
        signs=frozenset((Kind.NOT_FINITE,)),
        needs=frozenset(("half_precision",)),
    ),
    Theory(
        id="kernel",
        title="a GPU kernel that does not end",
        explains=frozenset((Kind.KERNEL,)),
        signs=frozenset((Kind.KERNEL,)),
        needs=frozenset(("uncompiled_step", "half_precision", "tiny_model")),
    ),
    Theory(
        id="gpu_idle",
        title="an idle GPU (it was not given its work, or the end of it was lost)",
        explains=frozenset((Kind.IDLE_GPU,)),
        signs=frozenset((Kind.IDLE_GPU,)),
        needs=frozenset(("tiny_model",)),
        unseen=0.5,
    ),
)

_TABLE = """
                              mem  defer stale corr leak trace dead data learn shape num  kern idle
baseline_update               S    S     S     S    S    S     S    S    S     S     S    S    S
value_and_grad_reused         S    S     S     S    S    S     S    S    S     S     S    S    S
clear_cache_after_update      S    S     S     S    S    S     S    S    S     c     S    S    S
sgd_step                      c    s     S     S    s    -     S    S    s     s     s    s    S
grad_evaluated_without_update c    C     s     c    s    -     -    S    -     s     -    s    s
tiny_model                    C    -     S     S    -    -     S    S    -     -     -    c    S
eval_after_update             M    C     S     C    S    s     S    S    S     s     S    s    S
uncompiled_step               S    S     C     S    S    C     S    S    S     c     S    c    S
lora_step                     c    -     S     S    s    -     S    S    -     s     s    s    S
vjp_step                      S    S     S     C    -    S     S    S    S     s     S    s    S
constant_batch                S    S     S     S    S    c     S    C    s     C     -    s    S
update_without_grad           s    C     s     c    c    -     -    S    c     s     -    s    s
stale_loss_oracle             -    -     -     !    -    -     -    -    -     -     -    -    -
compiled_step                 s    s     !     s    s    !     -    S    s     !     s    s    s
rebuild_compiled              s    s     C     S    s    s     S    S    s     s     s    s    S
compiled_step_initialized     s    -     -     s    s    c     s    S    s     s     s    s    s
grad_without_update           c    c     -     c    c    c     -    S    -     s     -    s    s
half_precision                c    -     s     s    s    -     s    S    s     s     c    c    s
eval_parameters_only          M    c     S     C    S    s     S    S    S     s     S    s    S
value_and_grad_recreated      S    S     S     c    S    S     S    S    S     S     S    S    S
loss_read_every_k             -    -     -     -    -    -     s    s    -     -     -    s    s
smaller_batch                 c    -     S     S    s    -     s    S    -     -     -    s    s
"""
"""S stays, C clears, M moves to step 0, ! would show it, - says nothing. A small letter: expected,
but a quantity decides (how much memory there is), so that the opposite does not refute."""

_EFFECTS = {"s": Effect.STAYS, "c": Effect.CLEARS, "m": Effect.MOVES, "!": Effect.SHOWS}


def _parse(text: str) -> dict[str, dict[str, Cell]]:
    ids = [theory.id for theory in HYPOTHESES]
    table = {}
    for line in text.strip().splitlines()[1:]:
        name, *letters = line.split()
        table[name] = {
            id: Cell(_EFFECTS[letter.lower()], not letter.islower())
            for id, letter in zip(ids, letters, strict=True)
            if letter != "-"
        }
    return table


TABLE = _parse(_TABLE)
"""The cells by scenario and hypothesis; a missing cell says nothing."""

_OWN_ONLY = frozenset(("smaller_batch",))
"""Scenarios that vary a user's own step, and are not of the ladder."""

LADDER = tuple(name for name in TABLE if name not in _OWN_ONLY)

TWINS = frozenset(
    name
    for name, row in TABLE.items()
    if len(row) == len(HYPOTHESES) and all(c == Cell(Effect.STAYS, True) for c in row.values())
)
"""Nobody expects these to differ from the baseline: they are more runs of it."""

COMPILED = frozenset(("rebuild_compiled", "uncompiled_step"))
"""Scenarios to compare with a compiled step when the baseline, which is not compiled, is well."""
