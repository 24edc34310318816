"""What NCCL says of a failure, and which GPU each of its ranks takes."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import machine
from harness.detect.ranks import JobColumns, RankState, judge
from harness.observe import environment, rank_env
from harness.supervise import nccl_log
from harness.supervise.nccl_log import NcclErrors

# NCCL 2.28.9 on a machine without a GPU; the other sentences are in its library and in MLX's.
NO_DRIVER = (
    b"\n[2026-11-29 15:35:48] vm:20513:20513 [0] init.cc:2053 NCCL WARN Cuda failure 'CUDA driver "
    b"version is insufficient for CUDA runtime version'\n"
)
PEER = (
    b"gpu7:%d:902 [1] socketProgress:784 NCCL WARN socketProgress: Connection closed by remote "
    b"peer gpu7<41234>\n"
)
MEMORY = b"gpu7:31:902 [1] include/alloc.h:228 NCCL WARN Cuda failure 2 'out of memory'\n"
NOTE = b"gpu7:31:31 [0] NCCL WARN NCCL_ALGO set by environment to Ring\n"
UNHANDLED = (
    b"NCCL error /w/mlx/distributed/nccl/nccl.cpp:288 'unhandled cuda error (run with "
    b"NCCL_DEBUG=INFO for details)'\n"
)
REMOTE = b"NCCL error nccl.cpp:9 'remote process exited or there was a network error'\n"


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (b"", None),
        (b"loss 1.0\nNCCL is not an error\n", None),
        (UNHANDLED, "ncclUnhandledCudaError: unhandled cuda error"),
        (MEMORY + UNHANDLED, "NCCL: Cuda failure 2 'out of memory' (ncclUnhandledCudaError)"),
        (NOTE + MEMORY, "NCCL: Cuda failure 2 'out of memory'"),
        (NOTE, "NCCL: NCCL_ALGO set by environment to Ring"),
        (
            NO_DRIVER,
            "NCCL: Cuda failure 'CUDA driver version is insufficient for CUDA runtime version'",
        ),
        (REMOTE, "ncclRemoteError: remote process exited or there was a network error"),
        (
            b"NCCL error x:1 'unhandled system error (run with NCCL_DEBUG=INFO for details)'\n",
            "ncclSystemError: unhandled system error",
        ),
        (b"NCCL error x:1 'no such result'\n", "NCCL: no such result"),
        (b"CUDA error nccl.cpp:4 'invalid device ordinal'\n", "CUDA: invalid device ordinal"),
    ],
)
def test_a_failure_is_told_with_its_reason_and_the_name_of_its_result(output, told):
    assert nccl_log.error(output) == told
    heard = NcclErrors()
    heard.hear(output)
    pid = int(output.split(b":")[1]) if b"WARN" in output and b"gpu7" in output else 20513
    assert heard.of(pid, alone=True) == told


def test_a_line_that_names_its_process_is_about_that_one():
    heard = NcclErrors()
    heard.hear(PEER % 30 + MEMORY + UNHANDLED)
    assert "closed by remote peer" in (heard.of(30, alone=False) or "")
    assert "out of memory" in (heard.of(31, alone=False) or "")
    assert heard.of(32, alone=False) is None
    assert heard.of(None, alone=False) is None
    # One alone has failed: the line without a process is about it.
    assert heard.of(32, alone=True) == "ncclUnhandledCudaError: unhandled cuda error"


@given(st.lists(st.integers(0, 400), max_size=6))
def test_lines_come_in_pieces(cuts):
    said = NO_DRIVER + b"loss 2.0\n" + PEER % 30 + MEMORY + UNHANDLED
    heard, last = NcclErrors(), 0
    for cut in [*sorted(cuts), len(said)]:
        heard.hear(said[last : max(last, cut)])
        last = max(last, cut)
    assert heard.of(31, alone=True) == nccl_log.error(MEMORY + UNHANDLED)
    assert "closed by remote peer" in (heard.of(30, alone=False) or "")


def test_a_flood_without_an_end_of_line_is_not_kept():
    heard = NcclErrors()
    for _ in range(100):
        heard.hear(b"x" * 10_000)
    heard.hear(b"\n" + MEMORY)
    assert "out of memory" in (heard.of(31, alone=False) or "")


def job(*errors, code=1):
    """Two ranks that exit one after the other, with what NCCL has said of each."""
    columns = JobColumns(len(errors))
    return [
        RankState(rank=n, columns=columns[n], ended_t=8.0 + n, exit_code=code, library_error=error)
        for n, error in enumerate(errors)
    ]


def test_the_reason_of_a_rank_that_nccl_has_ended_is_said():
    own = nccl_log.error(MEMORY + UNHANDLED)
    found = judge(job(own, None), now=10.0)
    assert (found.code, found.culprits) == ("rank_died", (0,))
    assert "rank 0 exited with code 1" in found.summary
    assert "Cuda failure 2 'out of memory' (ncclUnhandledCudaError)" in found.summary


@pytest.mark.parametrize("lost", [nccl_log.error(PEER % 3), nccl_log.error(REMOTE)])
def test_a_rank_that_lost_its_peer_is_not_the_cause_even_if_it_ends_first(lost):
    states = job(lost, nccl_log.error(MEMORY + UNHANDLED))
    assert judge(states, now=10.0).culprits == (1,)
    killed = [states[0], replace(states[1], exit_code=None, signal="SIGKILL", library_error=None)]
    assert judge(killed, now=10.0).culprits == (1,)
    assert "then rank 0 lost the connection to a peer" in judge(killed, now=10.0).summary


def test_ranks_take_the_gpus_that_their_job_was_given():
    given = rank_env.nccl({"CUDA_VISIBLE_DEVICES": "2, GPU-89"})
    assert [rank_env.own_gpu(given, rank) for rank in range(3)] == ["2", "GPU-89", None]
    assert given["NCCL_DEBUG"] == "WARN"
    assert rank_env.nccl({"NCCL_DEBUG": "INFO"}) == {}
    # The launcher's own numbers are right where all GPUs are there.
    assert rank_env.own_gpu(rank_env.nccl({}), 0) is None


def test_the_settings_of_nccl_are_recorded_and_no_address_or_serial_number(monkeypatch):
    given = {
        "NCCL_DEBUG": "INFO",
        "NCCL_SOCKET_IFNAME": "eth1",
        "NCCL_NVLS_ENABLE": "0",
        "MLX_NCCL_TIMEOUT": "60000",
    }
    secret = {
        "NCCL_HOST_IP": "10.1.2.3",
        "NCCL_COMM_ID": "10.1.2.3:7",
        "NCCL_DEBUG_FILE": "/home/eve/nccl.log",
        "CUDA_VISIBLE_DEVICES": "GPU-8932f937",
    }
    for name in environment.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in (given | secret).items():
        monkeypatch.setenv(name, value)
    assert environment.gather().variables == given


@pytest.mark.parametrize(
    ("versions", "gpus", "told"),
    [
        ({}, 2, None),
        ({"nvidia-nccl-cu13": "2.28.9"}, 2, "2.28.9, for --backend nccl: up to 2 ranks, one for"),
        ({"nvidia-nccl-cu12": "2.27.3"}, 1, "2.27.3, for --backend nccl: one GPU here"),
        ({"nvidia-nccl-cu13": "2.28.9"}, 0, "2.28.9, for --backend nccl: no GPU here"),
        ({"nvidia-nccl-cu13": "2.28.9"}, None, "the driver does not say how many GPUs there are"),
    ],
)
def test_doctor_tells_the_version_of_nccl_and_for_how_many_ranks(capsys, versions, gpus, told):
    here = msgspec.to_builtins(environment.gather())
    machine.show(
        {
            "mlx": {"ok": False, "reason": "not here"},
            "environment": here | {"versions": versions, "variables": {"NCCL_DEBUG": "INFO"}},
            "gpus": gpus,
            "memory": {
                "total": 1, "available": 1, "usable": 1, "usable_of": "machine",
                "swap_total": 0, "swap_used": 0,
            },
            "processes": {"reason": None},
            "stack_tools": [],
            "known_issues": [],
        }
    )  # fmt: skip
    shown = " ".join(capsys.readouterr().out.split())
    assert "variables NCCL_DEBUG=INFO" in shown
    assert ("for --backend nccl" in shown) is (told is not None)
    assert told is None or told in shown
