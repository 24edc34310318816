"""What nvidia-smi and the driver tell of the GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import msgspec
import pytest

from harness.observe import gpu, nvml

# As an H200's driver answered: 443 has a context and does nothing, 471 multiplies matrices, 505
# runs one kernel for 25 s. In a PID namespace it lists nobody, and has samples with the machine's
# numbers.
IDLE = '[{"busy": 0, "power_w": 124.5, "samples": [], "contexts": [443]}]'
WORKING = (
    '[{"busy": 99, "power_w": 694.4, "samples": [[471, 37], [443, 0]], "contexts": [443, 471]}]'
)
ONE_KERNEL = '[{"busy": 100, "power_w": 120.4, "samples": [[505, 100]], "contexts": [443, 505]}]'
NAMESPACE = '[{"busy": 100, "power_w": 120.3, "samples": [[505, 100]], "contexts": []}]'
NOBODY = '[{"busy": 0, "power_w": 78.7, "samples": [], "contexts": []}]'
SILENT = '[{"busy": null, "power_w": null, "samples": [], "contexts": null}]'
TWO = (
    '[{"busy": 10, "power_w": 100, "samples": [[443, 60], [443, 10], [471, 70]], "contexts": null},'
    ' {"busy": 40, "power_w": 50.5, "samples": [[505, 40]], "contexts": null}]'
)


def devices(answer: str) -> tuple[gpu.Device, ...]:
    return msgspec.json.decode(answer, type=tuple[gpu.Device, ...])


@pytest.mark.parametrize(
    ("answer", "pids", "own", "named", "others", "busy"),
    [
        (IDLE, [443], 0, True, False, 0),
        (IDLE, [471], None, False, False, 0),
        (WORKING, [471], 37, True, False, 99),
        (WORKING, [443], 0, True, True, 99),
        (ONE_KERNEL, [505], 100, True, False, 100),
        (ONE_KERNEL, [471], None, False, True, 100),
        # One of ours may have the number that another one has on the machine.
        (NAMESPACE, [505], None, False, False, 100),
        (NOBODY, [505], None, False, False, 0),
        (SILENT, [505], None, False, False, None),
        (TWO, [443], 60, True, True, 40),
        (TWO, [443, 471], 100, True, True, 40),
        (TWO, [443, 471, 505], 100, True, False, 40),
    ],
)
def test_who_uses_the_gpu_is_told_of_those_that_the_driver_names(
    answer, pids, own, named, others, busy
):
    found = gpu.Driver().judge(devices(answer), dict.fromkeys(pids, 1.0))
    assert (found.own, found.named, found.others, found.busy) == (own, named, others, busy)


def test_silence_means_something_once_a_process_was_named():
    driver = gpu.Driver()

    def own(answer: str, started: float) -> int | None:
        return driver.judge(devices(answer), {505: started}).own

    assert own(NOBODY, 1.0) is None
    assert own(ONE_KERNEL, 1.0) == 100
    assert own(NOBODY, 1.0) == 0
    assert own(NOBODY, 2.0) is None  # another process that was given its number


def test_power_is_that_of_all():
    assert gpu.Driver().judge(devices(TWO), {}).power_w == 150.5
    assert gpu.Driver().judge(devices(SILENT), {}).power_w is None


@pytest.mark.parametrize(
    ("answer", "pids", "memory"),
    [
        ('[{"memory": 3, "contexts": [7]}, {"memory": 40, "contexts": [8]}]', [7], 3),
        ('[{"memory": 3, "contexts": [7]}, {"memory": 40, "contexts": [7, 8]}]', [7], 40),
        # The driver names none of them: any of the GPUs may be theirs.
        ('[{"memory": 3, "contexts": []}, {"memory": 40, "contexts": null}]', [7], 40),
        (SILENT, [7], None),
    ],
)
def test_the_traffic_of_a_gpus_memory_counts_where_a_process_has_it_open(answer, pids, memory):
    found = gpu.Driver().judge(devices(answer), dict.fromkeys(pids, 1.0))
    assert found.memory == memory


MODULE = """
class NVMLError(Exception): pass
class Rates: gpu, memory = 99, 37
class Memory: used, total = 4 << 30, 80 << 30
class Held: pid, usedGpuMemory = 471, 3 << 30
class Unknown: pid, usedGpuMemory = 443, None
class Sample:
    def __init__(self, pid, sm, at): self.pid, self.smUtil, self.timeStamp = pid, sm, at
def nvmlInit():
    if BROKEN: raise NVMLError("Driver Not Loaded")
def nvmlDeviceGetCount(): return 2
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetUtilizationRates(device): return Rates
def nvmlDeviceGetPowerUsage(device): return 694409
def nvmlDeviceGetMemoryInfo(device): return Memory
def nvmlDeviceGetProcessUtilization(device, since):
    if device: raise NVMLError("Not Found")
    return [Sample(471, 37, since + 1), Sample(443, 5, since - 1)]
def nvmlDeviceGetComputeRunningProcesses(device):
    if device: raise NVMLError("Not Supported")
    return [Held, Unknown]
"""


@pytest.mark.parametrize("broken", [False, True])
def test_the_driver_is_asked_by_a_program_of_its_own(tmp_path, broken):
    (tmp_path / "pynvml.py").write_text(f"BROKEN = {broken}\n{MODULE}")
    done = subprocess.run(
        [sys.executable, nvml.__file__, "5"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    if broken:
        assert (done.returncode, done.stdout, done.stderr) == (3, "", "Driver Not Loaded\n")
        return
    one = {
        "busy": 99, "memory": 37, "memory_used": 4 << 30, "power_w": 694.409, "total": 80 << 30
    }  # fmt: skip
    first = {"samples": [[471, 37]], "contexts": [471, 443], "held": [[471, 3 << 30]]}
    other = {"samples": [], "contexts": None, "held": []}
    assert json.loads(done.stdout) == [one | first, one | other]


def test_a_driver_that_does_not_answer_is_none(monkeypatch, tmp_path):
    script = tmp_path / "stands_in.py"
    monkeypatch.setattr(nvml, "__file__", str(script))
    script.write_text("import time; time.sleep(600)")
    assert gpu.gpu_use([1], timeout=0.5) is None
    script.write_text("raise SystemExit(3)")
    assert gpu.gpu_use([1]) is None
    script.write_text("print('[]')")
    assert gpu.gpu_use([1]) is None
    script.write_text(f"print({WORKING!r})")
    assert gpu.gpu_use([1]).busy == 99


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, ("0", "1")),
        ("1", ("1",)),
        ("1, 0", ("1", "0")),
        ("GPU-8932f937", ("GPU-8932f937",)),
        ("", ()),
        ("-1", ()),
        # CUDA believes the list up to the first that is none.
        ("1,7,0", ("1",)),
        ("0,-1,1", ("0",)),
        ("0,0", ("0",)),
    ],
)
def test_the_gpus_that_cuda_shows_are_those_of_the_variable(monkeypatch, tmp_path, given, names):
    script = tmp_path / "stands_in.py"
    monkeypatch.setattr(nvml, "__file__", str(script))
    script.write_text(f"print({TWO!r})")
    assert gpu.visible({} if given is None else {"CUDA_VISIBLE_DEVICES": given}) == names


def test_a_machine_without_a_driver_has_no_gpu_and_one_that_does_not_say_may_have_some(
    monkeypatch, tmp_path
):
    script = tmp_path / "stands_in.py"
    monkeypatch.setattr(nvml, "__file__", str(script))
    script.write_text(f"raise SystemExit({nvml.NO_DRIVER})")
    assert gpu.visible({}) == ()
    script.write_text("raise SystemExit(1)")
    assert gpu.visible({}) is None
