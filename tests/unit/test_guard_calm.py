"""When a guard may say that nothing is left, by looks at a table that is not of one moment."""

from __future__ import annotations

import random

from harness.supervise.guarding.tree import Calm, below

GUARD = 10


def test_all_that_is_below():
    table = [(10, 1, False), (12, 10, False), (11, 12, True), (13, 12, False), (20, 1, False)]
    assert set(below(table, GUARD)) == {(12, False), (11, True), (13, False)}


def test_a_child_that_is_read_before_its_parent_ends_is_missed_and_nothing_is_calm():
    """The child has the lower number, and is read first; then its parent ends."""
    table = [(5, 40, False), (10, 1, False)]
    assert below(table, GUARD) == []
    calm = Calm()
    assert not calm.look([], [], children=True)
    assert not calm.look([], [], children=True)  # as often as it is missed
    assert not calm.look([5], [], children=True)
    assert calm.look([], [], children=False)


def test_what_may_not_be_signaled_is_not_waited_for():
    calm = Calm()
    assert not calm.look([], [7], children=True)
    assert calm.look([], [7], children=True)


def test_a_zombie_that_is_there_for_a_moment_explains_nothing():
    calm = Calm()
    assert not calm.look([], [7], children=True)
    assert not calm.look([], [8], children=True)
    assert not calm.look([9], [8], children=True)
    assert not calm.look([], [8], children=True)


class World:
    """Processes that fork and end while a table of them is read."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.parents = {GUARD: 1, 50: GUARD}

    def goes_on(self) -> None:
        for pid in [pid for pid in self.parents if pid != GUARD]:
            if self._chance.random() < 0.3:
                free = set(range(2, 90)) - self.parents.keys()
                self.parents[self._chance.choice(sorted(free))] = pid
            if self._chance.random() < 0.4:
                del self.parents[pid]
                for child, parent in self.parents.items():
                    if parent == pid:
                        self.parents[child] = GUARD

    def read(self) -> list[tuple[int, int, bool]]:
        table = []
        for pid in sorted(self.parents):
            self.goes_on()
            if pid in self.parents:
                table.append((pid, self.parents[pid], False))
        return table


def test_nothing_is_calm_as_long_as_anything_lives():
    missed = 0
    for seed in range(400):
        world, calm = World(random.Random(seed)), Calm()
        for _ in range(60):
            children = GUARD in [world.parents[pid] for pid in world.parents]
            left = [pid for pid, _ in below(world.read(), GUARD)] if children else []
            missed += not left and len(world.parents) > 1
            if calm.look(left, [], children):
                assert world.parents == {GUARD: 1}
                break
    assert missed > 50  # the table alone would have been wrong
