"""Memory as the machine tells it: what is read, what is not, and why."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from harness.beats.record import load
from harness.model import Sample, Snapshot
from harness.observe import processes
from harness.supervise import samples as sampling


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_this_process_is_held_in_memory():
    footprint, swapped = processes.held([1 << 30])
    assert (footprint, swapped) == (None, None)
    import os

    block = bytearray(b"x" * (64 << 20))
    footprint, swapped = processes.held([os.getpid()])
    assert footprint > len(block)
    assert 0 <= swapped <= footprint
    assert processes.machine().compressed is None
    whole = processes.machine(whole=True)
    has_pressure = Path("/proc/pressure/memory").exists()
    assert (whole.pressure is not None) == has_pressure


def test_what_could_not_be_read_has_a_reason(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    unread = processes.unread(Sample(t=0.0, footprint=3, swap_used=0, pressure=0.0))
    of_macos = {"pressure_level", "page_outs", "decompressions"}
    assert {"swapped", "compressed", "major_faults"} | of_macos == set(unread)
    assert all(unread.values())
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "pressure" in processes.unread(Sample(t=0.0))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="zombies of /proc")
def test_a_process_that_ended_takes_no_figure_back_that_was_read(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    looks = sampling.Samples(tmp_path / "samples.jsonl")
    kept = sampling.Samples(tmp_path / "zombie.jsonl")
    try:
        looks.take(snapshot(child.pid, 0.0), age=0.0)
        child.communicate(b"\n")  # waits, and leaves nothing
    finally:
        child.kill()
    zombie = subprocess.Popen(["true"])
    while psutil.Process(zombie.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    for one in (looks, kept):
        one.take(snapshot(zombie.pid, 1.0), age=1.0)
        one.close()
    zombie.wait()
    assert "footprint" not in looks.unread()
    assert kept.unread()["footprint"].startswith("the process had ended")


def snapshot(pid, t):
    found = processes.processes(pid)
    assert found
    return Snapshot(t=t, processes=found, machine=processes.machine())


def test_the_summary_keeps_the_peaks(tmp_path):
    samples = [
        Sample(t=0.0, swap_used=100, footprint=5, pressure=1.5, compressed=9, page_outs=70),
        Sample(
            t=1.0, swap_used=300, footprint=8, swapped=2, pressure=40.0, compressed=3, page_outs=75
        ),
        Sample(t=2.0, swap_used=50, footprint=7, swapped=1, pressure=0.0),
    ]
    lines = b"\n".join(map(msgspec.json.encode, samples))
    (tmp_path / "samples.jsonl").write_bytes(lines + b'\n{"t": 3.0, "foot')
    memory = load(tmp_path).memory
    assert (memory.swap_growth, memory.page_outs, memory.decompressions) == (200, 5, None)
    assert (memory.footprint_peak, memory.swapped_peak, memory.compressed_peak) == (8, 2, 9)
    assert (memory.pressure_peak, memory.pressure_level_peak) == (40.0, None)
