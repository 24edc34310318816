"""The modules that lie beside a run's scenarios."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from harness.model import ScenarioInfo, WorkerSpec
from harness.scenario import load


class Published(Mapping[str, str]):
    """Sources by module, each made fit to publish when it is asked for: few of them are."""

    def __init__(self, sources: Mapping[str, str], publish: Callable[[str], str]) -> None:
        self._sources = sources
        self._publish = publish

    def __getitem__(self, name: str) -> str:
        return self._publish(self._sources[name])

    def __contains__(self, name: object) -> bool:
        return name in self._sources

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


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
