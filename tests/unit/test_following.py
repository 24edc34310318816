"""What is seen of the learning of a training: taps, kept batches, modules, parameters."""

from __future__ import annotations

import json
import random
from functools import partial

import pytest

mx = pytest.importorskip("mlx.core")
import mlx.nn as nn  # noqa: E402
import mlx.optimizers as optim  # noqa: E402
from mlx.utils import tree_map  # noqa: E402

from harness.beats.file import Recorder  # noqa: E402
from harness.beats.record import load  # noqa: E402
from harness.inject.inside import watched  # noqa: E402
from harness.inject.inside.compilation import in_force  # noqa: E402
from harness.inject.inside.followed_training import FollowedTraining  # noqa: E402
from harness.inject.inside.kept_batches import KeptBatches  # noqa: E402
from harness.inject.inside.learning import Follower  # noqa: E402
from harness.inject.inside.modules import adapters, unregistered  # noqa: E402
from harness.inject.inside.taps import Taps  # noqa: E402
from harness.model import Settings  # noqa: E402
from harness.training import loop, probes  # noqa: E402
from harness.training.setup import Training  # noqa: E402


@pytest.fixture
def taps():
    made = Taps().install()
    yield made
    made.remove()


def squares(model, x, y):
    return mx.mean(mx.square(model(x) - y))


def detached(model, x, y):
    return mx.mean(mx.square(mx.stop_gradient(model(x)) - y))


def train(folder, taps, change, optimizer=None, loss=squares, model=None, steps=6, batch=None):
    """What is seen of a training of a small model, each step of which does `change`."""
    recorder = Recorder(folder)
    probe = probes.CompileProbe(recorder)
    training = Training(Settings(steps=steps), recorder, probe)
    model = model or nn.Linear(4, 2)
    optimizer = optimizer or optim.Adam(0.1)
    training.watch(model, optimizer)
    loss_and_grad = nn.value_and_grad(model, loss)

    def step(x, y):
        value, gradients = loss_and_grad(model, x, y)
        change(model, optimizer, gradients)
        return value

    def batches():
        while True:
            yield batch() if batch else (mx.random.normal((3, 4)), mx.ones((3, 2)))

    try:
        loop.run(training, step, batches(), recorder, probe, taps)
    finally:
        recorder.close()
    return load(folder).learning


def update(model, optimizer, gradients):
    optimizer.update(model, gradients)


def test_a_healthy_training_has_no_gradient_read(tmp_path, taps):
    seen = train(tmp_path, taps, update)
    assert (seen.trainable.total, seen.trainable.changed) == (2, 2)
    assert (seen.updates, seen.moments.changed, seen.gradients) == (6, 2, None)
    assert seen.rate == seen.highest_rate == pytest.approx(0.1)
    assert seen.place.startswith("test_following.py:")
    assert (seen.batches, seen.same) == (4, None)


def test_a_detached_loss_that_weight_decay_hides(tmp_path, taps):
    seen = train(tmp_path, taps, update, optim.AdamW(0.1, weight_decay=0.1), detached)
    assert seen.trainable.changed == 2
    assert seen.moments.changed == 0
    assert (seen.gradients.tensors, seen.gradients.zero, seen.gradients.made) == (2, 2, 0.0)


def test_gradients_that_are_erased_on_their_way(tmp_path, taps):
    def erased(model, optimizer, gradients):
        optimizer.update(model, tree_map(lambda g: g * 0, gradients))

    seen = train(tmp_path, taps, erased)
    assert seen.gradients.zero == 2
    assert seen.gradients.made > 0


def test_a_result_that_is_dropped_and_a_copy_that_is_trained(tmp_path, taps):
    def dropped(model, optimizer, gradients):
        mx.eval(optimizer.apply_gradients(gradients, model))

    seen = train(tmp_path, taps, dropped)
    assert seen.trainable.changed == 0
    assert seen.gradients.stored is False


def test_gradients_that_nobody_takes(tmp_path, taps):
    seen = train(tmp_path, taps, lambda *_: None)
    assert (seen.updates, seen.followed) == (0, True)
    assert seen.gradients is None  # to make them may need memory that the run never needed


@pytest.mark.parametrize(
    ("schedule", "highest", "warming"),
    [
        (lambda step: 1e-3 * (step // 1000), 0.0, False),
        (optim.linear_schedule(0.0, 1e-3, 100), 6e-5, True),
        (optim.cosine_decay(1e-3, 4), 1e-3, False),
        (
            optim.join_schedules(
                [optim.linear_schedule(0, 1e-3, 2), optim.cosine_decay(1e-3, 4)], [2]
            ),
            1e-3,
            False,
        ),
    ],
)
def test_a_schedule_is_asked_for_all_steps(tmp_path, taps, schedule, highest, warming):
    seen = train(tmp_path, taps, update, optim.SGD(schedule))
    assert seen.highest_rate == pytest.approx(highest)
    assert seen.warming is warming


@pytest.mark.parametrize("joined", [False, True])
def test_a_schedule_of_ones_own_is_asked_for_nothing_where_all_moves(tmp_path, taps, joined):
    asked = []

    def schedule(step):
        asked.append(step)
        return mx.array(0.1)

    whole = optim.join_schedules([schedule, optim.cosine_decay(0.1, 9)], [50])
    seen = train(tmp_path, taps, update, optim.SGD(whole if joined else schedule))
    assert len(asked) == 7  # once for each of 6 updates, and when it was made
    assert (seen.rate, seen.highest_rate) == (pytest.approx(0.1), None)


def test_weights_that_are_too_coarse_for_their_updates(tmp_path, taps):
    model = nn.Linear(4, 2)
    model.weight, model.bias = mx.ones((2, 4)), mx.zeros((2,))
    model.set_dtype(mx.bfloat16)
    seen = train(tmp_path, taps, update, optim.Adam(1e-4), model=model)
    assert seen.half == "bfloat16"
    assert (seen.looked, seen.still) == (10, 8)  # the bias begins at 0 and moves by any amount


def test_a_wide_copy_that_is_updated_is_not_a_narrow_one(tmp_path, taps):
    model = nn.Linear(4, 2)
    model.set_dtype(mx.bfloat16)
    master = tree_map(lambda p: p.astype(mx.float32), model.trainable_parameters())

    def through_master(model, optimizer, gradients):
        gradients = tree_map(lambda g: g.astype(mx.float32), gradients)
        master.update(optimizer.apply_gradients(gradients, master))
        model.update(tree_map(lambda p: p.astype(mx.bfloat16), master))

    seen = train(tmp_path, taps, through_master, optim.Adam(1e-6), model=model)
    assert (seen.half, seen.looked) == (None, 0)


def test_the_optimizer_of_another_model_is_not_taken_for_the_one_that_was_named(tmp_path, taps):
    judge, other = nn.Linear(2, 1), optim.Adam(0.0)

    def both(model, optimizer, gradients):
        optimizer.update(model, gradients)
        other.update(judge, judge.trainable_parameters())

    seen = train(tmp_path, taps, both)
    assert seen.highest_rate == pytest.approx(0.1)


def test_the_one_more_step_changes_nothing_that_is_recorded(tmp_path, taps):
    train(tmp_path, taps, update, loss=detached)
    record = load(tmp_path)
    assert len(record.step) == 6
    assert record.built.step == 5


# --- compiled steps ------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [True, False])
@pytest.mark.parametrize("outputs", [True, False])
def test_a_compiled_step_has_its_parameters_or_is_told_of(taps, inputs, outputs):
    model, optimizer = nn.Linear(4, 2), optim.SGD(0.1)
    taps.model = lambda: model
    state = [model.state, optimizer.state]
    loss_and_grad = nn.value_and_grad(model, squares)
    x, y = mx.ones((3, 4)), mx.ones((3, 2))

    @partial(mx.compile, inputs=state if inputs else None, outputs=state if outputs else None)
    def step(x, y):
        value, gradients = loss_and_grad(model, x, y)
        optimizer.update(model, gradients)
        return value

    step(x, y)  # traced, and not evaluated: no kernel is built
    if inputs and outputs:
        assert taps.compiled is None
    else:
        assert (taps.compiled["inputs"], taps.compiled["outputs"]) == (inputs, outputs)
        assert taps.compiled["function"] == "step"
    assert taps.traced == 1


def test_a_copy_of_the_parameters_is_no_place_to_give_them_out_to(taps):
    model, optimizer = nn.Linear(4, 2), optim.SGD(0.1)
    taps.model = lambda: model
    state = [model.trainable_parameters(), optimizer.state]
    loss_and_grad = nn.value_and_grad(model, squares)

    @partial(mx.compile, inputs=state, outputs=state)
    def step(x, y):
        value, gradients = loss_and_grad(model, x, y)
        optimizer.update(model, gradients)
        return value

    with pytest.raises(ValueError, match="uncaptured inputs"):
        step(mx.ones((3, 4)), mx.ones((3, 2)))
    assert (taps.compiled["inputs"], taps.compiled["outputs"]) == (False, False)


def test_a_compiled_function_that_updates_no_model_may_have_no_state(taps):
    model, optimizer = nn.Linear(4, 2), optim.SGD(0.1)
    taps.model = lambda: model
    optimizer.init(model.trainable_parameters())

    @mx.compile
    def new(gradients, parameters):
        return optimizer.apply_gradients(gradients, parameters)

    parameters = model.trainable_parameters()
    new(parameters, parameters)
    assert taps.compiled is None


def test_what_is_wrapped_is_as_it_was_afterwards():
    before = (optim.Optimizer.apply_gradients, mx.value_and_grad, mx.compile)
    Taps().install().remove()
    assert (optim.Optimizer.apply_gradients, mx.value_and_grad, mx.compile) == before


# --- modules -------------------------------------------------------------------------------------


class Plain:
    def __init__(self, module):
        self.inner = module


class Net(nn.Module):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def frozen(module):
    module.freeze()
    return module


@pytest.mark.parametrize(
    ("parts", "paths"),
    [
        ({"encoder": Plain(nn.Linear(2, 2))}, ["encoder.inner"]),
        ({"layers": (nn.Linear(2, 2), nn.Linear(2, 2))}, ["layers.0", "layers.1"]),
        ({"block": Net(deep=Plain([nn.Linear(2, 2)]))}, ["block.deep.inner.0"]),
        ({"layers": [nn.Linear(2, 2)], "by": {"name": nn.Linear(2, 2)}}, []),
        ({"teacher": Plain(frozen(nn.Linear(2, 2)))}, []),
        ({"_ema": Plain(nn.Linear(2, 2))}, []),
        ({"activation": Plain(nn.ReLU())}, []),
    ],
)
def test_modules_that_a_model_hides(parts, paths):
    model = Net(head=nn.Linear(2, 2), **parts)
    assert [found.path for found in unregistered(model)] == paths


def test_a_module_that_is_known_by_another_way_is_not_hidden():
    head = nn.Linear(2, 2)
    assert unregistered(Net(head=head, tied=Plain(head))) == []


def test_a_plain_object_that_holds_its_holder_ends():
    plain = Plain(None)
    model = Net(head=nn.Linear(2, 2), part=plain)
    plain.inner = model
    assert unregistered(model) == []


def test_a_vocabulary_is_not_searched_to_its_end():
    words = Plain({f"w{n}": n for n in range(100_000)} | {"last": nn.Linear(2, 2)})
    assert unregistered(Net(head=nn.Linear(2, 2), words=words)) == []


def test_adapters_are_known_by_their_two_factors():
    class Lora(nn.Module):
        def __init__(self):
            super().__init__()
            self.lora_a, self.lora_b = mx.ones((2, 1)), mx.zeros((1, 2))

    assert len(adapters(Net(one=Lora(), other=nn.Linear(2, 2)))) == 1


# --- one more step of a training with mlx-lm ------------------------------------------------------


def looked_at(loss):
    """A training whose loss has no gradient, its model, and what the look at its end found."""
    mx.random.seed(11)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm(4), nn.Dropout(0.5))
    arguments = {"model": model, "optimizer": optim.Adam(0.1), "loss": loss, "args": None}
    following = FollowedTraining(arguments)
    optimizer = arguments["optimizer"]
    for _ in range(3):
        batch = (mx.random.normal((3, 4)), mx.ones((3, 4)))
        following.see(batch)
        _, gradients = nn.value_and_grad(model, loss)(model, *batch)
        optimizer.update(model, gradients)
        mx.eval(model.state, optimizer.state)
    drawn, mean = mx.random.state[0].tolist(), model.layers[1].running_mean.tolist()
    own = random.getstate()
    found = following.look(3)
    after = mx.random.state[0].tolist(), model.layers[1].running_mean.tolist(), random.getstate()
    return found, (drawn, mean, own) == after


def drawing(model, x, y):
    random.random()
    return detached(model, x, y)


def test_one_more_step_leaves_random_numbers_and_figures_of_batches_as_they_were():
    found, same = looked_at(drawing)
    assert (found["gradients"]["tensors"], found["gradients"]["zero"]) == (4, 4)
    assert same


def test_compilation_that_the_program_turned_off_stays_off():
    mx.disable_compile()
    try:
        found, _ = looked_at(detached)
        assert (found["gradients"]["zero"], in_force()) == (4, False)
    finally:
        mx.enable_compile()
    looked_at(detached)
    assert in_force()


def test_a_rank_makes_no_step_that_others_may_not_make(monkeypatch):
    monkeypatch.setenv("MLX_RANK", "0")
    found, _ = looked_at(detached)
    assert "gradients" not in found
    assert found["moments"]["changed"] == 0


# --- what raises ---------------------------------------------------------------------------------


class Nameless:
    """Like what MLX 0.25 makes of a function."""

    def __init__(self, function):
        self.function = function
        self.__name__ = ""
        self.__qualname__ = self.__module__ = None

    def __call__(self, *args):
        return self.function(*args)


def test_what_mlx_makes_may_have_no_name(monkeypatch, tmp_path):
    original, compile = mx.value_and_grad, mx.compile

    def value_and_grad(function):
        return Nameless(original(function))

    monkeypatch.setattr(mx, "value_and_grad", value_and_grad)
    monkeypatch.setattr(mx, "compile", lambda function: Nameless(compile(function)))
    recorder = Recorder(tmp_path)
    probe, taps = probes.CompileProbe(recorder), Taps()
    probe.install()
    taps.install()
    try:
        step = mx.compile(mx.value_and_grad(lambda x: x * x))
        assert [part.item() for part in step(mx.array(3.0))] == [9.0, 6.0]
        assert (probe.traces, probe.calls) == (1, 1)
    finally:
        taps.remove()
        recorder.close()


def test_a_look_that_fails_is_not_the_programs_to_catch(taps):
    class Odd(dict):
        def items(self):
            raise RuntimeError("not now")

    def broken():
        raise RuntimeError("broken")

    model, optimizer = nn.Linear(4, 2), optim.SGD(0.1)
    taps.model, taps.on_update = lambda: model, broken
    state = [model.state, optimizer.state]
    loss_and_grad = nn.value_and_grad(model, squares)

    @partial(mx.compile, inputs=state, outputs=[*state, Odd()])
    def step(x, y):
        loss, gradients = loss_and_grad(model, x, y)
        optimizer.update(model, gradients)
        return loss

    before = model.weight
    mx.eval(step(mx.ones((3, 4)), mx.ones((3, 2))), state)
    optimizer.update(model, model.trainable_parameters())
    assert taps.updates == 2
    assert not mx.array_equal(before, model.weight)


# --- batches -------------------------------------------------------------------------------------

TOKENS = mx.arange(64).reshape(4, 16) % 13


def kept(*batches, lengths=False):
    keeper = KeptBatches(lengths)
    for batch in batches:
        keeper.see(batch)
    return keeper.facts()


def test_batches_of_few_steps_are_kept():
    facts = kept(*[(mx.full((2,), n),) for n in range(100)])
    assert (facts["batches"], facts["same"]) == (8, None)


def test_the_same_object_and_the_same_content_are_two_things():
    same = (TOKENS, TOKENS + 1)
    assert kept(*[same] * 5)["same"] == "object"
    assert kept(*[(TOKENS + 0, TOKENS + 1) for _ in range(5)])["same"] == "content"
    assert kept(*[(TOKENS + n, TOKENS) for n in range(5)])["same"] is None
    assert kept((TOKENS,), (TOKENS, TOKENS))["same"] is None


def test_memory_that_a_loader_fills_again_is_not_the_same_batch():
    np = pytest.importorskip("numpy")
    keeper, buffer = KeptBatches(), np.zeros((2, 3), np.float32)
    for number in range(5):
        buffer[:] = number
        keeper.see((buffer,))
    assert keeper.facts()["same"] is None


def test_a_slice_does_not_keep_what_it_was_cut_from():
    data = mx.random.uniform(shape=(1 << 16, 64))
    keeper, before = KeptBatches(), mx.get_active_memory()
    for n in range(6):
        batch = (data[n : n + 4], data[n : n + 4, 1] > 0.5, data[:0])
        mx.eval(batch)
        keeper.see(batch)
    rows = [data[n : n + 4].tolist() for n in range(5)]
    del data, batch
    assert mx.get_active_memory() - before < 1 << 20
    facts = keeper.facts()
    assert (facts["batches"], facts["same"]) == (4, None)
    assert [kept[0].tolist() for kept in keeper._kept] == [rows[n] for n in (0, 1, 2, 4)]


def test_what_is_large_is_not_kept():
    assert kept(*[(mx.zeros((1 << 21,), mx.float32),)] * 5)["batches"] < 5


@pytest.mark.parametrize(
    ("batch", "labels"),
    [
        ((TOKENS, mx.full((4, 16), -100)), (0, 64)),
        ((TOKENS, mx.where(TOKENS > 6, TOKENS, -100)), (29, 64)),
        ((TOKENS, TOKENS, mx.zeros((4, 16))), (0, 64)),
        ((TOKENS, TOKENS, TOKENS > 20), (0, 64)),
        ((TOKENS, TOKENS), (64, 64)),
        ({"input_ids": TOKENS, "labels": mx.full((4, 16), -100)}, (0, 64)),
        ((mx.ones((4, 8)), mx.zeros((4,), mx.int32)), (4, 4)),
    ],
)
def test_labels_that_count(batch, labels):
    told = kept(batch)["labels"]
    assert (told["counted"], told["of"]) == labels


def test_a_batch_without_labels():
    assert "labels" not in kept((mx.ones((4, 8)), mx.ones((4, 1))))
    assert "labels" not in kept((TOKENS,))


def test_mlx_lms_lengths_say_which_tokens_count():
    batch = mx.zeros((2, 9), mx.int32)
    assert kept((batch, mx.array([[0, 5], [3, 9]])), lengths=True)["labels"] == {
        "counted": 5 + 6, "of": 16, "shift": None
    }  # fmt: skip
    assert kept((batch, mx.array([[7, 6], [9, 9]])), lengths=True)["labels"]["counted"] == 0


@pytest.mark.parametrize(
    ("targets", "shift"),
    [
        (TOKENS, 0),
        (mx.concatenate([mx.zeros((4, 1), mx.int32), TOKENS[:, :-1]], axis=1), 1),
        (mx.concatenate([TOKENS[:, 1:], mx.zeros((4, 1), mx.int32)], axis=1), None),
        (TOKENS + 1, None),
    ],
)
def test_targets_that_the_model_has_seen(targets, shift):
    assert kept((TOKENS, targets))["labels"]["shift"] == shift


def test_rows_of_few_values_say_nothing_of_a_shift():
    few = mx.zeros((4, 16), mx.int32)
    assert kept((few, few))["labels"]["shift"] is None


# --- a program that asks for it ------------------------------------------------------------------


@pytest.fixture
def followed(tmp_path):
    made = []

    def follow(model, optimizer):
        made.append(watched.Followed(str(tmp_path), model, optimizer))
        return made[0]

    yield follow
    for one in made:
        one.close()


@pytest.mark.parametrize("loss", [squares, detached])
def test_a_program_is_followed_to_its_end(tmp_path, followed, loss):
    model, optimizer = nn.Linear(4, 2), optim.Adam(0.1)
    program = followed(model, optimizer)
    loss_and_grad = nn.value_and_grad(model, loss)
    for _ in range(6):
        value, gradients = loss_and_grad(model, mx.random.normal((3, 4)), mx.ones((3, 2)))
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), optimizer.state, value)
    program.finish()
    told = json.loads((tmp_path / watched.NAME).read_text())
    assert told["updates"] == 6
    assert ("gradients" in told) == (loss is detached)
    assert load(tmp_path).learning.trainable.changed == (0 if loss is detached else 2)


def test_the_second_process_is_not_followed(tmp_path, followed):
    followed(nn.Linear(4, 2), None)
    with pytest.raises(FileExistsError):
        watched.Followed(str(tmp_path), nn.Linear(4, 2), None)


def test_what_cannot_be_read_is_left_out():
    follower = Follower(object, object, Taps())
    assert follower.look(3)["updates"] == 0
    assert not follower.inert()
