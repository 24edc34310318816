"""When a GPU that works is doubted: it has kept its host in one wait for minutes."""

from __future__ import annotations

import msgspec
import pytest
from observations import process, seen, stack, thread, twice

from harness.detect.endless_kernel import endless, lasted, waits_still
from harness.detect.policy import STANDARD
from harness.detect.tree import judge_tree
from harness.model.world import GpuUse

EVALUATES = twice(stack("cuEventSynchronize", "mlx::core::CudaEvent::wait()", "py:step"))


def on_gpu(own, later=None):
    use = GpuUse(own=own, named=True, busy=own)
    one = process(1, thread(1))
    return seen(one, later=(later or one,), stacks=EVALUATES, on_gpu=frozenset({1}), gpu_use=use)


def test_a_host_that_does_not_move_waits_for_one_kernel():
    found = on_gpu(100)
    assert waits_still(judge_tree(found), found)


@pytest.mark.parametrize(
    "found",
    [on_gpu(0), on_gpu(100, later=process(1, thread(1, switches=41))), seen(process())],
    ids=["idle", "moves", "no GPU"],
)
def test_an_idle_gpu_or_a_host_that_moves_says_nothing_of_a_kernel(found):
    assert not waits_still(judge_tree(found), found)


@pytest.mark.parametrize(
    ("cpu_s", "state", "still"), [(1.0, "S", True), (1.0001, "S", False), (1.0, "R", False)]
)
def test_where_switches_are_not_counted_a_threads_time_is(cpu_s, state, still):
    waits = {"switches": None, "syscall": None, "wchan": None}
    one, later = (process(1, thread(1, cpu_s=used, state=state, **waits)) for used in (1.0, cpu_s))
    use = GpuUse(own=100, named=True, busy=100)
    found = seen(one, later=(later,), stacks=EVALUATES, on_gpu=frozenset({1}), gpu_use=use,
                 shows_waits=False)  # fmt: skip
    assert waits_still(judge_tree(found), found) is still


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([], False),
        ([(0.0, True), (STANDARD.kernel_believed_s - 1, True)], False),
        ([(0.0, True), (STANDARD.kernel_believed_s, True)], True),
        ([(0.0, True), (60.0, False), (STANDARD.kernel_believed_s + 1, True)], False),
        (
            [
                (0.0, True),
                (STANDARD.kernel_believed_s, True),
                (STANDARD.kernel_believed_s + 9, False),
            ],
            False,
        ),
    ],
)
def test_it_is_doubted_once_all_looks_of_minutes_agree(looks, expected):
    assert endless(looks) is expected


def test_the_words_are_of_the_kernel_once_it_has_run_for_a_while():
    found = msgspec.structs.replace(on_gpu(97), kernel_s=41.0)
    told = judge_tree(found).summary
    assert "a kernel of this process, which has run for 41 s; the GPU is at 97 %" in told
    assert "a GPU that works" in judge_tree(on_gpu(97)).summary


def test_it_has_run_since_the_first_look_of_those_that_agree():
    assert lasted([]) == 0.0
    assert lasted([(3.0, False), (5.0, True), (46.0, True)]) == 41.0
    assert lasted([(5.0, True), (46.0, False)]) == 0.0
