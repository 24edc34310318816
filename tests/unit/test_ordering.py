"""The order in which several processes of pytest share the tests."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import ordering
from hypothesis import given


class Test:
    __test__ = False

    def __init__(self, file, number, waits):
        self.path, self.number, self.waits = Path("tests", file), number, waits

    def get_closest_marker(self, name):
        return self if name == "waits" and self.waits else None

    @property
    def short(self):
        return "unit" in self.path.parts


FILES = st.lists(
    st.tuples(st.sampled_from(["unit", "integration"]), st.integers(1, 40), st.booleans()),
    max_size=30,
)


def items_of(files):
    return [
        Test(f"{folder}/test_{n}.py", number, waits and folder == "integration")
        for n, (folder, count, waits) in enumerate(files)
        for number in range(count)
    ]


@given(FILES, st.integers(1, 8))
def test_each_test_runs_once_and_those_of_a_long_file_in_a_row(files, workers):
    tests = items_of(files)
    order = ordering.shared(tests, workers)
    assert sorted(map(id, order)) == sorted(map(id, tests))
    places = {}
    for place, test in enumerate(order):
        if not test.short:
            places.setdefault(test.path, []).append((place, test.number))
    for (first, _), *rest in places.values():
        assert rest == [(first + n, n) for n in range(1, len(rest) + 1)]


def test_each_process_has_some_of_each_kind_and_ends_with_short_ones():
    files = (
        [("integration", 5, True)] * 8 + [("integration", 5, False)] * 4 + [("unit", 100, False)]
    )
    order = ordering.shared(items_of(files), 4)
    assert len(order) == 160
    for first in range(0, 160, 40):
        block = order[first : first + 40]
        assert not block[0].short
        assert sum(test.waits for test in block) == 10
        assert sum(not test.waits and not test.short for test in block) == 5
        assert all(test.short for test in block[-7:])
