"""Fixtures of the tests that start real processes."""

from __future__ import annotations

import pytest
from trial import Trial


@pytest.fixture
def trial(tmp_path):
    trial = Trial(tmp_path)
    yield trial
    trial.close()
