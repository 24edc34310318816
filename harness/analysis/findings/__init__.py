"""Findings: one observed fact each, with its numbers and a stable code.

A detector is a function of a record that yields findings, mostly one or none. It must take any
record: one without an end, without a step, without a model. To add one, write the function,
register it in `DETECTORS`, and say what its code means in `CODES` and in
docs/reference/verdicts/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from harness.analysis.findings import (
    compile,
    figures,
    learning,
    loss,
    memory,
    parameters,
    recording,
    shapes,
    timing,
)
from harness.beats.record import Record
from harness.model import Finding

Detector = Callable[[Record], Iterable[Finding]]

DETECTORS: tuple[Detector, ...] = (
    loss.loss_not_finite,
    loss.gradients_not_finite,
    loss.parameters_not_finite,
    loss.loss_exploded,
    recording.check_failed,
    parameters.parameters_unchanged,
    parameters.frozen_parameters_changed,
    parameters.parameters_partly_unchanged,
    learning.no_trainable_parameters,
    learning.state_not_compiled,
    learning.gradients_not_applied,
    learning.learning_rate_zero,
    learning.labels_masked,
    learning.gradients_zero,
    learning.gradients_erased,
    learning.updates_too_small,
    learning.lora_b_zero,
    learning.submodules_unregistered,
    learning.batch_repeats,
    learning.labels_leak,
    shapes.loss_dead,
    shapes.loss_zero,
    shapes.loss_left_best,
    figures.validation_not_finite,
    figures.figure_not_finite,
    loss.loss_flat,
    loss.loss_not_falling,
    figures.reward_not_rising,
    loss.loss_spike,
    memory.memory_growth,
    memory.rss_growth,
    memory.graph_growth,
    compile.compile_disabled,
    compile.retrace_every_step,
    compile.double_trace,
    timing.step_time_ramp,
    timing.step_time_jump,
    timing.slow_step,
    timing.first_step_slow,
    timing.deferred_evaluation,
    timing.deferred_work,
    recording.beats_lost,
)
"""In the order in which a report lists them: what makes a run worthless comes first."""

CODES: dict[str, str] = {
    "loss_not_finite": "a loss that was read is NaN or infinite",
    "gradients_not_finite": "the norm of the gradients is NaN or infinite",
    "parameters_not_finite": "parameters or optimizer state hold NaN or infinity at the end",
    "loss_exploded": "the last losses lie far above the run's own first ones",
    "check_failed": "two numbers that the scenario compared do not agree",
    "parameters_unchanged": "no trainable tensor changed: nothing was learned",
    "frozen_parameters_changed": "a tensor that is not trained changed",
    "parameters_partly_unchanged": "some trainable tensors never changed",
    "no_trainable_parameters": "all parameters are frozen, or the model has none",
    "state_not_compiled": "a compiled step does not have the parameters that it updates",
    "gradients_not_applied": "gradients never reach the optimizer, or its result never the model",
    "learning_rate_zero": "the learning rate is 0 in each update",
    "labels_masked": "no label counts: each is masked or ignored",
    "gradients_zero": "each gradient is exactly 0",
    "gradients_erased": "gradients are computed, and next to nothing of them is given on",
    "updates_too_small": "weights that have a gradient never move: updates are rounded away",
    "lora_b_zero": "B of each low-rank adapter is still exactly 0",
    "submodules_unregistered": "modules that the model holds are not searched for parameters",
    "batch_repeats": "each batch that was looked at is the same",
    "labels_leak": "the targets are tokens that the model has seen, and the loss falls to 0",
    "loss_dead": "the loss moved, and then stands at one value for good",
    "loss_zero": "the loss was far from 0, and then is exactly 0 for good",
    "loss_left_best": "the loss fell, then left its best level for good or swings ever wider",
    "validation_not_finite": "a validation's loss is NaN or infinite",
    "figure_not_finite": "another figure of a log is NaN or infinite",
    "loss_flat": "all losses are the same, but for rounding",
    "loss_not_falling": "over 50 losses or more, the last are not below the first",
    "reward_not_rising": "over 50 rewards or more, the last are not above the first",
    "loss_spike": "the loss rose far above its level and came down again",
    "memory_growth": "active memory grows from step to step and has not come to rest",
    "rss_growth": "the process's own memory grows, and MLX's is not known",
    "graph_growth": "the graph that waits to be evaluated grows from step to step",
    "compile_disabled": "the scenario compiles functions, and they run uncompiled",
    "retrace_every_step": "MLX traces the compiled step anew in almost every step",
    "double_trace": "MLX traces the compiled step in step 0 and again in step 1",
    "step_time_ramp": "steps take longer and longer",
    "step_time_jump": "from some step on steps take far longer, or step 1 alone does",
    "slow_step": "a few steps take far longer than the others",
    "first_step_slow": "step 0 takes far longer than later steps: compiling and warming up",
    "deferred_evaluation": "a step's evaluation runs what earlier steps had left pending",
    "deferred_work": "much work was left over that no step had asked for",
    "beats_lost": "the record has gaps: beats not written, or lines not readable",
    "hang_transient": "a hang that was waited for (--on-hang wait) resolved itself",
    "memory_limited": "killed by a signal while its address space was limited",
    "oom_killer": "killed while the kernel's out-of-memory killer struck",
    "last_words": "what a process printed last of the failure that ended it",
    "known_error": "an error of Metal, CUDA, NCCL, ring or MLX that the table of codes knows",
    "killed_by": "who or what ended a process by a signal",
    "died_at_exit": "a process died of a signal after its program had come to its end",
    "child_died": "a child had ended badly, and its parent ended without asking for it",
    "not_ended": "SIGKILL did not end a process: a dead file system or a frozen group holds it",
    "steps_reported": "an outside command reported its steps itself",
    "steps_printed": "an outside command's steps are read from what it printed",
    "no_steps_seen": "nothing that an outside command printed names a step",
    "updates_skipped": "each step of an outside command says that it skips its update",
    "ended_early": "an outside command ended well before the total that it printed",
    "output_skipped": "an outside command printed faster than its lines could be read",
    "left_behind": "an outside command ended, and what it had started still ran",
    "hook_disabled": "the hook into mlx-lm switched itself off",
    "rank_died": "a rank was killed, crashed or raised, and its job could not go on",
    "launcher_died": "what had started the ranks was killed, and they ended with it",
    "rank_left_early": "a rank ended well before its steps were over, and the others wait for it",
    "rank_never_started": "a rank never started, and the others wait for it to join",
    "rank_stopped": "a rank is stopped by a signal, and the others wait for it",
    "rank_was_stopped": "a rank was stopped by a signal for a while, and then continued",
    "rank_cut_off": "the host of a rank is not heard any more",
    "host_silent": "the host of a rank was not heard for a while, and then again",
    "rank_silent": "a rank does not move, and the others wait for it",
    "collective_mismatch": "a rank issued other collectives than the others",
    "rank_slow": "a rank is slower than the others, and they wait for it in each step",
    "expectation_missed": "a finding that the scenario declares did not show up",
}
"""Every code and its meaning in one line. `classify` finds the last; `ending` and `watching` see
what no record shows, and `harness.detect.ranks` what shows only in several records together."""


def find(record: Record) -> tuple[Finding, ...]:
    return tuple(finding for detect in DETECTORS for finding in detect(record))
