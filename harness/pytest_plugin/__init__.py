"""The parts of the pytest plugin that a test needs. The hooks are in mlx_harness/pytest_plugin.py.

This module has the hooks too, for a configuration that names it.
"""

from mlx_harness.pytest_plugin import (
    MARKER,
    PASSED,
    TIMER,
    harness_run,
    pytest_addoption,
    pytest_collect_file,
    pytest_collection_finish,
    pytest_configure,
    pytest_pycollect_makemodule,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    pytest_timeout_cancel_timer,
    pytest_timeout_set_timer,
)

__all__ = [
    "MARKER",
    "PASSED",
    "TIMER",
    "harness_run",
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_collection_finish",
    "pytest_configure",
    "pytest_pycollect_makemodule",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "pytest_timeout_cancel_timer",
    "pytest_timeout_set_timer",
]
