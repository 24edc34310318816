"""The hook in real interpreters, and in real trainings by mlx-lm's own command line."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import mlxlm_folder
import pytest

from harness.beats.file import BEATS, read_beats
from harness.inject import FOLDER, environment, hook_report
from harness.model import EndBeat, MlxBeat, ModelBeat, StartBeat, StepBeat

ITERATIONS = 20
EVERY = 5


@pytest.fixture(scope="session")
def training(once):
    """The arguments of a small training."""
    folder = once("training", mlxlm_folder.write)
    arguments = ["lora", "--model", folder / "model", "--train", "--data", folder / "data"]
    arguments += ["--iters", ITERATIONS, "--steps-per-report", EVERY, "--num-layers", 2]
    arguments += ["--batch-size", 1, "--steps-per-eval", 10, "--save-every", 10]
    arguments += ["--optimizer", "sgd"]  # it is compiled into the fewest kernels
    return [*map(str, arguments)]


@pytest.fixture(scope="session")
def hooked(once, training):
    """The folder of a training with the hook: `beats`, `printed`, and what it saved."""

    def train(folder: Path) -> None:
        (folder / "beats").mkdir()
        (folder / "printed").write_text(run(["-m", "mlx_lm", *training], folder / "beats")[0])

    return once("hooked", train)


@pytest.fixture
def beats(tmp_path):
    """Where the beats go."""
    folder = tmp_path / "beats"
    folder.mkdir()
    return folder


def run(argv, folder, hook=True, path=(), **variables):
    """The command's output, without colors. `path`: further folders of modules."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **variables}
    if folder is not None:
        environ = environment(folder, environ, hook)
    done = subprocess.run(
        [sys.executable, *map(str, argv)],
        env=environ,
        cwd=folder and folder.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout), done.stderr


def losses(printed):
    """(iteration, kind, loss) of each report of mlx-lm, whatever its version."""
    new = re.findall(r"^ *(\d+) +(val )?(\d+\.\d+)", printed, re.M)
    old = re.findall(r"^Iter (\d+): (Val|Train) loss (\d+\.\d+)", printed, re.M)
    return [(int(it), "val" in kind.lower(), float(loss)) for it, kind, loss in new + old]


def steps_of(folder):
    return [beat for beat in read_beats(folder) if isinstance(beat, StepBeat)]


def test_every_step_of_a_training_is_seen_and_nothing_about_it_changes(training, hooked, tmp_path):
    with_hook, beats = (hooked / "printed").read_text(), hooked / "beats"
    (tmp_path / "plain").mkdir()
    without, _ = run(["-m", "mlx_lm", *training], tmp_path / "plain", hook=False)
    assert losses(with_hook) == losses(without)
    assert (hooked / "adapters" / "adapters.safetensors").exists()
    assert list((tmp_path / "plain").iterdir()) == []

    steps = steps_of(beats)
    assert [step.step for step in steps] == list(range(ITERATIONS))
    reported = {it: loss for it, validation, loss in losses(with_hook) if not validation}
    assert reported.keys() == {5, 10, 15, 20}
    for last, loss in reported.items():
        mean = sum(step.loss for step in steps[last - EVERY : last]) / EVERY
        assert math.isclose(mean, loss, abs_tol=6e-4)  # three digits are printed
    validated = [step.step + 1 for step in steps if "validate" in step.phases]
    assert validated == [it for it, validation, _ in losses(with_hook) if validation]
    assert all(step.phases["data"] > 0 and step.phases["step"] > 0 for step in steps)
    assert "checkpoint" in steps[10].phases
    assert all(step.active > 0 and step.peak >= step.active for step in steps)

    found = {type(beat): beat for beat in read_beats(beats)}
    assert found[StartBeat].scenario.startswith("mlx-lm ")
    assert found[MlxBeat].device
    assert found[ModelBeat].parameters > found[ModelBeat].trainable > 0
    assert found[EndBeat].steps == ITERATIONS
    assert found[EndBeat].lost == 0
    assert hook_report(beats).wrapped == found[StartBeat].scenario
    assert hook_report(beats).disabled is None


def test_that_it_runs_uncompiled_is_no_retracing(training, beats):
    run(["-m", "mlx_lm", *training], beats, MLX_DISABLE_COMPILE="1")
    assert {(step.traces, step.calls) for step in steps_of(beats)} == {(0, 0)}
    (end,) = [beat for beat in read_beats(beats) if isinstance(beat, EndBeat)]
    assert end.compile_works is False


def test_traces_of_the_compiled_step_are_counted(hooked):
    steps = steps_of(hooked / "beats")
    assert [step.calls for step in steps] == list(range(1, ITERATIONS + 1))
    assert 1 <= steps[0].traces <= steps[-1].traces < ITERATIONS


def fake_trainer(folder, code):
    """A package mlx_lm whose trainer is `code`, found before the real one."""
    (folder / "mlx_lm" / "tuner").mkdir(parents=True)
    (folder / "mlx_lm" / "__init__.py").write_text("__version__ = '99'\n")
    (folder / "mlx_lm" / "tuner" / "__init__.py").write_text("from .trainer import train\n")
    (folder / "mlx_lm" / "tuner" / "trainer.py").write_text(code)
    return folder


CALL = "from mlx_lm.tuner import train; print(train('model', 'data'))"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("def train(model, dataset): return dataset", "mlx-lm 99 has no argument"),
        ("class Trainer: pass\ntrain = lambda *a: a[1]", "has no argument"),
        ("import functools\ntrain = functools.partial(max, 'a')", "no signature"),
    ],
)
def test_a_trainer_of_another_shape_runs_as_ever_and_one_is_told(beats, tmp_path, code, why):
    path = [fake_trainer(tmp_path / "fake", code)]
    assert run(["-c", CALL], beats, path=path) == run(["-c", CALL], None, path=path)
    assert why in hook_report(beats).disabled
    assert not (beats / BEATS).exists()


def test_a_trainer_without_its_function_is_imported_as_ever_and_one_is_told(beats, tmp_path):
    path = [fake_trainer(tmp_path / "fake", "")]
    (path[0] / "mlx_lm" / "tuner" / "__init__.py").write_text("")
    assert run(["-c", "import mlx_lm.tuner.trainer as t; print(t.__name__)"], beats, path=path) == (
        "mlx_lm.tuner.trainer\n",
        "",
    )
    assert "AttributeError" in hook_report(beats).disabled


def test_an_error_of_the_trainers_import_is_as_it_was(beats, tmp_path):
    path = [fake_trainer(tmp_path / "fake", "raise ImportError('no numpy')")]
    code = f"try:\n    {CALL}\nexcept ImportError as e: print(e)"
    assert run(["-c", code], beats, path=path) == ("no numpy\n", "")
    assert hook_report(beats) is None


TRAIN = """
def train(model, dataset, args=None, loss=print, iterate_batches=iter, training_callback=None):
    for batch in iterate_batches(dataset):
        pass
    return "trained"
"""


def test_a_folder_that_cannot_be_written_to_stops_nothing(beats, tmp_path):
    path = [fake_trainer(tmp_path / "fake", TRAIN)]
    beats.rmdir()
    assert run(["-c", CALL], beats, path=path) == ("trained\n", "")


def test_of_several_processes_the_first_one_reports(beats, tmp_path):
    path = [fake_trainer(tmp_path / "fake", TRAIN)]
    code = f"""
import os, subprocess, sys
{CALL}
subprocess.run([sys.executable, "-c", {CALL!r}], check=True)
child = os.fork()
if not child:
    {CALL}
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
"""
    said, _ = run(["-u", "-c", code], beats, path=path)
    assert said == "trained\n" * 3
    assert [step.step for step in steps_of(beats)] == list(range(len("data")))
    starts = [beat for beat in read_beats(beats) if isinstance(beat, StartBeat)]
    ends = [beat for beat in read_beats(beats) if isinstance(beat, EndBeat)]
    assert (len(starts), len(ends)) == (1, 1)


LOOK = """
import os, sys
print(sorted(sys.modules), [type(finder).__name__ for finder in sys.meta_path])
print([path for path in sys.path if path], os.environ.get("MARK"))
"""


def test_an_interpreter_without_mlx_lm_hardly_notices(beats):
    with_hook, errors = run(["-c", LOOK], beats, HARNESS_MEASURED="")
    assert errors == ""
    names = re.compile(r"'([\w.]+)'")
    plain, _ = run(["-c", LOOK], None, HARNESS_MEASURED="")
    more = set(names.findall(with_hook)) - set(names.findall(plain))
    # The last two are built into the interpreter: nothing is read for them.
    assert more <= {"sitecustomize", "__future__", "Finder", "atexit", "faulthandler"}
    assert "Finder" in more
    assert str(FOLDER) not in with_hook
    # One line tells that it ran, and of which Python.
    assert [path.name for path in beats.iterdir()] == ["processes.jsonl"]


def test_ones_own_site_modules_run_as_before(beats, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import os; os.environ['MARK'] = 'site'")
    (tmp_path / "usercustomize.py").write_text("import os; os.environ['MARK'] += ' user'")
    for hook in (True, False):
        said, errors = run(["-c", LOOK], beats, hook=hook, path=[tmp_path])
        assert errors == ""
        # Within a virtual environment Python looks for no usercustomize.
        assert said.splitlines()[-1].split("]")[-1].strip() in ("site", "site user")
    assert run(["-c", LOOK], beats, hook=True, path=[tmp_path])[0].endswith("site user\n") is (
        run(["-c", LOOK], beats, hook=False, path=[tmp_path])[0].endswith("site user\n")
    )


@pytest.mark.parametrize("code", ["raise ValueError('mine')", "import not_there"])
def test_an_error_of_ones_own_sitecustomize_is_reported_as_before(beats, tmp_path, code):
    (tmp_path / "sitecustomize.py").write_text(code)
    program = ["-c", "import sys; print('sitecustomize' in sys.modules)"]
    with_hook = run(program, beats, path=[tmp_path])
    assert with_hook == run(program, beats, hook=False, path=[tmp_path])


def test_ones_own_loop_reports_its_steps_from_another_process(beats):
    code = """
from harness import beats
import sys
steps = beats.track(range(3))
for batch in steps:
    steps.loss = float(batch)
print(sorted({"msgspec", "psutil", "mlx"} & set(sys.modules)))
"""
    root = Path(__file__).parents[2]
    assert run(["-c", code], beats, hook=False, path=[root]) == ("[]\n", "")
    assert [step.loss for step in steps_of(beats)] == [0.0, 1.0, 2.0]
