"""The JSON Schema of run.json, made from the types. `python -m harness.report.schema` prints it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from harness.model import SCHEMA, RunResult

NOT_FINITE = {"enum": ["nan", "inf", "-inf"]}


def schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12. Stricter than the types: no field may be missing or unknown."""
    (reference,), definitions = msgspec.json.schema_components([RunResult])
    definitions["RunResult"]["properties"]["schema"] = {"const": SCHEMA}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "run.json of a harness run",
        **reference,
        "$defs": {name: _strict(part) for name, part in definitions.items()},
    }


def _strict(part: Any) -> Any:
    """Close objects, require all their fields, and let numbers be NaN as they are stored."""
    if isinstance(part, list):
        return [_strict(item) for item in part]
    if not isinstance(part, dict):
        return part
    part = {key: _strict(value) for key, value in part.items() if key != "default"}
    if part.get("type") == "number":
        return {"anyOf": [part, NOT_FINITE]}
    if part.get("type") == "object" and "properties" in part:
        part["required"] = sorted(part["properties"])
        part["additionalProperties"] = False
    return part


if __name__ == "__main__":
    print(json.dumps(schema(), indent=1, ensure_ascii=False))
