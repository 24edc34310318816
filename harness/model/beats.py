"""The output of a worker: the beats, one line of beats.jsonl each, and where it is."""

from __future__ import annotations

import msgspec

BETWEEN = "after_report"
"""The phase of a training that tells of itself, from one report to the next, whatever it does."""
SCHEMA = 1
"""Version of run.json and of the beats; raised when a reader of the old form would be misled."""

Number = float | str
"""A float as it is stored: JSON has no NaN, so the non-finite are "nan", "inf" and "-inf"."""


class Beat(msgspec.Struct, frozen=True, kw_only=True, tag_field="k", omit_defaults=True, gc=False):
    """One line of beats.jsonl. Holds no cycles, so the collector need not look at millions."""

    t: float


class StartBeat(Beat, frozen=True, kw_only=True, tag="start"):
    """The worker is up: before mlx is imported, so that a hang in the import has a beat too."""

    schema: int
    pid: int
    tid: int | None = None
    """The thread that trains, as the kernel numbers it; None of older writers."""
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
    printed: bool = False
    """Only the number of trainable parameters is known, from a log; each is taken for a float32."""


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
    """The number of traces of the user's compiled functions so far."""
    calls: int = 0
    """The number of their calls so far."""
    covers: int = 1
    """Steps whose seconds these are: a log may report only every 10th. 0 of its first report: how
    long that took to come is no step's time; and of what it adds to a step already reported."""
    left: int | None = None
    """Operations still pending behind the parameters and the optimizer state, when sampled."""
    shapes: int = 0
    """The number of different shapes that batches have had so far; 0 where that is not known."""
    inputs: int | None = None
    """Bytes of the step's batch."""
    arrays: int | None = None
    """MLX arrays that the program's own objects hold, when counted."""
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


class FiguresBeat(Beat, frozen=True, kw_only=True, tag="figures"):
    """The named figures that a log gave of a step, beside its loss: `{"grad_norm": 1.2}`."""

    step: int
    """The last step that was reported; -1 before the first."""
    figures: dict[str, Number]
    """By their names as printed, in lower case; those of a validation begin with `val_`."""


class CollectiveBeat(Beat, frozen=True, kw_only=True, tag="collective"):
    """A collective has been put into the graph; it runs when the graph is evaluated.

    Ranks that work together issue the same ones in the same order, so that `n` names it for all.
    """

    n: int
    """The number that this rank had issued before."""
    step: int
    op: str
    """Such as `all_sum`, `all_gather`, `send`."""
    shape: tuple[int, ...]
    dtype: str
    traced: bool = False
    """True if it was issued while a compiled function was traced; False also where nobody says."""


class Tensors(msgspec.Struct, frozen=True, kw_only=True):
    """The number of tensors of a group that changed between the first step and the last."""

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
    """True if a compiled function is really traced once; None when none was compiled."""
    fault: str | None = None
    """The reason why the recorder lost beats (a full disk), if it did."""
    lost: int = 0
    unwatched: str | None = None
    """The class of a model that nobody has told us of; None where there is none, or one is known.
    """


class Unregistered(msgspec.Struct, frozen=True, kw_only=True):
    """A module that the model's forward pass may use, and whose parameters are not the model's."""

    path: str
    """Such as `encoder.emb`."""
    holder: str
    """The class that hides it: it is no `nn.Module`, or keeps it in a tuple."""
    parameters: int
    """Number of scalars."""
    changed: bool = False


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled step that updates the model, and does not have all of its parameters."""

    function: str
    place: str
    """The file and line of the function, such as `train.py:12`."""
    inputs: bool
    """True if the parameters are among what it captures as inputs."""
    outputs: bool


class Gradients(msgspec.Struct, frozen=True, kw_only=True):
    """The gradients of one step, which was looked at because nothing had moved."""

    tensors: int
    zero: int
    """Tensors that are exactly 0 in each element."""
    largest: Number
    """The largest magnitude of an element, as the optimizer gets it."""
    made: Number | None = None
    """The largest magnitude as it was computed, before it was clipped; None: not seen."""
    stored: bool | None = None
    """False if the optimizer gave other parameters back, and the model does not have them."""


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """The labels of the batches that were kept."""

    counted: int
    """Those that a mask or an ignored index lets count."""
    of: int
    shift: int | None = None
    """Targets are the inputs of so many tokens before, all of them; None: they are not."""


class LearningBeat(Beat, frozen=True, kw_only=True, tag="learning"):
    """The learning, as seen after the last step; a field is None where it was not seen."""

    trainable: Tensors | None = None
    parameters: int = 0
    """Number of scalars of the model."""
    model: str = ""
    """The class of the model."""
    updates: int | None = None
    """Times that an optimizer was given gradients."""
    traced: int = 0
    """Of those, while a function was traced for compilation."""
    place: str | None = None
    """The line that first gave it gradients, such as `train.py:12`."""
    followed: bool = False
    """An optimizer was named, or seen at work."""
    accumulates: int = 1
    """Steps from one update to the next, where the trainer says so."""
    rate: Number | None = None
    """The learning rate after the last step."""
    highest_rate: Number | None = None
    """The highest that was seen or that the schedule gave in these steps."""
    warming: bool = False
    """The learning rate was still rising."""
    moments: Tensors | None = None
    """Tensors of which the optimizer's state is not 0: they once had a gradient."""
    gradients: Gradients | None = None
    half: str | None = None
    """The narrow dtype of most trainable weights."""
    looked: int = 0
    """Of those, the weights that were compared and that had a gradient."""
    still: int = 0
    """Of those looked at, the ones that have the value of the first step."""
    lora: int = 0
    """Layers with a low-rank adapter."""
    lora_zero: int = 0
    """Of those, the ones whose B is exactly 0."""
    lora_frozen: int = 0
    """Of those, the ones whose B is not trained."""
    unregistered: tuple[Unregistered, ...] = ()
    compiled: Compiled | None = None
    labels: Labels | None = None
    batches: int = 0
    """Batches that were kept for a comparison."""
    same: str | None = None
    """`object` if they are one and the same, `content` if they only have the same content."""


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
    | FiguresBeat
    | CollectiveBeat
    | EndBeat
    | LearningBeat
    | ErrorBeat
)


class Position(msgspec.Struct, frozen=True):
    """The place of a worker right now: the step, the phase, and since when (`t`)."""

    step: int
    phase: str
    t: float
