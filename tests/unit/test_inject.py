"""What runs in a command's own Python: the writer's format, and the hook around a trainer."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import json
import math
import os
import sys
import traceback
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import inject
from harness.beats import file as beatfile
from harness.beats.file import BEATS, BeatReader, Recorder, read_beats, read_position
from harness.death import last_words
from harness.inject import FOLDER, HookReport, environment, hook_report
from harness.inject.inside import trainer, writer
from harness.inject.inside.writer import Writer, open_writer
from harness.model import SCHEMA, EndBeat, ModelBeat, Replay, StartBeat, StepBeat

names = st.text(max_size=60)
seconds = st.floats(min_value=0, max_value=1e9)
events = st.lists(
    st.one_of(
        st.tuples(st.just("at"), names, st.none() | st.integers(-1, 2**40)),
        st.tuples(st.just("move"), seconds, names),
        st.tuples(st.just("end"), st.none() | st.floats(), st.integers(0, 2**40), names),
    ),
    max_size=60,
)


# --- the writer --------------------------------------------------------------------------------


pytestmark = pytest.mark.usefixtures("without_mlx")


def test_the_formats_constants_are_those_of_the_reader():
    assert (writer.BEATS, writer.NOW) == (beatfile.BEATS, beatfile.NOW)
    assert writer.SLOT.format == beatfile._SLOT.format
    assert (writer.NAMES, writer.NAME) == (beatfile._NAMES, beatfile._NAME)
    assert writer.SCHEMA == SCHEMA


@given(events)
def test_what_it_writes_is_read_back(tmp_path_factory, happened):
    folder = tmp_path_factory.mktemp("beats")
    one = Writer(str(folder), "a test")
    expected = []
    for kind, *arguments in happened:
        if kind == "at":
            phase, step = arguments
            one.at(phase, step)
        elif kind == "move":
            one.move(*arguments)
        else:
            loss, traces, phase = arguments
            expected.append((one.step, loss, traces))
            one.end(loss=loss, traces=traces, calls=1, covers=2, then=phase)
        position = read_position(folder)
        assert position.step == one.step
        shown = one.phase.encode("utf-8", "replace")[:40].rstrip(b"\0")
        assert position.phase == shown.decode("utf-8", "replace")
    reader = BeatReader(folder)
    start, *steps = read_beats(folder, reader)
    os.close(one._file)
    assert not one.off
    assert reader.torn == 0
    assert isinstance(start, StartBeat)
    assert (start.pid, start.schema, start.scenario) == (os.getpid(), SCHEMA, "a test")
    assert all(isinstance(step, StepBeat) and step.covers == 2 for step in steps)
    assert all(value >= 0 for step in steps for value in step.phases.values())
    got = [(step.step, step.loss, step.traces) for step in steps]
    for (step, loss, traces), (at, read, count) in zip(expected, got, strict=True):
        assert (step, traces) == (at, count)
        if loss is None:
            assert read is None
        else:
            assert float(read) == loss or (math.isnan(loss) and read == "nan")


def test_it_writes_what_the_recorder_writes(tmp_path):
    """The same calls leave the same position, and beats with the same fields."""
    theirs, ours = tmp_path / "recorder", tmp_path / "writer"
    theirs.mkdir()
    ours.mkdir()
    recorder, one = Recorder(theirs), Writer(str(ours), "")
    recorder.begin(3, "data")
    recorder.phase("eval")
    one.at("data", 3)
    one.at("eval")
    places = [read_position(folder) for folder in (theirs, ours)]
    assert {(place.step, place.phase) for place in places} == {(3, "eval")}
    recorder.end(loss=1.25, traces=1, calls=2)
    one.end(loss=1.25, traces=1, calls=2)
    (step,) = read_beats(theirs)
    _, mine = read_beats(ours)
    assert (step.step, step.loss, step.traces, step.calls) == (3, 1.25, 1, 2)
    assert (mine.step, mine.loss, mine.traces, mine.calls) == (3, 1.25, 1, 2)
    assert mine.phases.keys() == {"start", "data", "eval"}
    recorder.close()


def test_the_first_one_writes_and_no_other(tmp_path):
    one = open_writer(str(tmp_path), "first")
    assert one is not None
    assert open_writer(str(tmp_path), "second") is None
    assert [beat.scenario for beat in read_beats(tmp_path)] == ["first"]
    assert hook_report(tmp_path) is None


def test_a_forked_child_is_silent(tmp_path, monkeypatch):
    one = Writer(str(tmp_path), "")
    one.at("data", 0)
    before = read_position(tmp_path)
    monkeypatch.setattr(writer, "_process", one._pid + 1)
    one.at("step", 1)
    one.end(loss=1.0)
    one.finish()
    assert read_position(tmp_path) == before
    assert len(list(read_beats(tmp_path))) == 1


def test_an_error_switches_it_off_and_is_told(tmp_path):
    one = Writer(str(tmp_path), "")
    one.wrapped("mlx-lm 1")
    one.end(loss="no number")
    assert one.off
    found = hook_report(tmp_path)
    assert found.wrapped == "mlx-lm 1"
    assert "ValueError" in found.disabled
    one.at("step", 5)
    one.end(loss=1.0)
    assert len(list(read_beats(tmp_path))) == 1


def test_a_full_disk_is_counted_and_the_beats_go_on(tmp_path, monkeypatch):
    one = Writer(str(tmp_path), "")
    write = os.write

    def full(file, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    one.at("step", 0)
    one.end(loss=1.0)
    assert read_position(tmp_path).step == 0
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:20]))
    one.at("step", 1)
    one.end(loss=2.0)
    monkeypatch.undo()
    one.at("step", 2)
    one.end(loss=3.0)
    one.finish()
    assert not one.off
    reader = BeatReader(tmp_path)
    _, step, end = read_beats(tmp_path, reader)
    assert (step.step, step.loss) == (2, 3.0)
    assert reader.torn == 1
    assert (end.steps, end.lost) == (3, 2)
    assert end.fault == "No space left on device"


def test_a_slot_without_room_leaves_nothing_that_the_supervisor_would_wait_for(
    tmp_path, monkeypatch
):
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: min(len(data), 100))
    assert open_writer(str(tmp_path), "") is None
    monkeypatch.setattr(os, "write", write)
    assert not (tmp_path / writer.NOW).exists()
    assert "disk is full" in hook_report(tmp_path).disabled


# --- the supervisor's side -----------------------------------------------------------------------


def test_the_environment_keeps_what_was_there(tmp_path):
    before = {"A": "1", "PYTHONPATH": "/mine"}
    with_hook = environment(tmp_path, before, hook=True)
    assert with_hook["PYTHONPATH"].split(os.pathsep) == [str(inject.FOLDER), "/mine"]
    assert (inject.FOLDER / "sitecustomize.py").exists()
    without = environment(tmp_path, before, hook=False)
    assert without == {**before, "HARNESS_BEATS": str(tmp_path)}
    assert before == {"A": "1", "PYTHONPATH": "/mine"}


def test_no_service_hears_of_a_replay_from_its_start(tmp_path):
    before = {"WANDB_MODE": "online"}
    replayed = environment(tmp_path, before, hook=True, replay=Replay(probe=1, last=2))
    assert (replayed["WANDB_MODE"], replayed["SWANLAB_MODE"]) == ("disabled", "disabled")
    assert environment(tmp_path, before, hook=True)["WANDB_MODE"] == "online"


@pytest.mark.parametrize("environ", [{}, {"PYTHONPATH": ""}])
def test_an_empty_path_does_not_become_the_working_directory(tmp_path, environ):
    assert environment(tmp_path, environ, hook=True)["PYTHONPATH"] == str(inject.FOLDER)


def test_the_folder_is_found_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = environment(tmp_path.relative_to(tmp_path), {}, hook=False)
    assert relative["HARNESS_BEATS"] == str(tmp_path)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (b"", None),
        (b"[]", None),
        (b"\xff", None),
        (b"{}", HookReport()),
        (b'{"wrapped": 3, "disabled": "x", "more": 1}', HookReport(disabled="x")),
        (b'{"wrapped": "mlx-lm 0.32.2"}', HookReport(wrapped="mlx-lm 0.32.2")),
    ],
)
def test_what_was_left_is_told(tmp_path, left, expected):
    (tmp_path / writer.HOOK).write_bytes(left)
    assert hook_report(tmp_path) == expected


# --- the hook around a trainer -------------------------------------------------------------------


class Args:
    iters = 6
    steps_per_report = 4
    steps_per_eval = 3
    steps_per_save = 4


class Mx:
    """Stands for mlx.core in the trainer below."""

    @staticmethod
    def eval(*arrays):
        for array in arrays:
            array.evaluated = True


mx = Mx()


class Scalar:
    """A lazy number, which may be read only once it has been evaluated."""

    def __init__(self, value):
        self.value = value
        self.evaluated = False

    def item(self):
        assert self.evaluated
        return self.value


def default_loss(model, batch):
    return Scalar(10.0 - batch)


def iterate_batches(dataset, loop=False):
    while True:
        yield from dataset
        if not loop:
            return


def evaluate(dataset, loss, iterate_batches, model, log):
    for batch in iterate_batches(dataset=dataset):
        log("validating")
        mx.eval(loss(model, batch))


def train(
    model,
    optimizer,
    train_dataset,
    val_dataset=None,
    args=Args(),  # noqa: B008
    loss=default_loss,
    iterate_batches=iterate_batches,
    training_callback=None,
    log=lambda where: None,
):
    """As mlx-lm's: the order of its calls, and the names of its variables."""
    for it, batch in zip(
        range(1, args.iters + 1), iterate_batches(dataset=train_dataset, loop=True), strict=False
    ):
        if it == 1 or it % args.steps_per_eval == 0 or it == args.iters:
            evaluate(val_dataset, loss, iterate_batches, model, log)
            if training_callback is not None:
                training_callback.on_val_loss_report({"iteration": it - 1, "val_loss": 1.0})
        lvalue = loss(model, batch)
        log("stepping")
        mx.eval(lvalue)
        if (it % args.steps_per_report == 0 or it == args.iters) and training_callback is not None:
            training_callback.on_train_loss_report({"iteration": it, "train_loss": 99.0})
        if it % args.steps_per_save == 0:
            log("saving")
    log("saving")
    return "trained"


@pytest.fixture
def hooked(tmp_path, monkeypatch):
    """Wraps a function as mlx-lm's `train` and calls it."""
    monkeypatch.setattr(trainer, "_writers", {})

    def call(function, *args, **kwargs):
        module = types.ModuleType("trainer")
        module.train = function
        trainer.wrap(module, str(tmp_path))
        return module.train(*args, **kwargs)

    return call


def steps_of(folder):
    return [beat for beat in read_beats(folder) if isinstance(beat, StepBeat)]


def test_each_step_has_a_beat_with_its_loss(hooked, tmp_path):
    assert hooked(train, None, None, [1, 2], [7]) == "trained"
    steps = steps_of(tmp_path)
    assert [step.step for step in steps] == list(range(6))
    assert [step.loss for step in steps] == [9.0, 8.0] * 3
    ends = [beat for beat in read_beats(tmp_path) if isinstance(beat, EndBeat)]
    assert [end.steps for end in ends] == [6]
    assert hook_report(tmp_path).wrapped.startswith("mlx-lm")
    assert hook_report(tmp_path).disabled is None


@pytest.mark.parametrize("raises", [False, True])
def test_a_look_that_fails_is_none_of_the_trainings_errors(hooked, tmp_path, monkeypatch, raises):
    class Following:
        def see(self, batch):
            pass

        def explains_error(self):
            return True

        def look(self, steps):
            raise RuntimeError("no memory is left")

    def failing(*args, **kwargs):
        train(*args, **kwargs)
        raise ValueError("its own")

    monkeypatch.setattr(trainer, "_following", lambda arguments: Following())
    failing.__signature__ = inspect.signature(train)
    if raises:
        with pytest.raises(ValueError, match="its own"):
            hooked(failing, None, None, [1, 2], [7])
    else:
        assert hooked(train, None, None, [1, 2], [7]) == "trained"
        assert any(isinstance(beat, EndBeat) for beat in read_beats(tmp_path))


@pytest.mark.parametrize("every", ["4", None, 0, Scalar(4)])
def test_an_interval_that_is_no_number_does_not_break_the_run(hooked, tmp_path, every):
    class Odd(Args):
        steps_per_report = 1
        steps_per_save = every

    def odd(model, train_dataset, args, loss, iterate_batches, training_callback=None):
        for it, _ in zip(range(3), iterate_batches(train_dataset), strict=False):
            training_callback.on_train_loss_report({"iteration": it + 1, "train_loss": 1.0})
        return "trained"

    assert hooked(odd, None, [1, 2, 3], Odd(), default_loss, iterate_batches) == "trained"
    assert len(steps_of(tmp_path)) == 3


def test_one_sees_what_it_is_at(hooked, tmp_path):
    seen = []

    def log(where):
        position = read_position(tmp_path)
        seen.append((where, position.step, position.phase))

    hooked(train, None, None, [1, 2], [7, 8], log=log)
    assert {(where, phase) for where, _, phase in seen} == {
        ("validating", "validate"),
        ("stepping", "step"),
        ("saving", "checkpoint"),
    }
    assert [step for where, step, _ in seen if where == "stepping"] == list(range(6))
    assert [step for where, step, _ in seen if where == "validating"] == [0, 0, 2, 2, 5, 5]
    assert [step for where, step, _ in seen if where == "saving"] == [3, 5]
    assert read_position(tmp_path).phase == "after_train"


def test_a_loss_that_mlx_compiled_may_have_no_name(hooked, tmp_path):
    class Compiled:
        def __init__(self):
            self.__name__, self.__qualname__, self.__module__ = "loss", None, None

        def __call__(self, model, batch):
            return default_loss(model, batch)

    assert hooked(train, None, None, [1, 2], [7], loss=Compiled()) == "trained"
    assert len(steps_of(tmp_path)) == 6


def test_a_validation_is_a_phase_of_its_step(hooked, tmp_path):
    hooked(train, None, None, [1, 2], [7])
    validated = [step.step for step in steps_of(tmp_path) if "validate" in step.phases]
    assert validated == [0, 2, 5]


def test_the_callback_of_ones_own_hears_all_it_would_have_heard(hooked, tmp_path):
    class Own:
        other = 5

        def __init__(self):
            self.heard = []

        def on_train_loss_report(self, info):
            self.heard.append(("train", info["iteration"]))

        def on_val_loss_report(self, info):
            self.heard.append(("val", info["iteration"]))

    def looking(*args, training_callback=None, **kwargs):
        assert training_callback.other == 5
        return train(*args, training_callback=training_callback, **kwargs)

    looking.__wrapped__ = train  # as a decorator leaves it
    with_hook, without = Own(), Own()
    hooked(looking, None, None, [1], [7], training_callback=with_hook)
    train(None, None, [1], [7], training_callback=without)
    assert with_hook.heard == without.heard != []
    assert [step.loss for step in steps_of(tmp_path)] == [9.0] * 6


def test_a_second_training_goes_on_with_the_count(hooked, tmp_path):
    for _ in range(2):
        hooked(train, None, None, [1, 2], [7])
    assert [step.step for step in steps_of(tmp_path)] == list(range(12))


@pytest.mark.parametrize("broken", ["iterate_batches", "loss"])
def test_an_error_of_the_training_is_its_own(hooked, tmp_path, broken):
    def fails(*args, **kwargs):
        raise KeyboardInterrupt(broken)

    with pytest.raises(KeyboardInterrupt, match=broken):
        hooked(train, None, None, [1], [7], **{broken: fails})
    assert steps_of(tmp_path) == []
    assert hook_report(tmp_path).disabled is None


def test_a_step_that_fails_did_not_return_and_is_where_it_ended(hooked, tmp_path):
    def fails_later(model, batch):
        if batch == 3:
            raise ValueError("later")
        return Scalar(1.0)

    with pytest.raises(ValueError, match="later"):
        hooked(train, None, None, [1, 2, 3], [7], loss=fails_later)
    assert [step.step for step in steps_of(tmp_path)] == [0, 1]
    position = read_position(tmp_path)
    # The third step validates first; its own loss is what failed.
    assert (position.step, position.phase) == (2, "step")


def older(model, optimizer, dataset, arguments):
    return "trained"


def unnamed(*args, **kwargs):
    return "trained"


def test_a_trainer_of_another_shape_runs_unharmed_and_is_told_of(hooked, tmp_path):
    for function in (older, unnamed):
        assert hooked(function, None, None, [1], [7]) == "trained"
        assert "has no argument" in hook_report(tmp_path).disabled
    assert not (tmp_path / BEATS).exists()


def test_arguments_of_another_kind_are_told_of_and_stay_as_they_are(hooked, tmp_path):
    def keeps(model, args=None, loss=None, iterate_batches=None, training_callback=None):
        return loss, iterate_batches, training_callback

    assert hooked(keeps, None, loss="mse") == ("mse", None, None)
    assert "loss" in hook_report(tmp_path).disabled
    assert not (tmp_path / BEATS).exists()


def test_a_wrong_call_fails_as_it_would_without(hooked, tmp_path):
    with pytest.raises(TypeError, match="required positional argument"):
        hooked(train)


def test_another_process_that_reports_is_left_alone(hooked, tmp_path):
    (tmp_path / BEATS).touch()
    assert hooked(train, None, None, [1], [7]) == "trained"
    assert (tmp_path / BEATS).read_bytes() == b""
    assert hook_report(tmp_path) is None


def test_a_trainer_that_keeps_its_loss_elsewhere_is_not_read(hooked, tmp_path):
    """Where a loss is not known to be evaluated, only what is reported is taken."""

    def other(model, args=Args, loss=None, iterate_batches=None, training_callback=None):
        for it, batch in enumerate(iterate_batches([1, 2]), 1):
            lvalue = Scalar(batch)  # never evaluated, and this function evaluates nothing
            if it == 2:
                continue
            training_callback.on_train_loss_report({"iteration": it, "train_loss": float(batch)})
        return lvalue

    hooked(other, None, loss=default_loss, iterate_batches=iterate_batches)
    assert [step.loss for step in steps_of(tmp_path)] == [1.0, None]


def test_the_wrapped_function_keeps_its_name_and_signature(tmp_path):
    module = types.ModuleType("trainer")
    module.train = train
    trainer.wrap(module, str(tmp_path))
    assert module.train.__name__ == "train"
    assert trainer.inspect.signature(module.train) == trainer.inspect.signature(train)


def test_what_the_loop_lets_go_of_is_not_kept(hooked, tmp_path):
    """Reading the loss must not keep a batch in memory after its step."""
    import gc
    import weakref

    class Batch:
        def __rsub__(self, other):
            return other

    alive = []

    def batches(dataset, loop=False):
        while True:
            alive.append(sum(batch() is not None for batch in made))
            batch = Batch()
            made.append(weakref.ref(batch))
            yield batch
            del batch
            if not loop:
                return

    made = []
    gc.disable()
    try:
        hooked(train, None, None, [1], [7], iterate_batches=batches)
        with_hook = alive[:]
        alive.clear()
        made.clear()
        train(None, None, [1], [7], iterate_batches=batches)
    finally:
        gc.enable()
    assert with_hook == alive


def test_the_models_sizes_are_known(hooked, tmp_path, monkeypatch):
    class Parameter:
        size, nbytes, dtype = 10, 20, "mlx.core.float16"

    class Model:
        def parameters(self):
            return [("a", Parameter()), ("b", Parameter())]

        def trainable_parameters(self):
            return [("a", Parameter())]

    utils = types.ModuleType("mlx.utils")
    utils.tree_flatten = list
    monkeypatch.setitem(trainer.sys.modules, "mlx.utils", utils)
    hooked(train, Model(), None, [1], [7])
    (model,) = [beat for beat in read_beats(tmp_path) if isinstance(beat, ModelBeat)]
    assert (model.parameters, model.trainable_bytes, model.dtype) == (20, 20, "float16")


def test_the_note_is_json_and_replaces_the_one_before(tmp_path):
    writer.note(str(tmp_path), wrapped="a", disabled=None)
    writer.note(str(tmp_path), disabled='"quoted" ü')
    assert json.loads((tmp_path / writer.HOOK).read_text(encoding="utf-8")) == {
        "disabled": '"quoted" ü'
    }
    assert [path.name for path in tmp_path.iterdir()] == [writer.HOOK]


def test_a_traceback_that_ends_the_program_has_none_of_our_frames(hooked, monkeypatch):
    shown = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, found: shown.append(error))
    trainer._hide_own_frames()
    trainer._hide_own_frames()

    def fails():
        raise ValueError("no")

    def theirs(call):
        return call()

    counted = trainer.Watch._counted(
        types.SimpleNamespace(_writer=types.SimpleNamespace(phase="step"), _traces=0), fails
    )
    try:
        theirs(counted)
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    (error,) = shown
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    assert len(files) == 3
    assert trainer.__file__ not in files


def test_a_folder_without_code_that_has_the_librarys_name_is_no_reason_to_switch_off(
    tmp_path, monkeypatch
):
    spec = importlib.util.spec_from_file_location("hook_of_a_test", FOLDER / "sitecustomize.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    (tmp_path / "path" / "mlx_lm").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "path")])
    monkeypatch.delitem(sys.modules, "mlx_lm", raising=False)
    importlib.invalidate_caches()
    found = hook.Finder(str(tmp_path)).find_spec("mlx_lm")
    assert found.submodule_search_locations is not None
    assert hook_report(tmp_path) is None


def nested(depth):
    nest = []
    for _ in range(depth):
        nest = [nest]
    return copy.deepcopy(nest)


def test_of_a_recursion_of_a_library_the_users_line_is_told():
    spec = importlib.util.spec_from_file_location("hook_of_a_test", FOLDER / "sitecustomize.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    with pytest.raises(RecursionError) as caught:
        nested(100_000)
    told = json.loads(hook._printed(caught.value))
    assert len(told) <= hook.MOST
    words = last_words.of_told(told)
    assert words.text.startswith("RecursionError: maximum recursion depth exceeded")
    assert words.place.endswith("in nested")


@pytest.mark.parametrize("message", ["bad ids: " + "7, " * 50_000, "bad ids: 7\n" * 20_000])
def test_of_a_message_that_is_longer_than_all_that_is_told_the_beginning_is_kept(message):
    spec = importlib.util.spec_from_file_location("hook_of_a_test", FOLDER / "sitecustomize.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    try:
        raise ValueError(message)
    except ValueError as error:
        told = json.loads(hook._printed(error))
    assert len(told) <= hook.MOST
    words = last_words.of_text(told)
    assert words.text.startswith("ValueError: bad ids: 7")
    assert words.place.startswith("test_inject.py:")
