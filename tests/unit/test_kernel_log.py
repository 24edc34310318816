"""The kernel's log, control groups and macOS's reports: what they say of an end."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest

from harness.observe.linux import freezer, kernel_log, memory
from harness.observe.linux.kernel_log import KernelLog, parse
from harness.observe.linux.witness import Witness
from harness.observe.macos import jetsam

OOM = (
    "{why}: Killed process 4711 (python3.11) total-vm:9000000kB, anon-rss:4194304kB, "
    "file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:9000kB oom_score_adj:0"
)


@pytest.mark.parametrize(
    ("why", "of_group"), [("Memory cgroup out of memory", True), ("Out of memory", False)]
)
def test_a_kill_for_want_of_memory(why, of_group):
    word = parse(OOM.format(why=why))
    assert word is not None
    assert (word.kind, word.pid, word.name) == ("oom_kill", 4711, "python3.11")
    assert word.of_group is of_group
    assert word.text == "with 4 GiB in use"


@pytest.mark.parametrize(
    ("at", "sp", "says"),
    [("0", "7ffd0000", "a null pointer"), ("7ffcfff0", "7ffd0000", "its stack was used up"),
     ("12345678", "7ffd0000", "which it may not use")],
)  # fmt: skip
def test_a_fault(at, sp, says):
    where = "in a.out[1149,555500000000+1000]"
    line = f"a.out[12]: segfault at {at} ip 0000555500001149 sp {sp} error 4 {where}"
    word = parse(line)
    assert word is not None
    assert (word.kind, word.pid, word.name) == ("fault", 12, "a.out")
    assert says in word.text
    assert "in a.out+0x" in word.text


def test_a_trap_and_an_xid():
    word = parse("traps: prog[77] trap divide error ip:4011 sp:7ff error:0 in prog[401000+1000]")
    assert (word.pid, word.text) == (77, "trap divide error")
    word = parse("NVRM: Xid (PCI:0000:65:00): 31, pid=812, name=python, Ch 00000008")
    assert (word.kind, word.pid, word.name) == ("xid", 812, "python")


@pytest.mark.parametrize("line", ["", "eth0: renamed", "Out of memory", "a[1]: segfault"])
def test_other_lines_say_nothing(line):
    assert parse(line) is None


def test_numbers_of_another_name_space_are_not_believed():
    assert parse(OOM.format(why="Out of memory"), numbered=False).pid is None


def test_a_log_that_cannot_be_read_is_empty(tmp_path):
    assert KernelLog(str(tmp_path / "none")).read() == ()


def test_only_what_came_since_is_read(tmp_path, monkeypatch):
    place = tmp_path / "kmsg"
    place.write_text("6,1,100,-;" + OOM.format(why="Out of memory") + "\n")
    log = KernelLog(str(place))
    with place.open("a") as file:
        file.write("6,2,200,-;NVRM: Xid (PCI:0): 79, GPU has fallen off the bus.\n")
    assert [word.kind for word in log.read()] == ["xid"]
    assert log.read() == ()
    assert kernel_log._PLACE == "/dev/kmsg"


def test_a_report_of_jetsam(tmp_path):
    body = {
        "memoryStatus": {"pageSize": 16384},
        "processes": [
            {"pid": 1, "name": "launchd", "rpages": 100},
            {"pid": 7, "name": "python3.12", "rpages": 1048576, "reason": "vm-pageshortage"},
        ],
    }
    text = '{"bug_type":"298"}\n' + json.dumps(body)
    assert jetsam.parse(text, 7) == "the machine had too few free pages, with 16 GiB in use"
    assert jetsam.parse(text, 1) == ""
    assert jetsam.parse("no json", 7) == ""
    witness = jetsam.Witness(tmp_path)
    report = tmp_path / "JetsamEvent-2026.ips"
    report.write_text(text)
    began = time.time()
    os.utime(report, (began, began - 10.0))
    assert witness.tell(7).jetsam == ""  # of before
    os.utime(report, (began, began - 0.5))  # a file's time may be coarse
    assert witness.tell(7).jetsam.startswith("the machine had too few")
    assert witness.tell(8).jetsam == ""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_witness_of_this_very_process():
    witness = Witness()
    witness.look([os.getpid()])
    facts = witness.tell(os.getpid())
    assert facts.address_peak is not None
    assert facts.address_peak > 1 << 20
    assert facts.group_kills in (None, 0)
    assert Witness().tell(os.getpid()).address_peak is None


@pytest.mark.parametrize(("missed", "before", "kills"), [(1, 5, 1), (0, 5, 0), (9, 2, 2)])
def test_a_kill_before_the_first_look_into_another_group_counts(monkeypatch, missed, before, kills):
    """`before`: what the group that it went to has counted at the first look; `missed`: what the
    machine has counted since the start."""
    machine = iter([100, 100 + missed, 100 + missed])
    monkeypatch.setattr(memory, "oom_kills", lambda: next(machine))
    counts = iter([{"ours": 3}, {"other": before}])
    monkeypatch.setattr(freezer, "kill_counts", lambda _: next(counts))
    monkeypatch.setattr(freezer, "kills_in", {"ours": 3, "other": before}.get)
    witness = Witness()
    witness.look([os.getpid()])
    assert witness.tell(os.getpid()).group_kills == kills


@pytest.mark.parametrize(("later", "kills"), [(0, 0), (1, None)])
def test_a_kill_after_the_last_look_may_be_of_a_group_that_it_went_to(monkeypatch, later, kills):
    machine = iter([100, 100, 100 + later])
    monkeypatch.setattr(memory, "oom_kills", lambda: next(machine))
    monkeypatch.setattr(freezer, "kill_counts", lambda _: {"ours": 3})
    monkeypatch.setattr(freezer, "kills_in", {"ours": 3}.get)
    witness = Witness()
    witness.look([os.getpid()])
    assert witness.tell(os.getpid()).group_kills is kills
