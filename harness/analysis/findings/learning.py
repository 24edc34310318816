"""Findings that say why nothing was learned.

The facts are those of a LearningBeat: what was seen of the model, its optimizer and its batches
after the last step. Where parameters were seen not to move, or to get no gradient, the finding is
an error. Where only a loss or a log says it, it is a warning. docs/guide/learned_nothing.md has an
example of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness import stats
from harness.analysis.findings.learning_facts import (
    as_float,
    at,
    has_fallen,
    has_no_gradient,
    has_no_loss,
    is_erased,
    loss_stands,
    stands_still,
    with_rate,
)
from harness.beats.record import Record
from harness.model import Finding
from harness.model.beats import LearningBeat
from harness.model.finding import error, info, warning
from harness.text.units import number, percent, plural

REASONS = (
    "no_trainable_parameters", "state_not_compiled", "gradients_not_applied", "learning_rate_zero",
    "labels_masked", "gradients_erased", "gradients_zero", "updates_too_small", "lora_b_zero",
    "submodules_unregistered", "batch_repeats", "labels_leak",
)  # fmt: skip
"""The codes of these findings; where a run has several, the first one says most."""
STILL = 0.5
"""The share of weights that never moved, from which on it is said."""
NEARLY_ALL = 0.99
"""The share of weights from which on they are as good as all."""
UPDATES = 3
"""Updates below which a weight may stand still by chance."""
LOOKS = 4
"""Batches below which equal ones may be chance, and reads of a printed learning rate."""
FALLEN = 0.05
"""The share of the first loss below which the last one has fallen to 0."""
_RATES = frozenset(("lr", "learning_rate", "learning rate", "train_lr", "current_lr"))


def no_trainable_parameters(record: Record) -> Iterator[Finding]:
    seen = record.learning
    if seen is None or seen.trainable is None or seen.trainable.total:
        return
    model = seen.model or "the model"
    yield error(
        "no_trainable_parameters",
        f"all {plural(seen.parameters, 'parameter')} of {model} are frozen, so nothing can be "
        "learned: call unfreeze() on the part to train, after the last freeze()"
        if seen.parameters
        else f"{model} has no parameter at all: make its parts in __init__, as attributes of an "
        "nn.Module, and call super().__init__() first",
        parameters=seen.parameters,
        model=seen.model,
        frozen=seen.parameters > 0,
    )


def state_not_compiled(record: Record) -> Iterator[Finding]:
    seen = record.learning
    if seen is None or seen.compiled is None:
        return
    step = seen.compiled
    missing = [name for name in ("inputs", "outputs") if not getattr(step, name)]
    effect = (
        "each call starts from the first parameters again"
        if step.outputs
        else "what it computes never reaches the model"
    )
    yield error(
        "state_not_compiled",
        f"the compiled function {step.function} ({step.place}) updates the model, whose "
        f"parameters are not among its {' and '.join(missing)}: {effect}. Compile it with "
        "inputs=state, outputs=state, where state = [model.state, optimizer.state]",
        function=step.function,
        place=step.place,
        missing=missing,
    )


def gradients_not_applied(record: Record) -> Iterator[Finding]:
    seen = record.learning
    if seen is None or not stands_still(seen) or seen.compiled is not None:
        return
    steps, gradients = len(record.step), seen.gradients
    norms = [as_float(beat.norm) for beat in record.gradients]
    if norms and not math.isfinite(norms[-1]):
        return  # a trainer may skip an update whose gradients are no numbers
    if seen.followed and seen.updates == 0:
        few = steps < seen.accumulates
        yield error(
            "gradients_not_applied",
            f"no optimizer was given a gradient in {plural(steps, 'step')}: "
            + (
                f"gradients are accumulated over {seen.accumulates} steps, so run more of them"
                if few
                else "call optimizer.update(model, gradients) in the step. If gradients are "
                "accumulated over more steps than these, run more"
            ),
            how="accumulated" if few else "never",
            updates=0,
            steps=steps,
        )
    elif gradients is not None and gradients.stored is False:
        yield error(
            "gradients_not_applied",
            "the optimizer computes new parameters, and the model does not get them"
            f"{at(seen)}: call optimizer.update(model, gradients), or model.update() with what "
            "apply_gradients returns, on the model that computes the loss",
            how="dropped",
            updates=seen.updates,
            steps=steps,
            place=seen.place,
        )


def learning_rate_zero(record: Record) -> Iterator[Finding]:
    seen = record.learning
    if (
        seen is not None
        and stands_still(seen)
        and seen.updates
        and as_float(seen.highest_rate) == 0
    ):
        yield error(
            "learning_rate_zero",
            f"the learning rate is 0 in each of {plural(seen.updates, 'update')}{at(seen)}: "
            "give the optimizer another, or let the schedule leave 0 (its first step may be 0)",
            updates=seen.updates,
            printed=False,
            place=seen.place,
        )
        return
    for name, series in record.figures.items():
        values = series.value
        if name not in _RATES or len(values) < LOOKS or any(values):
            continue
        if len(record.loss) >= LOOKS and loss_stands(record):
            yield warning(
                "learning_rate_zero",
                f"{name} is printed as 0 in all {len(values)} reads, and the loss does not fall: "
                "the learning rate is 0, or smaller than the print shows",
                reads=len(values),
                printed=True,
            )
            return


def labels_masked(record: Record) -> Iterator[Finding]:
    seen = record.learning
    labels = seen.labels if seen is not None else None
    if seen is None or labels is None or labels.counted or not labels.of:
        return
    if not (stands_still(seen) or has_no_gradient(seen) or has_no_loss(record)):
        return
    yield error(
        "labels_masked",
        f"0 of {plural(labels.of, 'label')} count in the {plural(seen.batches, 'batch', 'batches')}"
        " looked at: each is masked or ignored, so nothing can be learned. Look at the mask, at "
        "the length of the prompt and at truncation",
        counted=0,
        of=labels.of,
        batches=seen.batches,
    )


def gradients_zero(record: Record) -> Iterator[Finding]:
    seen = record.learning
    if seen is None or not seen.updates or not has_no_gradient(seen) or is_erased(seen.gradients):
        return
    total = seen.gradients.tensors if seen.gradients else seen.moments.total if seen.moments else 0
    masked = seen.labels is not None and seen.labels.of > 0 and not seen.labels.counted
    yield error(
        "gradients_zero",
        f"the gradients of all {plural(total, 'tensor')} are exactly 0{at(seen)}: "
        + (
            "no label counts"
            if masked
            else "the loss does not depend on the parameters. Look for stop_gradient, for values "
            "that leave the graph (item(), numpy), and for a loss of another copy of the model"
        ),
        tensors=total,
        updates=seen.updates,
        place=seen.place,
    )


def gradients_erased(record: Record) -> Iterator[Finding]:
    seen = record.learning
    if seen is None or seen.gradients is None or not is_erased(seen.gradients):
        return
    if not (stands_still(seen) or has_no_gradient(seen)):
        return
    made, largest = as_float(seen.gradients.made), as_float(seen.gradients.largest)
    left = "exactly 0" if largest == 0 else f"{number(largest)} at most"
    yield error(
        "gradients_erased",
        f"the gradients are computed with elements up to {number(made)}, and the optimizer gets "
        f"{left}{at(seen)}: what is between them erases them, such as clipping to a tiny norm, or "
        "a scale that becomes 0 in half precision",
        made=made,
        given=largest,
        place=seen.place,
    )


def updates_too_small(record: Record) -> Iterator[Finding]:
    seen = record.learning
    if seen is None or ((seen.updates or 0) - seen.traced < 1 and not _compiled_updates(record)):
        return
    if seen.compiled is not None or seen.warming or as_float(seen.highest_rate) == 0:
        return
    if has_no_gradient(seen) or is_erased(seen.gradients):
        return
    if stands_still(seen):
        yield from _nothing_moves(seen)
        return
    if seen.half is None or not seen.looked or len(record.step) < UPDATES:
        return
    share = seen.still / seen.looked
    if share < STILL:
        return
    severity = error if share >= NEARLY_ALL else warning
    yield (info if has_fallen(record) else severity)(
        "updates_too_small",
        f"{percent(share)} of the {seen.half} weights with a gradient have not moved in "
        f"{plural(len(record.step), 'step')}: an update below half a unit in the last place is "
        "rounded away"
        + with_rate(seen)
        + ". Keep the weights in float32, at least those that the optimizer updates",
        share=share,
        looked=seen.looked,
        still=seen.still,
        dtype=seen.half,
        learning_rate=seen.rate,
    )


def lora_b_zero(record: Record) -> Iterator[Finding]:
    seen = record.learning
    if seen is None or not seen.lora or seen.lora_zero < seen.lora:
        return
    if not seen.updates or seen.warming or as_float(seen.highest_rate) == 0:
        return  # which says it
    frozen = seen.lora_frozen == seen.lora
    yield error(
        "lora_b_zero",
        f"B is exactly 0 in all {plural(seen.lora, 'LoRA layer')} after "
        f"{plural(len(record.step), 'step')}, so that the adapter changes nothing: "
        + (
            "lora_b is frozen, and lora_a has no gradient without it. Call "
            "unfreeze(keys=['lora_a', 'lora_b'])"
            if frozen
            else "no update has reached it. Look at the adapter's scale, and at what the optimizer "
            "is given"
        ),
        layers=seen.lora,
        zero=seen.lora_zero,
        frozen=frozen,
    )


def submodules_unregistered(record: Record) -> Iterator[Finding]:
    seen = record.learning
    still = [part for part in seen.unregistered if not part.changed] if seen is not None else []
    if seen is None or not still:
        return
    count = sum(part.parameters for part in still)
    first = still[0]
    nothing = seen.trainable is not None and not seen.trainable.total
    stands = nothing or stands_still(seen) or loss_stands(record)
    yield (error if stands else warning)(
        "submodules_unregistered",
        f"{plural(count, 'parameter')} of {', '.join(part.path for part in still[:3])}"
        f"{', ...' if len(still) > 3 else ''} are no parameters of {seen.model or 'the model'}, "
        f"and never changed: {first.holder} is not searched. Make it an nn.Module, or use a list "
        "or a dict. If it is not to be trained, freeze() it",
        parameters=count,
        paths=[part.path for part in still],
        holder=first.holder,
        of=seen.parameters,
    )


def batch_repeats(record: Record) -> Iterator[Finding]:
    seen = record.learning
    if seen is None or seen.same is None or seen.batches < LOOKS:
        return
    if seen.same == "object":
        yield info(
            "batch_repeats",
            f"each of {plural(seen.batches, 'batch', 'batches')} that were looked at is the same "
            "object: right for a test that overfits one batch, and for a data set of one batch",
            batches=seen.batches,
            same=seen.same,
        )
        return
    yield warning(
        "batch_repeats",
        f"all {plural(seen.batches, 'batch', 'batches')} that were looked at have the same "
        "content, each made anew: the loader begins again in each step, or draws with the same "
        "seed. The run learns one batch by heart",
        batches=seen.batches,
        same=seen.same,
    )


def labels_leak(record: Record) -> Iterator[Finding]:
    seen = record.learning
    shift = seen.labels.shift if seen is not None and seen.labels is not None else None
    losses = [loss for loss in record.loss if math.isfinite(loss)]
    if shift is None or len(losses) < LOOKS:
        return
    first, last = losses[0], stats.median(losses[-3:])
    if first <= 0 or last > FALLEN * first:
        return  # the loss may shift them itself
    which = "the inputs themselves" if shift == 0 else f"the inputs of {shift} tokens before"
    yield warning(
        "labels_leak",
        f"the targets are {which}, and the loss falls from {number(first)} to {number(last)}: the "
        "model sees what it has to predict, and learns to copy it. The targets of a language model "
        "are the inputs one token later",
        shift=shift,
        first=first,
        last=last,
    )


def _nothing_moves(seen: LearningBeat) -> Iterator[Finding]:
    gradients = seen.gradients
    if gradients is None or gradients.stored is False or not gradients.tensors:
        return
    largest = as_float(gradients.largest)
    yield error(
        "updates_too_small",
        f"no weight moves{at(seen)}, though the gradients have elements up to {number(largest)}: "
        "each update is below half a unit in the last place of its weight and is rounded away"
        + with_rate(seen)
        + ". Raise the learning rate, or keep the weights in a wider dtype",
        share=1.0,
        dtype=seen.half,
        largest=largest,
        learning_rate=seen.rate,
    )


def _compiled_updates(record: Record) -> bool:
    """Return True if the updates lie in a compiled function, which is traced once or twice."""
    return record.learning is not None and record.learning.traced > 0
