"""The modules that lie beside a run's scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from harness.model import ScenarioInfo, WorkerSpec
from harness.scenario import load


def read(info: ScenarioInfo, home: Path) -> Mapping[str, str]:
    """The sources by module. `home` is the folder of one of the scenario's runs."""
    return load.siblings(_located(info, home))


def _located(info: ScenarioInfo, home: Path) -> ScenarioInfo:
    """The scenario with the path that it was run by; the published path is redacted."""
    try:
        spec = msgspec.json.decode((home / "spec.json").read_bytes(), type=WorkerSpec)
    except (OSError, msgspec.MsgspecError):
        return info
    return msgspec.structs.replace(info, path=spec.path)
