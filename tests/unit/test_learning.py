"""Why nothing was learned: each reason by its numbers, and what looks like one and is none."""

from __future__ import annotations

import pytest
from records import COMPLETED, expecting, make, settings, told

from harness.analysis import findings
from harness.analysis.classify import classify
from harness.analysis.findings import learning
from harness.model import Severity, Tensors
from harness.model.beats import Compiled, Gradients, Labels, Unregistered

MOVED = Tensors(total=4, changed=4)
STILL = Tensors(total=4, changed=0)
RATE = {"rate": 1e-3, "highest_rate": 1e-3}
FOLLOWED = {"followed": True, "updates": 10, "place": "train.py:9", **RATE}


def reasons(record):
    """The findings that say why nothing was learned, but for those that only inform."""
    return {
        finding.code: finding
        for finding in findings.find(record)
        if finding.code in learning.REASONS and finding.severity is not Severity.INFO
    }


def seen(losses=lambda step: 5.0 - 0.1 * step, steps=10, **fields):
    trainable = fields.setdefault("trainable", MOVED)
    return make(steps=steps, losses=losses, trainable=trainable, learning=FOLLOWED | fields)


def test_a_scenario_in_which_nothing_is_to_be_learned_has_its_reasons_expected():
    record = seen(trainable=STILL, updates=0)
    result = classify(record, COMPLETED, expecting("parameters_unchanged"), settings())
    codes = {f.code: f.expected for f in result.findings}
    assert codes == {"parameters_unchanged": True, "gradients_not_applied": True}


def test_the_reasons_are_all_that_are_looked_for():
    ours = {d.__name__ for d in findings.DETECTORS if d.__module__ == learning.__name__}
    assert set(learning.REASONS) == ours


HEALTHY = {
    "all moves": {},
    "the first update had a learning rate of 0": {"rate": 1e-5, "warming": True},
    "the rate has come down to 0": {"rate": 0.0},
    "some labels count": {"labels": Labels(counted=3, of=512), "batches": 5},
    "an embedding is frozen": {"lora": 0, "moments": MOVED},
    "an adapter learns": {"lora": 4, "lora_zero": 0},
    "experts that nobody asked have a B of 0": {"lora": 4, "lora_zero": 3},
    "weights that hardly move at first": {
        "half": "bfloat16", "looked": 1000, "still": 900, "warming": True,
    },
    "most weights move": {"half": "bfloat16", "looked": 1000, "still": 300},
    "a hidden module that is trained elsewhere": {
        "unregistered": (Unregistered(path="ema", holder="Ema", parameters=9, changed=True),)
    },
    "one batch on purpose": {"batches": 5, "same": "object"},
    "a loss that shifts its labels itself": {
        "batches": 5, "labels": Labels(counted=9, of=9, shift=0),
    },
    "a compiled step that was traced twice": {"updates": 2, "traced": 2},
}  # fmt: skip


@pytest.mark.parametrize("case", HEALTHY)
def test_what_is_healthy_has_no_reason(case):
    assert reasons(seen(**HEALTHY[case])) == {}


@pytest.mark.parametrize(
    ("accumulates", "how", "why"),
    [
        (16, "accumulated", "accumulated over 16 steps, so run more"),
        (1, "never", "optimizer.update"),
    ],
)
def test_gradients_that_no_optimizer_was_given(accumulates, how, why):
    found = reasons(seen(trainable=STILL, updates=0, accumulates=accumulates))
    assert list(found) == ["gradients_not_applied"]
    assert found["gradients_not_applied"].evidence["how"] == how
    assert why in found["gradients_not_applied"].summary


def test_a_trainer_that_skips_updates_without_numbers_is_not_blamed_for_it():
    fields = FOLLOWED | {"trainable": STILL, "updates": 0}
    assert reasons(make(norms=[float("nan")] * 3, trainable=STILL, learning=fields)) == {}


def test_an_optimizer_that_nobody_named_or_saw_is_not_blamed():
    assert reasons(seen(trainable=STILL, updates=0, followed=False)) == {}


def test_the_line_of_the_user_is_given():
    finding = reasons(seen(trainable=STILL, highest_rate=0.0))["learning_rate_zero"]
    assert finding.severity is Severity.ERROR
    assert "in each of 10 updates at train.py:9" in finding.summary


def test_a_printed_learning_rate_of_0_means_something_where_the_loss_stands():
    flat = told([4.1588] * 60, {"learning_rate": [0.0] * 60})
    finding = reasons(flat)["learning_rate_zero"]
    assert finding.severity is Severity.WARNING
    falling = told([5.0 - 0.05 * n for n in range(60)], {"learning_rate": [0.0] * 60})
    assert reasons(falling) == {}
    assert reasons(told([4.1588] * 60, {"lr": [0.0] * 59 + [1e-6]})) == {}


def test_masked_labels_are_named_with_their_number_before_the_gradients_are():
    record = seen(
        losses=0.0, moments=Tensors(total=4, changed=0), batches=5,
        labels=Labels(counted=0, of=2560),
    )  # fmt: skip
    found = reasons(record)
    assert list(found) == ["labels_masked", "gradients_zero"]
    assert "0 of 2,560 labels count in the 5 batches" in found["labels_masked"].summary
    assert "no label counts" in found["gradients_zero"].summary


def test_the_labels_of_a_loss_that_is_no_number():
    record = seen(losses=float("nan"), batches=5, labels=Labels(counted=0, of=64))
    assert "labels_masked" in reasons(record)


@pytest.mark.parametrize(("largest", "zero", "left"), [(0.0, 4, "exactly 0"), (1e-15, 0, "1e-15")])
def test_what_is_erased_is_not_called_detached_or_rounded(largest, zero, left):
    gradients = Gradients(tensors=4, zero=zero, largest=largest, made=3.2)
    found = reasons(seen(trainable=STILL, gradients=gradients))
    assert list(found) == ["gradients_erased"]
    assert "up to 3.2, and the optimizer gets " + left in found["gradients_erased"].summary


def test_what_the_optimizer_returns_and_nobody_keeps():
    gradients = Gradients(tensors=4, zero=0, largest=0.1, made=0.1, stored=False)
    found = reasons(seen(trainable=STILL, gradients=gradients))
    assert list(found) == ["gradients_not_applied"]
    assert found["gradients_not_applied"].evidence["how"] == "dropped"


@pytest.mark.parametrize(
    ("still", "severity"),
    [(600, Severity.WARNING), (980, Severity.WARNING), (1000, Severity.ERROR)],
)
def test_weights_that_cannot_move_in_a_narrow_dtype(still, severity):
    stands = seen(losses=lambda n: 5 - 0.01 * n, half="bfloat16", looked=1000, still=still)
    finding = reasons(stands)["updates_too_small"]
    assert finding.severity is severity
    assert finding.evidence["share"] == still / 1000
    assert "(the learning rate is 0.001)" in finding.summary


def test_weights_that_cannot_move_are_no_reason_where_the_loss_falls():
    record = seen(half="bfloat16", looked=1000, still=900)  # of tokens that hardly ever come
    (finding,) = [f for f in findings.find(record) if f.code == "updates_too_small"]
    assert finding.severity is Severity.INFO


def test_two_steps_say_nothing_of_single_weights():
    assert reasons(seen(steps=2, half="float16", looked=1000, still=1000)) == {}


def test_a_hidden_module_is_an_error_where_the_loss_stands():
    hidden = (Unregistered(path="encoder.emb", holder="Encoder", parameters=2048),)
    falls = reasons(seen(unregistered=hidden))["submodules_unregistered"]
    assert falls.severity is Severity.WARNING
    assert "2,048 parameters of encoder.emb" in falls.summary
    stands = seen(steps=120, losses=lambda n: 4.16 + 0.01 * (n % 7), unregistered=hidden)
    assert reasons(stands)["submodules_unregistered"].severity is Severity.ERROR


@pytest.mark.parametrize(
    ("inputs", "outputs", "effect"),
    [
        (False, True, "not among its inputs: each call starts from the first parameters again"),
        (True, False, "not among its outputs: what it computes never reaches the model"),
        (False, False, "not among its inputs and outputs: what it computes never reaches"),
    ],
)
def test_a_compiled_step_without_its_state(inputs, outputs, effect):
    compiled = Compiled(function="step", place="train.py:4", inputs=inputs, outputs=outputs)
    assert effect in reasons(seen(compiled=compiled))["state_not_compiled"].summary


def test_labels_that_the_model_has_seen_need_a_loss_that_falls_to_0():
    labels = Labels(counted=64, of=64, shift=1)
    fallen = seen(losses=lambda n: 4.0 * 0.5**n, labels=labels, batches=5)
    assert "the inputs of 1 tokens before" in reasons(fallen)["labels_leak"].summary


def test_the_same_batch_again_is_told_either_way_and_is_no_fault_on_purpose():
    (finding,) = [
        f for f in findings.find(seen(batches=5, same="object")) if f.code == "batch_repeats"
    ]
    assert finding.severity is Severity.INFO
    assert "batch_repeats" in reasons(seen(batches=5, same="content"))
    assert reasons(seen(batches=3, same="content")) == {}


def test_parameters_of_a_watched_program_count_like_those_of_a_scenario():
    record = make(end=False, learning={"trainable": STILL})
    assert "parameters_unchanged" in {f.code for f in findings.find(record)}


def test_a_program_that_only_evaluates_its_model_was_not_to_learn():
    nothing = {"followed": False, "updates": 0, "batches": 0}
    evaluated = seen(losses=None, steps=0, trainable=STILL, **nothing)
    assert "parameters_unchanged" not in {f.code for f in findings.find(evaluated)}
    for trained in ({"batches": 3}, {"updates": 3}, {"followed": True}):
        record = seen(losses=None, steps=0, trainable=STILL, **nothing | trained)
        assert "parameters_unchanged" in {f.code for f in findings.find(record)}
    printed = seen(steps=5, trainable=STILL, **nothing)
    assert "parameters_unchanged" in {f.code for f in findings.find(printed)}
