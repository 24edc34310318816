"""MLX's host files, and which runs they fit."""

from __future__ import annotations

import argparse
import json

import msgspec
import pytest

from harness.errors import UsageError
from harness.model import Host, Hostfile, Settings
from harness.scenario import load
from harness.session import hostfile, plan

HOSTS = [{"ssh": name, "ips": [f"10.0.0.{i}"]} for i, name in enumerate("abc")]
FILE = Hostfile(hosts=tuple(Host(ssh=one["ssh"], ips=tuple(one["ips"])) for one in HOSTS))


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
    ],
)
def test_what_cannot_be_run_is_refused_at_once(settings, file, words):
    with pytest.raises(UsageError, match=words):
        hostfile.check(runs(**settings), file)


def test_mpi_needs_its_launcher(monkeypatch):
    monkeypatch.setattr(hostfile.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="no mpirun"):
        hostfile.check(runs(ranks=2, backend="mpi"), None)
    hostfile.check(runs(backend="mpi"), None)


def test_what_fits_is_not_refused():
    hostfile.check(runs(ranks=2), FILE)
    hostfile.check(runs(ranks=3), FILE)
    hostfile.check(runs(ranks=4), None)
