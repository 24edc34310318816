"""The sources beside a scenario, made fit to publish."""

from __future__ import annotations

from harness.report.siblings import Published


def test_only_the_source_that_is_asked_for_is_made_fit_to_publish():
    made = []

    def publish(text):
        made.append(text)
        return text.upper()

    sources = Published({"one": "a = 1", "two": "b = 2"}, publish)
    assert ("one" in sources, "three" in sources, [*sources], len(sources)) == (
        True, False, ["one", "two"], 2,
    )  # fmt: skip
    assert made == []
    assert sources["two"] == "B = 2"
    assert sources.get("three") is None
    assert made == ["b = 2"]
