"""The commands as a user types them, in real processes, from another folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import jsonschema
import psutil
import pytest

from harness import cli

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "run.schema.json").read_text())


def harness(folder, *arguments, env=None):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    return forked.harness(*arguments, folder=folder, environment=environment)


def run_json(folder, *arguments, code=0, **options):
    done = harness(folder, *arguments, "--json", **options)
    assert done.returncode == code, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    return document


def only_run(out):
    (folder,) = out.glob("*-*")
    return folder


def codes(result):
    return {finding["code"] for finding in result["findings"]}


def scenario(folder, name, text):
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


def test_a_run_leaves_everything_that_its_reports_are_made_from(tmp_path):
    document = run_json(tmp_path, "run", "baseline_update", "grad_without_update")
    folder = only_run(tmp_path / "reports")
    home = folder / "baseline_update" / "0"
    for name in ("beats.jsonl", "samples.jsonl", "stdout.log", "stderr.log"):
        assert (home / name).is_file()
    report = (folder / "report.md").read_text()
    assert json.loads((folder / "run.json").read_text()) == document

    (folder / "report.md").unlink()
    (folder / "junit.xml").unlink()
    again = harness(tmp_path, "report", folder)
    assert again.returncode == 0
    assert (folder / "report.md").read_text() == report
    assert (folder / "junit.xml").is_file()

    baseline, without = document["results"]
    assert baseline["outcome"] == without["outcome"] == "completed"
    assert baseline["metrics"]["loss"]["last"] < baseline["metrics"]["loss"]["first"]
    assert baseline["metrics"]["parameters_changed"] is True
    assert baseline["metrics"]["memory"]["rss_peak"] > 1 << 20
    (finding,) = [f for f in without["findings"] if f["code"] == "parameters_unchanged"]
    assert finding["expected"] is True
    assert document["environment"]["device"].startswith(("cpu", "gpu"))


MY_STEP = '''"""A step that is not built on the harness's model at all."""
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

def make_step(training):
    model, optimizer = nn.Linear(4, 1), optim.SGD(0.1)
    training.watch(model, optimizer)
    def loss(model, x, y):
        return nn.losses.mse_loss(model(x), y)
    loss_and_grad = nn.value_and_grad(model, loss)
    def step(x, y):
        value, gradients = loss_and_grad(model, x, y)
        training.phase("update")
        optimizer.update(model, gradients)
        return value
    return step

def batches(training):
    while True:
        x = mx.random.normal((16, 4))
        yield x, x.sum(axis=1, keepdims=True)
'''


def test_a_users_own_step(tmp_path):
    path = scenario(tmp_path, "my_scenario", MY_STEP)
    (result,) = run_json(tmp_path, "run", path, "--steps", 20)["results"]
    assert result["outcome"] == "completed"
    assert result["metrics"]["loss"]["last"] < result["metrics"]["loss"]["first"]
    assert result["metrics"]["memory"]["parameter_bytes"] == 20
    assert result["metrics"]["parameters_changed"] is True


@pytest.mark.parametrize(
    ("body", "outcome", "reason"),
    [
        ("raise ValueError('no good')", "crashed", "ValueError: no good"),
        ("import sys; sys.exit(0)", "crashed", "exit"),
        ("import sys; sys.exit(5)", "crashed", "5"),
        ("import os; os.abort()", "crashed", "SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "crashed", "SIGKILL"),
        ("return mx.array(float('nan'))", "diverged", "nan"),
        ("return mx.array(10.0 ** training.step)", "diverged", ""),
    ],
)
def test_bad_ends_are_told_apart(tmp_path, body, outcome, reason):
    text = (
        "import mlx.core as mx\n"
        "def make_step(training):\n"
        "    def step(*batch):\n"
        f"        {body}\n"
        "    return step\n"
    )
    path = scenario(tmp_path, "bad", text)
    (result,) = run_json(tmp_path, "run", path, "--steps", 12, code=1)["results"]
    assert result["outcome"] == outcome
    assert reason in result["reason"]


def test_fail_on_decides_the_exit_code(tmp_path):
    path = scenario(
        tmp_path, "bad", "def make_step(training):\n    def step(*b): 1 / 0\n    return step\n"
    )
    assert harness(tmp_path, "run", path).returncode == 1
    assert harness(tmp_path, "run", path, "--fail-on", "hung,diverged").returncode == 0
    assert harness(tmp_path, "run", path, "--fail-on", "none").returncode == 0


INERT = """
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim


def make_step(training):
    model = nn.Linear(8, 1)
    training.watch(model, optim.SGD(0.1))
    loss_and_grad = nn.value_and_grad(model, lambda m, x: m(x).square().mean())
    return lambda x: loss_and_grad(model, x)[0]


def batches(training):
    while True:
        yield mx.random.normal((4, 8))
"""


def test_a_run_that_learned_nothing_is_not_green(tmp_path):
    """What is printed, the exit code and junit.xml agree; also where the command had returned 0."""
    path = scenario(tmp_path, "inert", INERT)
    failed = harness(tmp_path, "run", path)
    assert failed.returncode == 1
    assert "✓⚠ completed" in failed.stderr
    assert "inert counts as failed: parameters_unchanged" in failed.stderr
    (report,) = tmp_path.rglob("junit.xml")
    assert 'type="parameters_unchanged"' in report.read_text(encoding="utf-8")
    loop = "for i in range(80): print(f'step {i} loss=2.3456')"
    words = ("--", sys.executable, "-c", loop)
    assert harness(tmp_path, "watch", *words).returncode == 0
    assert harness(tmp_path, "watch", "--fail-on", "warning", *words).returncode == 1


def test_a_run_that_still_makes_progress_at_its_budget_is_unfinished(tmp_path):
    path = scenario(
        tmp_path,
        "slow",
        "import time, mlx.core as mx\n"
        "def make_step(training):\n"
        "    def step(*batch):\n"
        "        time.sleep(0.2)\n"
        "        return mx.array(1.0 / (1 + training.step))\n"
        "    return step\n",
    )
    for budget in (3, 12, 48):  # a loaded machine may need longer to come to its first step
        words = ("run", path, "--steps", 100000, "--budget", budget)
        (result,) = run_json(tmp_path, *words, code=1)["results"]
        assert result["outcome"] == "unfinished"
        if result["steps_completed"]:
            break
    assert 0 < result["steps_completed"] < 100000


def test_a_worker_that_stands_still_is_hung(tmp_path):
    path = scenario(
        tmp_path,
        "stuck",
        "import threading\n"
        "from baseline_update import make_step as make_baseline\n"
        "def make_step(training):\n"
        "    baseline = make_baseline(training)\n"
        "    def step(*batch):\n"
        "        if training.step == 3:\n"
        "            print('waiting for a friend')\n"
        "            threading.Event().wait()\n"
        "        return baseline(*batch)\n"
        "    return step\n",
    )
    (result,) = run_json(tmp_path, "run", path, code=1)["results"]
    assert result["outcome"] == "hung"
    assert (result["cause"]["code"], result["cause"]["proven"]) == ("deadlock", True)
    assert "stuck.py:8 in step" in result["cause"]["evidence"]["wait_site"]
    home = only_run(tmp_path / "reports") / "stuck" / "0"
    assert len(list((home / "stacks").glob("*-*"))) == 2
    assert (home / "state.json").is_file()
    assert (result["last_step"], result["steps_completed"]) == (3, 3)
    assert 0 <= result["stalled_at_s"] < result["detected_at_s"]
    report = (only_run(tmp_path / "reports") / "report.md").read_text()
    assert "waiting for a friend" in report


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "no_such_scenario"], "unknown scenario"),
        (["run", "nowhere.py"], "no such scenario file"),
        (["run", "broken.py"], "broken.py:1: not Python"),
        (["run", "stepless.py"], "no make_step"),
        (["run-all", "--model", "./nowhere"], "unknown model ./nowhere"),
        (["run-all", "--model", "."], "config.json"),
        (["run-all", "--steps", "0"], "at least 1"),
        (["run-all", "--steps", "many"], "at least 1"),
        (["run-all", "--budget", "-1"], "above 0"),
        (["run-all", "--train", "half"], "--train"),
        (["run-all", "--fail-on", "sad"], "unknown outcome"),
        (["run-all", "--out", "a_file"], "--out"),
        (["run-all", "--frobnicate"], "frobnicate"),
        (["report", "nowhere"], "not a run folder"),
        (["report", "garbled"], "not JSON"),
        (["run"], "required"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, monkeypatch, capsys, arguments, told):
    (tmp_path / "broken.py").write_text("def make_step(:\n")
    (tmp_path / "stepless.py").write_text("x = 1\n")
    (tmp_path / "a_file").write_text("")
    (tmp_path / "garbled").mkdir()
    (tmp_path / "garbled" / "run.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    try:
        code = cli.main(arguments)
    except SystemExit as end:  # argparse ends the process itself
        code = end.code
    assert code == 2
    out, errors = capsys.readouterr()
    assert told in errors
    assert len(errors.strip().splitlines()) == 1
    assert "Traceback" not in errors
    assert out == ""
    assert not (tmp_path / "reports").exists()


def test_the_code_of_bad_input_is_that_of_the_process(tmp_path):
    done = harness(tmp_path, "run", "no_such_scenario")
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown scenario" in done.stderr


def test_a_broken_model_is_one_clear_line(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    done = harness(tmp_path, "run-all", "--model", model)
    assert done.returncode == 2
    assert "cannot load the model" in done.stderr
    assert len([line for line in done.stderr.splitlines() if "error" in line]) == 1
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "reports").glob("*-*")) == []


@pytest.mark.unmeasured
def test_jobs_at_once_give_the_same_outcomes(tmp_path):
    names = ["baseline_update", "sgd_step", "grad_without_update"]
    one = run_json(tmp_path, "run", *names, "--jobs", 1, "--out", tmp_path / "one")
    two = run_json(tmp_path, "run", *names, "--jobs", 2, "--out", tmp_path / "two")

    def verdicts(document):
        return [(r["scenario"], r["outcome"], r["metrics"]["loss"]) for r in document["results"]]

    assert verdicts(one) == verdicts(two)


def test_repeats_have_folders_of_their_own(tmp_path):
    document = run_json(tmp_path, "run", "tiny_model", "--steps", 2, "--repeat", 3)
    assert [result["repeat"] for result in document["results"]] == [0, 1, 2]
    home = only_run(tmp_path / "reports") / "tiny_model"
    assert sorted(path.name for path in home.iterdir()) == ["0", "1", "2"]


FOREVER = (
    "import time\n"
    "def make_step(training):\n"
    "    def step(*batch):\n"
    "        while True: time.sleep(0.01)\n"
    "    return step\n"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_leaves_a_partial_report_and_no_process(tmp_path, number):
    path = scenario(tmp_path, "forever", FOREVER)
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "tiny_model", str(path), "sgd_step"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        beats = tmp_path / "reports"
        end = time.monotonic() + 120
        while not list(beats.glob("*/forever/0/beats.jsonl")) and time.monotonic() < end:
            time.sleep(0.05)
        tree = psutil.Process(process.pid).children(recursive=True)
        assert tree
        process.send_signal(number)
        assert process.wait() == 130
    assert not psutil.wait_procs(tree, timeout=60)[1]
    document = json.loads((only_run(beats) / "run.json").read_text())
    assert document["interrupted"] is True
    assert [(r["scenario"], r["outcome"]) for r in document["results"]] == [
        ("tiny_model", "completed"),
        ("forever", "unfinished"),
    ]
    assert (only_run(beats) / "report.md").is_file()


def test_no_compiler_is_seen_not_guessed(tmp_path):
    bare = {"PATH": str(Path(sys.executable).parent)}
    (result,) = run_json(tmp_path, "run", "compiled_step", "--steps", 4, env=bare)["results"]
    if result["outcome"] == "completed":
        assert "compile_disabled" in codes(result)
        assert not codes(result) & {"double_trace", "retrace_every_step"}


def test_what_says_nothing_together_is_refused(tmp_path):
    for words in (
        ("doctor", "--train", "lora"),
        ("run-all", "--until-decided", "--repeat", "2"),
        ("run", "baseline_update", "--on-hang", "pray"),
        ("compare", "nowhere", "nowhere"),
    ):
        done = harness(tmp_path, *words)
        assert done.returncode == 2, words
        assert done.stderr.count("\n") == 1, done.stderr


def test_list_and_doctor_answer_in_json(tmp_path):
    listed = json.loads(harness(tmp_path, "list", "--json").stdout)
    names = [entry["name"] for entry in listed["scenarios"]]
    assert names[0] == "baseline_update"
    assert "grad_without_update" in names
    done = harness(tmp_path, "doctor", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["mlx"]["ok"] is True
    assert "projection" not in document  # no model is named
    assert document["memory"]["total"] > 0
    assert {tool["name"] for tool in document["stack_tools"]} >= {"py-spy"}


def test_plain_lines_when_the_output_is_no_terminal(tmp_path):
    done = harness(tmp_path, "run", "tiny_model", "--steps", 2)
    assert done.stdout == ""
    assert "completed" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_json_on_a_full_disk_is_not_a_success(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "harness", "list", "--json"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for a few hundred KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"cannot mount a small disk: {made.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_disk_that_fills_up_is_told_and_touches_no_earlier_run(tmp_path, small_disk):
    out = small_disk / "reports"
    assert harness(tmp_path, "run", "tiny_model", "--steps", 2, "--out", out).returncode == 0
    earlier = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    text = MY_STEP.replace(
        "    def step(x, y):\n", "    def step(x, y):\n        print('x' * 4000)\n"
    )
    path = scenario(tmp_path, "flood", text)
    done = harness(tmp_path, "run", path, "--steps", 500, "--out", out)
    assert done.returncode in (0, 1)  # the verdict's, which is shown
    assert "[1/1]" in done.stderr
    assert "no report: cannot write to" in done.stderr
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in earlier} == earlier


@pytest.mark.slow
def test_a_loader_that_sleeps_long_once_is_slow_not_dead(tmp_path):
    path = scenario(
        tmp_path,
        "sleepy",
        "import time\n"
        "from baseline_update import make_step\n"
        "def batches(training):\n"
        "    for index, batch in enumerate(training.batches()):\n"
        "        if index == 4:\n"
        "            time.sleep(13)\n"
        "        yield batch\n",
    )
    (result,) = run_json(tmp_path, "run", path)["results"]
    assert result["outcome"] == "completed"


@pytest.mark.unmeasured
def test_a_step_that_spins_is_hung_and_one_that_computes_is_not(tmp_path):
    head = (
        "import mlx.core as mx\n"
        "from baseline_update import make_step as make_baseline\n"
        "def make_step(training):\n"
        "    baseline = make_baseline(training)\n"
        "    def step(*batch):\n"
        "        loss = baseline(*batch)\n"
        "        if training.step == 5:\n"
    )
    spins = scenario(
        tmp_path,
        "spins",
        head + "            while True: pass\n        return loss\n    return step\n",
    )
    # Measured, not guessed: a product for some eight seconds on this machine as it is now.
    computes = scenario(
        tmp_path,
        "computes",
        "import time\n"
        + head
        + "            began, n = time.monotonic(), 1\n"
        + "            square = mx.random.normal((1024, 1024))\n"
        + "            mx.eval(square @ square)\n"
        + "            n = int(8 / (time.monotonic() - began)) + 1\n"
        + "            for _ in range(n): square = square @ square * 1e-3\n"
        + "            loss = loss + 0 * mx.nan_to_num(square).sum()\n"
        + "        return loss\n    return step\n",
    )
    # One thread computes as long as two, and leaves a core to the other tests.
    words = ("run", "--patience", 2, spins, computes)
    document = run_json(tmp_path, *words, code=1, env={"OPENBLAS_NUM_THREADS": "1"})
    stuck, slow = document["results"]
    assert stuck["outcome"] == "hung"
    assert stuck["cause"]["code"] == "stalled"
    assert "spins.py" in stuck["cause"]["summary"]
    assert slow["outcome"] == "completed"
