"""How much memory a training may use: control groups on made-up trees, GPUs by what is told."""

from __future__ import annotations

import argparse

import pytest

from harness.cli.options import bytes_of
from harness.model import Bound, Environment
from harness.observe import environment, gpu, memory_limits, run_tool
from harness.observe.memory_limits import Limit, Usable
from harness.training import device

GB = 10**9
UNIFIED = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
MEMORY = "35 31 0:32 {} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"


def tree(root, cgroup: str, mountinfo: str, **files: object):
    """A root folder; `files` lie below /sys/fs/cgroup, by their paths."""
    written = {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mountinfo}
    written |= {f"sys/fs/cgroup/{name}": f"{value}\n" for name, value in files.items()}
    for name, text in written.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_smallest_limit_up_the_tree_counts(tmp_path):
    files = {"a/memory.max": 8 * GB, "a/b/memory.max": "max", "a/b/c/memory.max": 9 * GB,
             "a/memory.swap.max": GB}  # fmt: skip
    assert memory_limits.limit(tree(tmp_path, "0::/a/b/c\n", UNIFIED, **files)) == Limit(8 * GB, GB)


def test_a_container_sees_its_own_group_as_the_root(tmp_path):
    files = {"memory.max": 4 * GB, "memory.swap.max": 0}
    assert memory_limits.limit(tree(tmp_path, "0::/\n", UNIFIED, **files)) == Limit(4 * GB, 0)


def test_a_group_above_the_one_that_a_container_shows_is_not_looked_for(tmp_path):
    files = {"memory.max": 4 * GB}
    seen = tree(tmp_path, "0::/../other\n", UNIFIED, **files)
    assert memory_limits.limit(seen) == Limit(4 * GB, None)


def test_the_first_version_counts_memory_and_swap_together(tmp_path):
    files = {"memory/docker/x/memory.limit_in_bytes": 4 * GB,
             "memory/docker/x/memory.memsw.limit_in_bytes": 5 * GB,
             "memory/memory.limit_in_bytes": 9223372036854771712}  # fmt: skip
    groups = "4:memory:/docker/x\n3:cpuset:/docker\n0::/\n"
    assert memory_limits.limit(tree(tmp_path, groups, MEMORY.format("/"), **files)) == Limit(
        4 * GB, GB
    )


def test_the_first_version_in_a_container_without_a_name_space(tmp_path):
    files = {"memory/memory.limit_in_bytes": 4 * GB}
    seen = tree(tmp_path, "4:memory:/docker/x\n", MEMORY.format("/docker/x"), **files)
    assert memory_limits.limit(seen) == Limit(4 * GB, None)


def test_without_control_groups_there_is_no_limit(tmp_path):
    assert memory_limits.limit(tmp_path) == Limit()
    assert memory_limits.limit(tree(tmp_path, "0::/a\n", UNIFIED)) == Limit()


@pytest.mark.parametrize(
    ("group", "address", "gpu", "memory", "swap", "bound"),
    [
        (Limit(), None, None, 96, 10, Bound.MACHINE),
        (Limit(9e18, 9e18), None, None, 96, 10, Bound.MACHINE),
        (Limit(8, 2), None, None, 8, 2, Bound.CONTAINER),
        (Limit(8), None, None, 8, 10, Bound.CONTAINER),
        (Limit(8, 2), 4, None, 4, 0, Bound.PROCESS),
        (Limit(8, 2), 20, None, 8, 2, Bound.CONTAINER),
        (Limit(8, 2), 4, 80, 80, 0, Bound.GPU),
    ],
)
def test_what_bounds_a_training(group, address, gpu, memory, swap, bound):
    found = memory_limits.choose(96, 10, group, address, gpu)
    assert found == Usable(memory=memory, swap=swap, bound=bound)


@pytest.mark.parametrize(
    ("info", "size"),
    [
        ({"memory_size": 96 * GB, "max_recommended_working_set_size": 72 * GB}, 72 * GB),
        ({"memory_size": 96 * GB}, 96 * GB),
        ({"device_name": "NVIDIA H100", "total_memory": 80 * GB}, 80 * GB),
        ({"device_name": "NVIDIA H100"}, None),
        ({"total_memory": 0}, None),
    ],
)
def test_what_mlx_tells_of_a_gpu(info, size):
    assert device.size(info) == size


@pytest.mark.parametrize(
    ("output", "sizes"),
    [("81559\n40960\n", [81559 << 20, 40960 << 20]), ("[N/A]\n", []), ("", [])],
)
def test_what_nvidia_smi_tells_of_a_gpu(monkeypatch, output, sizes):
    def run(command, timeout):
        return run_tool.Answer(output=output, errors="", code=0)

    monkeypatch.setattr(run_tool, "run", run)
    assert gpu.memory() == sizes
    told = memory_limits.usable("gpu (NVIDIA H100)")
    assert (told.bound is Bound.GPU) is bool(sizes)
    assert not sizes or told.memory == 40960 << 20


def test_the_environment_follows_the_device_that_a_worker_reports():
    here = Environment(platform="Linux", machine="x86_64", python="3.11", cpu_count=8, memory=GB)
    there = environment.on_device(here, "gpu (Apple M3 Max)", 72 * GB)
    assert (there.device, there.memory) == ("gpu (Apple M3 Max)", GB)
    assert (there.usable_memory, there.usable_of) == (72 * GB, Bound.GPU)
    assert environment.on_device(here, "cpu", None).usable_of is not Bound.GPU


@pytest.mark.parametrize(
    ("bound", "sentence"),
    [
        (Bound.MACHINE, "this machine has"),
        (Bound.CONTAINER, "this container may use"),
        (Bound.PROCESS, "this process may use"),
        (Bound.GPU, "the GPU has"),
        (Bound.GIVEN, "there are to be"),
    ],
)
def test_a_sentence_names_whose_memory_it_is(bound, sentence):
    assert bound.sentence == sentence


@pytest.mark.parametrize(
    ("text", "size"),
    [("96GB", 96 * 10**9), ("96 gib", 96 * 2**30), ("1.5T", 1_500 * 10**9), ("512M", 512 * 10**6)],
)
def test_a_size_is_read_as_people_write_it(text, size):
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "96", "GB", "-1GB", "0GB", "96 B", "1e3GB"])
def test_no_size_is_guessed(text):
    with pytest.raises(argparse.ArgumentTypeError, match="write one such as 96GB"):
        bytes_of(text)
