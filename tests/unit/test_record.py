"""What a Mac user can send: recorded, without names, played back, and read.

`tests/macos/recorded` was made by `harness doctor --record` on the simulated Mac.
"""

from __future__ import annotations

import ctypes
import json
import plistlib
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from harness.errors import UsageError
from harness.observe import platform
from harness.observe.macos import kernel, tree
from harness.record import folder, guesses, ioreg, told
from harness.record.tape import Call, Player, recording
from harness.stacks.parse import parse

RECORDED = Path(__file__).parents[1] / "macos" / "recorded"
INTERNALS = Path(__file__).parents[2] / "docs" / "internals" / "macos.md"


@pytest.fixture(scope="module")
def recorded() -> guesses.Recorded:
    return guesses.read(RECORDED)


@pytest.fixture
def uncached():
    for cache in (kernel.tick_s, kernel._host):
        cache.cache_clear()
    yield
    for cache in (kernel.tick_s, kernel._host):
        cache.cache_clear()


def test_a_folder_is_played_back_as_the_mac_that_it_was_made_on(recorded, monkeypatch, uncached):
    player = Player(recorded.calls)
    monkeypatch.setattr(kernel, "_library", player.library)
    first = recorded.child[0]
    family = {one.pid: one for one in tree.processes([recorded.pid])}
    assert set(family) == {recorded.pid, first["sleeper"]}
    seen = family[recorded.pid]
    assert (seen.ppid, seen.main_thread) == (first["ppid"], first["main"])
    assert set(first["threads"].values()) <= {one.tid for one in seen.threads}
    assert 0.8 < seen.cpu_s < 2
    pipe = [kernel.pipe(recorded.pid, number) for number in first["pipe"]]
    assert None not in pipe
    assert kernel.pages() is not None
    assert player.missed == []
    assert tree.processes([1 << 22]) == ()
    assert player.missed != []


def test_what_was_not_recorded_is_refused(monkeypatch, uncached):
    player = Player([])
    monkeypatch.setattr(kernel, "_library", player.library)
    assert (kernel.task(7), kernel.children(7), kernel.rusage(7), kernel.pages()) == (
        None, (), None, None
    )  # fmt: skip
    assert (kernel.integer("a"), kernel.arguments(7)) == (None, b"")


def test_each_call_is_on_the_tape_with_all_that_it_has_filled_in(monkeypatch, uncached):
    def sysctlbyname(name, buffer, size, value, given):
        buffer._obj.value, size._obj.value = 0x1200, 4
        return 0

    monkeypatch.setattr(kernel, "_library", lambda path: SimpleNamespace(sysctlbyname=sysctlbyname))
    with recording() as calls:
        assert kernel.integer("iogpu.it") == 0x1200
    kernel.integer("iogpu.it")
    assert calls == [
        Call(name="sysctlbyname", given=("iogpu.it", 0), answer=0, errno=ctypes.get_errno(),
             buffers=("0012", "04"))
    ]  # fmt: skip
    monkeypatch.setattr(kernel, "_library", Player(calls).library)
    assert kernel.integer("iogpu.it") == 0x1200


def verdicts(recorded: guesses.Recorded) -> dict[str, bool | None]:
    return {one.guess: one.holds for one in guesses.judge(recorded)}


def test_the_simulated_mac_is_as_it_is_guessed(recorded):
    found = verdicts(recorded)
    # The time of its GPU grows at each reading.
    assert found.pop("counted_late") is False
    assert set(found.values()) == {True}


def test_what_is_missing_in_a_folder_says_nothing(recorded):
    nothing = msgspec.structs.replace(
        recorded, texts=dict.fromkeys(recorded.texts, ""), calls=(), child=({}, {})
    )
    assert set(verdicts(nothing).values()) == {None}
    for name in recorded.texts:
        less = {**recorded.texts, name: ""}
        found = verdicts(msgspec.structs.replace(recorded, texts=less))
        assert False not in {found[each] for each in found if each != "counted_late"}, name


def changed(recorded: guesses.Recorded, **fields: object) -> dict[str, bool | None]:
    first, last = recorded.child
    return verdicts(msgspec.structs.replace(recorded, child=({**first, **fields}, last)))


def test_what_is_otherwise_is_seen(recorded):
    first = recorded.child[0]
    threads = first["threads"]
    other = changed(recorded, threads={name: number + 1000 for name, number in threads.items()})
    assert (other["native_id"], other["thread_n"]) == (False, False)
    assert changed(recorded, main=threads["spins"])["oldest_first"] is False
    assert changed(recorded, sleeper=1)["children"] is False
    assert changed(recorded, begun=0.0)["started"] is False
    assert changed(recorded, clock="clock_gettime(CLOCK_MONOTONIC_RAW)")["clock"] is False
    assert changed(recorded, gpu=False)["gpu_clients"] is None
    gone = msgspec.structs.replace(
        recorded,
        calls=tuple(
            msgspec.structs.replace(call, answer=call.answer - 8)
            if call.given[1:2] == (28,)
            else call
            for call in recorded.calls
        ),
    )
    assert verdicts(gone)["all_listed"] is False

    def with_text(name: str, **rest: object) -> dict[str, bool | None]:
        texts = {**recorded.texts, name: json.dumps(rest)}
        return verdicts(msgspec.structs.replace(recorded, texts=texts))

    assert with_text("events.json", heard=[])["note_fork"] is False
    own = {"variables": 9, "marked": True}
    assert with_text("arguments.json", child=own, sleeper=own)["protected"] is False


def test_a_folder_that_a_translated_python_made_settles_the_length_of_its_ticks(recorded):
    """It does not ask for the length that it would be told."""
    calls = tuple(
        msgspec.structs.replace(call, buffers=("01", "04"))
        if call.given[:1] == ("sysctl.proc_translated",)
        else call
        for call in recorded.calls
        if call.name != "mach_timebase_info"
    )
    assert verdicts(msgspec.structs.replace(recorded, calls=calls))["ticks"] is True
    without = [one for one in calls if one.given[:1] != ("sysctl.proc_translated",)]
    assert verdicts(msgspec.structs.replace(recorded, calls=tuple(without)))["ticks"] is None


def test_ticks_are_told_from_nanoseconds(recorded):
    """As it would be if a tick were a nanosecond, and if threads were counted in ticks."""

    def even(call: Call) -> Call:
        if call.name != "mach_timebase_info":
            return call
        return msgspec.structs.replace(call, buffers=("0100000001000000",))

    def slow(call: Call) -> Call:
        if call.given[1:2] != (15,):
            return call
        info = guesses.ThreadInfo.from_buffer_copy(bytes.fromhex(call.buffers[0]).ljust(112, b"\0"))
        info.pth_user_time = int(info.pth_user_time * 3 / 125)
        return msgspec.structs.replace(call, buffers=(bytes(info).hex(),))

    for change, guess in ((even, "ticks"), (slow, "nanoseconds")):
        calls = tuple(map(change, recorded.calls))
        assert verdicts(msgspec.structs.replace(recorded, calls=calls))[guess] is False


REGISTRY = [
    {
        "IORegistryEntryName": "AGXAcceleratorG15X",
        "IOPlatformSerialNumber": "C02XXXX",
        "model": b"Apple M3 Max\0",
        "uuid": b"secret",
        "PerformanceStatistics": {"Device Utilization %": 42},
        "IORegistryEntryChildren": [
            {"IOUserClientCreator": f"pid {pid}, {name}", "AppUsage": [{"accumulatedGPUTime": 5}]}
            for pid, name in ((7, "python3.14"), (8, "Secret App"))
        ],
    }
]


def test_the_registry_names_no_program_but_the_child():
    text = ioreg.published(plistlib.dumps(REGISTRY).decode(), 7)
    assert text is not None
    (root,) = plistlib.loads(text.encode())
    creators = [one["IOUserClientCreator"] for one in root["IORegistryEntryChildren"]]
    assert creators == ["pid 7, python3.14", "pid 8, other"]
    assert root["PerformanceStatistics"] == {"Device Utilization %": 42}
    assert root["model"] == b"Apple M3 Max\0"
    assert not {"C02XXXX", "secret", "Secret App"} & set(text.split())
    assert "Secret" not in text
    assert "C02" not in text
    for broken in ("", "<plist>", "no plist"):
        assert ioreg.published(broken, 7) is None


SAMPLED = """Analysis of sampling python3.14 (pid 7) every 50 milliseconds
Process:         python3.14 [7]
Parent Process:  Secret App [5]
Responsible:     Secret App [5]
OS Version:      macOS 26.1 (25B78)

Call graph:
    20 Thread_71: Main Thread   DispatchQueue_1: com.apple.main-thread  (serial)
    + 20 start  (in dyld) + 8  [0x1]

Total number in stack (recursive counted multiple, when >=5):

Binary Images:
       0x102 - 0x103 +secret.dylib (0) <0> /Users/*/secret.dylib
"""


def test_a_sample_names_nobody_but_the_child():
    text = told.without_others(SAMPLED)
    assert "ecret" not in text
    assert "macOS 26.1" in text
    assert [one.tid for one in parse("sample", text, 7)] == [71]


def test_it_is_for_macos_and_for_a_new_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(platform, "current", lambda: SimpleNamespace(name="linux"))
    with pytest.raises(UsageError, match="--record is for macOS"):
        folder.check(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(platform, "current", lambda: SimpleNamespace(name="darwin"))
    folder.check(tmp_path / "new")
    (tmp_path / "new" / "mine").touch()
    with pytest.raises(UsageError, match="is not empty"):
        folder.check(tmp_path / "new")
    with pytest.raises(UsageError, match=r"File exists|Not a directory"):
        folder.check(tmp_path / "new" / "mine")


def test_each_guess_is_documented_with_the_files_that_settle_it():
    text = INTERNALS.read_text()
    for guess in guesses.GUESSES:
        assert set(guess.files) <= set(folder.FILES)
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{guess.name}` |"))
        assert guess.what in row
        for file in guess.files:
            assert file.replace("-1.plist", "").replace(".plist", "").split("-")[0] in row
    for file in RECORDED.iterdir():
        assert file.name in folder.FILES
