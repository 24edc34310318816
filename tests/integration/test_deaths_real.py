"""Planted deaths: what `harness watch` says of each. benchmarks/deaths.py has many more."""

from __future__ import annotations

import pytest

from benchmarks import deaths, dying

EVERY = {program.name: program for program in (*dying.DEATHS, *dying.HEALTHY)}
QUICK = ("exception_from_another", "exception_in_forked_child", "segfault_in_python",
         "child_left_unasked", "exit_long_after_caught_exception")  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_a_death_has_its_reason(name, tmp_path):
    program = EVERY[name]
    assert deaths.wrong(program, deaths.watch(program, tmp_path, None)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EVERY.keys() - set(QUICK)))
def test_every_death_has_its_reason_and_what_is_healthy_none(name, tmp_path):
    program = EVERY[name]
    if program.needs == "mount" and not deaths.can_mount():
        pytest.skip("no file system can be mounted here")
    with deaths.group(name) as memory:
        if program.needs == "group" and memory is None:
            pytest.skip("no control group can be made here")
        assert deaths.wrong(program, deaths.watch(program, tmp_path, memory)) == []
