"""Control groups of both versions, as a machine and a container show them."""

from __future__ import annotations

import os
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

from harness.observe.linux import freezer  # noqa: E402

SECOND = "30 1 0:26 {shown} /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
FIRST = (
    "31 1 0:27 / /cg/freezer rw - cgroup cgroup rw,freezer\n"
    "32 1 0:28 / /cg/mem rw - cgroup cgroup rw,cpu,memory\n"
)


@pytest.fixture
def machine(tmp_path):
    """Writes files, by their path, and makes what reads them."""

    def make(mountinfo: str, group: str, **files: str) -> freezer.Groups:
        for name, text in {
            "proc/self/mountinfo": mountinfo,
            "proc/5/cgroup": group,
            **files,
        }.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        freezer._mounted.cache_clear()
        return freezer.Groups(str(tmp_path))

    yield make
    freezer._mounted.cache_clear()


EVENTS = "populated 1\nfrozen {}\n"
OWN, OUTER = "sys/fs/cgroup/a.slice/b.service", "sys/fs/cgroup/a.slice"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({f"{OWN}/cgroup.events": EVENTS.format(0), f"{OWN}/cgroup.freeze": "0\n"}, False),
        ({f"{OWN}/cgroup.events": EVENTS.format(1)}, True),
        ({f"{OWN}/cgroup.events": EVENTS.format(0), f"{OWN}/cgroup.freeze": "1\n"}, True),
        ({f"{OWN}/cgroup.events": EVENTS.format(0), f"{OUTER}/cgroup.freeze": "1\n"}, True),
        ({}, False),
    ],
)
def test_a_group_or_one_around_it_is_frozen(machine, files, expected):
    groups = machine(SECOND.format(shown="/"), "0::/a.slice/b.service\n", **files)
    assert groups.frozen(5) is expected


@pytest.mark.parametrize(
    ("place", "state", "expected"),
    [("x/y", "FROZEN", True), ("x/y", "FREEZING", True), ("x", "FROZEN", True),
     ("x/y", "THAWED", False), ("z", "FROZEN", False)],
)  # fmt: skip
def test_so_it_is_with_the_first_version(machine, place, state, expected):
    files = {f"cg/freezer/{place}/freezer.state": state + "\n"}
    assert machine(FIRST, "6:freezer:/x/y\n4:cpu,memory:/m\n", **files).frozen(5) is expected


def test_in_a_container_its_own_group_is_the_root_of_what_is_shown(machine):
    files = {"sys/fs/cgroup/in/cgroup.freeze": "1\n"}
    groups = machine(SECOND.format(shown="/docker/0a"), "0::/docker/0a/in\n", **files)
    assert groups.frozen(5) is True


def test_what_is_not_seen_is_not_known(machine):
    assert machine("", "0::/a\n").frozen(5) is None
    groups = machine(SECOND.format(shown="/"), "0::/../other\n")
    assert groups.frozen(5) is None
    assert groups.frozen(6) is None  # it has ended
    assert groups.under_oom(5) is None
    assert groups.memory_events(5) == {}


def test_who_waits_for_memory_that_nobody_frees_is_told_of_the_first_version(machine):
    control = "oom_kill_disable 1\nunder_oom {}\noom_kill 0\n"
    files = {
        "cg/mem/m/memory.oom_control": control.format(0),
        "cg/mem/memory.oom_control": control.format(0),
    }
    groups = machine(FIRST, "4:cpu,memory:/m\n", **files)
    assert groups.under_oom(5) is False
    files["cg/mem/m/memory.oom_control"] = control.format(1)
    assert machine(FIRST, "4:cpu,memory:/m\n", **files).under_oom(5) is True


def test_the_second_version_counts_what_has_happened_in_each_group(machine, tmp_path):
    files = {
        f"{OWN}/memory.events": "low 0\nmax 7\noom 1\noom_kill 1\n",
        f"{OUTER}/memory.events": "low 0\nmax 9\noom 2\noom_kill 1\n",
    }
    groups = machine(SECOND.format(shown="/"), "0::/a.slice/b.service\n", **files)
    assert groups.memory_events(5) == {
        f"{tmp_path}/{OWN}": {"low": 0, "max": 7, "oom": 1, "oom_kill": 1},
        f"{tmp_path}/{OUTER}": {"low": 0, "max": 9, "oom": 2, "oom_kill": 1},
    }


def test_of_ourselves_it_is_known_that_we_run():
    assert freezer.frozen(os.getpid()) in (False, None)
    assert freezer.under_oom(os.getpid()) in (False, None)


@pytest.mark.parametrize(
    ("mountinfo", "group", "file", "text", "expected"),
    [
        (SECOND.format(shown="/"), "0::/a.slice/b.service\n", f"{OWN}/memory.events",
         "low 0\noom 2\noom_kill 1\noom_group_kill 0\n", 1),
        (SECOND.format(shown="/"), "0::/a.slice/b.service\n", f"{OUTER}/memory.events",
         "oom_kill 1\n", None),
        # It has forgotten where a zombie was, and shows the root.
        (FIRST, "4:cpu,memory:/\n", "cg/mem/memory.oom_control", "oom_kill 4\n", None),
        ("", "", "other", "", None),
    ],
)  # fmt: skip
def test_the_kills_for_want_of_memory_are_counted_in_its_own_group(
    machine, mountinfo, group, file, text, expected
):
    assert machine(mountinfo, group, **{file: text}).oom_kills(5) == expected
