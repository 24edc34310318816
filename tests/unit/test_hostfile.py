"""MLX's host files, and which runs they fit."""

from __future__ import annotations

import argparse
import json

import msgspec
import pytest

from harness.errors import UsageError
from harness.model import Host, Hostfile, Settings
from harness.observe import nvml
from harness.scenario import load
from harness.session import hostfile, plan

HOSTS = [{"ssh": name, "ips": [f"10.0.0.{i}"]} for i, name in enumerate("abc")]
FILE = Hostfile(hosts=tuple(Host(ssh=one["ssh"], ips=tuple(one["ips"])) for one in HOSTS))

TWICE = Hostfile(hosts=(FILE.hosts[0], FILE.hosts[0]))


def written(tmp_path, content):
    file = tmp_path / "hosts.json"
    file.write_text(content)
    return str(file)


def runs(**settings):
    return plan.make(load.find(["baseline_update"]), Settings(**settings), 1)


def test_both_forms_are_read(tmp_path):
    assert hostfile.read(written(tmp_path, json.dumps(HOSTS))) == FILE
    whole = {"backend": "ring", "envs": ["A=1"], "hosts": HOSTS, "more": 1}
    expected = msgspec.structs.replace(FILE, backend="ring", envs=("A=1",))
    assert hostfile.read(written(tmp_path, json.dumps(whole))) == expected


GPUS = '[{"busy": 0, "contexts": []}, {"busy": 0, "contexts": []}]'


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    script = tmp_path / "stands_in.py"
    script.write_text(f"print({GPUS!r})")
    monkeypatch.setattr(nvml, "__file__", str(script))
    return script


def test_two_ranks_over_nccl_need_two_gpus(two_gpus, monkeypatch):
    over = {"backend": "nccl", "ranks": 2}
    hostfile.check(runs(**over), None)
    hostfile.check(runs(backend="nccl"), None)  # a single rank needs no NCCL
    hostfile.check(runs(ranks=9), None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(UsageError, match=r"has 2 ranks, .* and CUDA shows 1 GPU here; use --ba"):
        hostfile.check(runs(**over), None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    hostfile.check(runs(**over), None)
    with pytest.raises(UsageError, match=r"has 3 ranks, .*2 GPUs here; use fewer --ranks, or --ba"):
        hostfile.check(runs(**over | {"ranks": 3}), None)


def test_a_machine_without_a_gpu_says_so_and_one_that_does_not_know_lets_mlx_try(two_gpus):
    two_gpus.write_text(f"raise SystemExit({nvml.NO_DRIVER})")
    with pytest.raises(UsageError, match=r"no NVIDIA GPU .* here; use --backend ring"):
        hostfile.check(runs(backend="nccl", ranks=2), None)
    two_gpus.write_text("raise SystemExit(1)")
    hostfile.check(runs(backend="nccl", ranks=2), None)


@pytest.mark.parametrize("content", ["", "{}", "[1]", "[]", json.dumps(HOSTS[:1]), '[{"ips":[]}]'])
def test_what_is_no_host_file_is_said_with_its_name(tmp_path, content):
    with pytest.raises(argparse.ArgumentTypeError, match=r"hosts\.json"):
        hostfile.read(written(tmp_path, content))


def test_there_are_as_many_ranks_as_hosts_unless_asked_for():
    assert [hostfile.ranks(None, FILE), hostfile.ranks(2, FILE)] == [3, 2]
    assert [hostfile.ranks(None, None), hostfile.ranks(4, None)] == [1, 4]


def test_the_first_ranks_get_the_first_hosts():
    assert [host.ssh for host in hostfile.of(FILE, 2).hosts] == ["a", "b"]
    assert hostfile.of(None, 2) is None


@pytest.mark.parametrize(
    ("settings", "file", "words"),
    [
        ({"ranks": 4}, FILE, "needs 4 ranks, and the host file has 3 hosts"),
        ({"ranks": 1}, FILE, "needs 1 rank, and the host file has 3 hosts"),
        ({"ranks": 3, "backend": "mpi"}, FILE, "--backend ring"),
        ({"ranks": 3}, msgspec.structs.replace(FILE, backend="mpi"), "--backend ring"),
        ({"ranks": 2}, Hostfile(hosts=(Host(ssh="a", ips=("1",)), Host(ssh="b"))), "no ips of b"),
        ({"ranks": 2, "backend": "nccl"}, TWICE, "names a for several ranks"),
        ({"ranks": 2}, msgspec.structs.replace(TWICE, backend="nccl"), "name each host once"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(settings, file, words):
    with pytest.raises(UsageError, match=words):
        hostfile.check(runs(**settings), file)


MESH = [[None, "rdma_en2", "rdma_en3"], ["rdma_en2", None, ["rdma_en4", "rdma_en5"]],
        ["rdma_en3", ["rdma_en4", "rdma_en5"], None]]  # fmt: skip


def over_rdma(matrix, backend=""):
    """Only the first host needs an address: there they meet."""
    hosts = [
        Host(ssh=name, ips=("10.0.0.1",) * (name == "a"), rdma=tuple(row))
        for name, row in zip("abc", matrix, strict=True)
    ]
    return Hostfile(hosts=tuple(hosts), backend=backend)


@pytest.mark.parametrize("backend", ["jaccl", "jaccl-ring"])
def test_jaccl_needs_a_host_file_with_its_devices(backend):
    with pytest.raises(UsageError, match=rf"--backend {backend} needs the RDMA devices"):
        hostfile.check(runs(ranks=2, backend=backend), None)
    hostfile.check(runs(ranks=1, backend=backend), None)
    for settings, file in [
        ({"backend": backend}, over_rdma(MESH)),
        ({}, over_rdma(MESH, backend)),
        ({"backend": backend, "ranks": 2}, hostfile.of(over_rdma(MESH), 2)),
    ]:
        hostfile.check(runs(**{"ranks": 3, **settings}), file)
    with pytest.raises(UsageError, match=f"does not fit the backend {backend}: rdma of a has 0 en"):
        hostfile.check(runs(ranks=3, backend=backend), FILE)


@pytest.mark.parametrize(
    ("row", "entry", "device", "words"),
    [
        (1, 1, "rdma_en9", "entry 2 of rdma of b is b itself; make it null"),
        (2, 0, None, "rdma of c names no device to a; add it"),
        (2, 0, [], "rdma of c names no device to a; add it"),
    ],
)
def test_what_jaccl_would_not_start_with_is_said_at_once(row, entry, device, words):
    matrix = [list(one) for one in MESH]
    matrix[row][entry] = device
    with pytest.raises(UsageError, match=words):
        hostfile.check(runs(ranks=3, backend="jaccl"), over_rdma(matrix))


def test_a_ring_needs_devices_to_neighbors_alone():
    names = "abcd"
    hosts = [
        Host(ssh=name, ips=("1",), rdma=tuple("rdma" if (i - j) % 2 else None for j in range(4)))
        for i, name in enumerate(names)
    ]
    file = Hostfile(hosts=tuple(hosts))
    hostfile.check(runs(ranks=4, backend="jaccl-ring"), file)
    with pytest.raises(UsageError, match="rdma of a names no device to c"):
        hostfile.check(runs(ranks=4, backend="jaccl"), file)


def test_mpi_needs_its_launcher(monkeypatch):
    monkeypatch.setattr(hostfile.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="no mpirun"):
        hostfile.check(runs(ranks=2, backend="mpi"), None)
    hostfile.check(runs(backend="mpi"), None)


def test_what_fits_is_not_refused():
    hostfile.check(runs(ranks=2), FILE)
    hostfile.check(runs(ranks=3), FILE)
    hostfile.check(runs(ranks=4), None)
