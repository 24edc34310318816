"""What nvidia-smi tells of the GPUs."""

import pytest

from harness.observe import gpu


@pytest.mark.parametrize(
    ("lines", "busy"),
    [
        ([], False),
        (["NVIDIA H100 80GB HBM3, 0 %, 1825 MiB"], False),
        (["NVIDIA H100 80GB HBM3, 18 %, 1825 MiB"], True),
        (["A, 0 %, 1 MiB", "B, 100 %, 1 MiB"], True),
        (["A, [N/A], 1 MiB"], False),
    ],
)
def test_a_gpu_at_work_is_seen(lines, busy):
    assert gpu.busy(lines) is busy
