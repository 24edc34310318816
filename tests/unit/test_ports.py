"""Ports for ranks: no two jobs have the same ones, in this process or in others."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.supervise.ports import BLOCK, BLOCKS, FIRST, Ports

ROOT = Path(__file__).parents[2]


@given(counts=st.lists(st.integers(1, 2 * BLOCK), min_size=2, max_size=8))
@settings(max_examples=20, deadline=None)
def test_no_port_is_given_twice(counts):
    with ExitStack() as stack:
        held = [stack.enter_context(closing(Ports(count))) for count in counts]
        given = [
            port
            for ports, count in zip(held, counts, strict=True)
            for port in range(ports.first, ports.first + count)
        ]
        assert len(set(given)) == len(given)
        assert all(FIRST <= port < FIRST + BLOCK * BLOCKS for port in given)
        for port in given:  # each can be bound
            with socket.socket() as one:
                one.bind(("127.0.0.1", port))


def test_other_processes_are_not_given_them_until_they_are_closed():
    code = "import sys; from harness.supervise.ports import Ports; p = Ports(8); print(p.first)"
    code += "; sys.stdout.flush(); sys.stdin.read()"
    with ExitStack() as stack:
        firsts = []
        for _ in range(4):
            other = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            firsts.append(int(other.stdout.readline()))
        assert len(set(firsts)) == 4


def test_a_block_in_which_somebody_listens_is_left_out():
    first = Ports(4)
    first.close()
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", first.first + 2))
        with closing(Ports(4)) as ports:
            assert ports.first != first.first


def test_what_was_closed_can_be_had_again():
    for _ in range(2 * BLOCKS):
        with closing(Ports(2)) as ports:
            assert ports.first > 0


def test_more_than_there_are_cannot_be_had():
    with pytest.raises(OSError, match="no 12000 free ports"):
        Ports(12_000)
