"""Panic reports of macOS: what they say, and which run one of them belongs to."""

from __future__ import annotations

import json
import os
from datetime import datetime

import fakes
import msgspec
import panic_samples as samples
import pytest
from hypothesis import given
from hypothesis import strategies as st
from panic_samples import AT, BOOT

from harness import cli
from harness.analysis import panics as judge
from harness.beats.file import BEATS
from harness.model import Outcome, Settings, StartBeat, WorkerSpec
from harness.observe.macos import panics
from harness.observe.macos.panics import Names
from harness.report import runjson

GPU_KEXTS = ("com.apple.iokit.IOGPUFamily", "com.apple.AGXG13X")


@pytest.mark.parametrize("form", [samples.text, samples.ips], ids=["text", "document"])
@pytest.mark.parametrize(
    ("said", "more", "names"),
    [
        (samples.UNDERFLOW, {}, Names.GPU),
        (samples.NOT_FOUND, {}, Names.GPU),
        (samples.AGX, {}, Names.GPU),
        (samples.SPINLOCK, {"kexts": GPU_KEXTS}, Names.GPU),
        (samples.SPINLOCK, {"kexts": ("com.apple.filesystems.apfs",)}, Names.NEITHER),
        (samples.ZONE, {}, Names.MEMORY),
        (samples.WATCHDOG, {"compressor": "BAD"}, Names.MEMORY),
        (samples.WATCHDOG, {}, Names.NEITHER),
        (samples.WINDOWS, {}, Names.NEITHER),
    ],
)
def test_what_a_panic_names(form, said, more, names):
    panic = panics.parse(form(said, **more))
    assert (panic.said, panic.names) == (said, names)
    assert (panic.at, panic.boot, panic.system) == (AT, BOOT, "25E246")
    assert (panic.task, panic.pid) == ("python3.12", 612)
    assert panic.kexts == more.get("kexts", ())


def test_an_old_text_has_the_time_of_its_first_line():
    panic = panics.parse(samples.OLD)
    assert panic.names is Names.GPU
    assert panic.at == datetime(2026, 4, 20, 1, 26, 40).astimezone().timestamp()
    assert panic.boot is None


def test_the_memory_of_each_process_is_read_where_it_is_listed():
    panic = panics.parse(samples.ips(samples.WATCHDOG, resident=[(612, 146 << 30), (1, 4096)]))
    assert panic.resident == {612: 146 << 30, 1: 4096}


def test_a_document_that_was_cut_still_says_what_it_was():
    whole = samples.ips(samples.UNDERFLOW)
    panic = panics.parse(whole[: whole.index("Compressor Info")])
    assert (panic.said, panic.names, panic.at) == (samples.UNDERFLOW, Names.GPU, AT)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", "\x00", samples.ips(samples.UNDERFLOW, bug_type="298"),
     '{"bug_type":"309"}\n{"procName":"python3"}', "no panic here"],
)  # fmt: skip
def test_what_is_no_report_of_a_panic(text):
    assert panics.parse(text) is None


@given(st.text(max_size=400), st.integers(0, 3000))
def test_nothing_that_is_read_raises(noise, cut):
    ips, text = samples.ips(samples.UNDERFLOW), samples.text(samples.WATCHDOG)
    for damaged in (noise, ips[:cut] + noise, text[:cut] + noise):
        found = panics.parse(damaged)
        assert found is None or "\n" not in found.said


# --- which run it belongs to


def report(at=AT, boot=BOOT, said=samples.UNDERFLOW):
    return panics.parse(samples.text(said, at=at, boot=boot))


@pytest.mark.parametrize(
    ("last", "belongs"),
    [
        (AT - 2, True),
        (AT - 120, True),
        (AT + 3, True),  # the clocks of files differ
        (AT + 60, False),  # the run went on: it was started after the reboot
        (AT - 3600, False),  # it had ended long before
        (BOOT - 2, False),  # and so had this one: the machine was started in between
    ],
)
def test_a_panic_belongs_to_the_run_whose_last_beat_came_just_before(last, belongs):
    assert (judge.of_run([report()], last) is not None) is belongs


def test_the_first_panic_after_the_beat_is_taken():
    later = report(at=AT + 300, boot=BOOT, said=samples.WATCHDOG)
    again = report(at=AT + 200, boot=AT + 100, said=samples.ZONE)
    assert judge.of_run([later, again, report()], AT - 2).said == samples.UNDERFLOW


# --- as a user asks for it


@pytest.fixture
def broken_off(tmp_path):
    """The folder of a run whose machine went down in step 7."""
    folder = tmp_path / "reports" / "20260419-202000-ab12"
    home = folder / "baseline_update" / "0"
    home.mkdir(parents=True)
    spec = WorkerSpec(
        scenario="baseline_update", path="a.py", folder=str(home), settings=Settings()
    )
    (home / "spec.json").write_bytes(msgspec.json.encode(spec))
    start = StartBeat(t=0.0, schema=1, pid=612, wall=AT - 8.0, scenario="baseline_update")
    beats = [start, *fakes.steps(7)]
    lines = b"".join(msgspec.json.encode(beat) + b"\n" for beat in beats)
    (home / BEATS).write_bytes(lines)
    run = fakes.run(results=())
    run = msgspec.structs.replace(run, finished=None, results=(), scenarios=(fakes.info(),))
    runjson.write(run, folder)
    reports = tmp_path / "DiagnosticReports"
    reports.mkdir()
    return folder, reports


def reported(folder):
    document = json.loads((folder / "run.json").read_text())
    return document["results"][0]


def test_the_panic_of_the_newest_unfinished_run_is_found(broken_off, monkeypatch, capsys):
    folder, reports = broken_off
    name = "panic-full-2026-04-19-202640.0002.panic"
    (reports / name).write_text(
        samples.ips(samples.UNDERFLOW, resident=[(612, 40 << 30)], kexts=GPU_KEXTS)
    )
    (reports / "JetsamEvent-2026-04-19-202640.ips").write_text(
        samples.ips(samples.ZONE, bug_type="298")
    )
    monkeypatch.chdir(folder.parents[1])
    for _ in range(2):  # to ask again changes nothing
        assert cli.main(["report", "--panics", "--panic-reports", str(reports)]) == 0
        result = reported(folder)
        assert result["outcome"] == Outcome.CRASHED.value
        assert result["reason"] == (
            "the kernel panicked 2 s after the last beat in step 6, phase eval: "
            + samples.UNDERFLOW
        )
        (finding,) = (one for one in result["findings"] if one["code"] == "kernel_panic")
        assert finding["evidence"]["own_process"] is True
        assert "it names the GPU" in finding["summary"]
        assert "had 40 GiB in RAM" in finding["summary"]
    assert samples.UNDERFLOW in capsys.readouterr().err
    report = (folder / "report.md").read_text()
    assert "certain: the panic names the process of this run" in report


def test_the_time_of_the_file_counts_where_the_machine_had_slept(broken_off):
    folder, reports = broken_off
    (reports / "panic-full.ips").write_text(samples.ips(samples.WATCHDOG, at=AT + 7200))
    os.utime(folder / "baseline_update" / "0" / BEATS, (AT + 7100, AT + 7100))
    assert cli.main(["report", str(folder), "--panics", "--panic-reports", str(reports)]) == 0
    assert reported(folder)["reason"].startswith("the kernel panicked 1 min 40 s after the last")


def test_no_panic_is_made_up(broken_off, capsys):
    folder, reports = broken_off
    (reports / "panic-full.panic").write_text(samples.text(samples.UNDERFLOW, at=AT + 9000))
    argv = ["report", str(folder), "--panics", "--panic-reports", str(reports)]
    assert cli.main(argv) == 0
    assert "no panic report belongs to it: 1 were written" in capsys.readouterr().err
    assert reported(folder)["outcome"] == Outcome.UNFINISHED.value


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["report"], "report needs a run"),
        (["report", "--panics", "--panic-reports", "nowhere", "{run}"], "cannot read nowhere"),
        (["report", "{run}", "--panic-reports", "nowhere"], "needs --panics"),
        (["report", "--panics"], "has no run that did not end"),
    ],
)
def test_a_request_that_cannot_be_met(broken_off, tmp_path, monkeypatch, capsys, argv, said):
    folder, _ = broken_off
    monkeypatch.chdir(tmp_path / "DiagnosticReports")
    assert cli.main([word.replace("{run}", str(folder)) for word in argv]) == 2
    assert said in capsys.readouterr().err
