"""The processes that a guard on macOS takes for the worker's own: none by its pid alone."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from harness.supervise.guarding import macos
from harness.supervise.guarding.kin import Kin, Seen
from harness.supervise.guarding.macos import environment

HARNESS, GUARD, WORKER = 90, 100, 101


@dataclass
class One:
    parent: int
    started: int
    session: int
    marked: bool = False
    ended: bool = False


class World:
    """Processes, as macOS shows them: an orphan is a child of launchd."""

    def __init__(self) -> None:
        self.now = 1000
        self.all = {1: One(0, 0, 1)}
        self.put(HARNESS, 1, HARNESS)
        self.put(GUARD, HARNESS, GUARD)
        self.put(WORKER, GUARD, WORKER, marked=True)

    def put(self, pid: int, parent: int, session: int | None = None, marked: bool = False) -> None:
        self.now += 1
        self.all[pid] = One(parent, self.now, session or self.all[parent].session, marked)

    def end(self, pid: int) -> None:
        del self.all[pid]
        for other, one in self.all.items():
            if one.parent == pid:
                self.all[other] = replace(one, parent=1)

    # As `kin` asks:
    def one(self, pid: int) -> Seen | None:
        found = self.all.get(pid)
        return found and Seen(pid, found.parent, found.started, found.ended)

    def children(self, pid: int) -> list[int]:
        return [child for child, one in self.all.items() if one.parent == pid]

    def everybody(self) -> list[int]:
        return list(self.all)

    def session(self, pid: int) -> int | None:
        found = self.all.get(pid)
        return None if found is None or found.ended else found.session

    def marked(self, pid: int) -> bool:
        return self.all[pid].marked


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def kin(world) -> Kin:
    made = Kin(world, (GUARD, HARNESS))
    made.adopt(WORKER)
    return made


def pids(kin: Kin) -> set[int]:
    return {seen.pid for seen in kin.look()}


def test_children_and_theirs_belong_to_it_and_others_do_not(world, kin):
    world.put(110, WORKER)
    world.put(111, 110, session=111)
    world.put(120, HARNESS)
    world.put(121, 1, session=121)
    assert pids(kin) == {WORKER, 110, 111}


def test_one_that_was_seen_is_remembered_when_its_parent_has_ended(world, kin):
    world.put(110, WORKER)
    world.put(111, 110, session=111)
    kin.forked(WORKER)
    world.end(110)
    world.end(WORKER)
    assert world.all[111].parent == 1
    assert pids(kin) == {111}


def test_a_pid_that_is_used_again_is_somebody_elses(world, kin):
    world.put(110, WORKER, session=110)
    assert 110 in pids(kin)
    world.end(110)
    world.put(110, 1, session=110)
    assert not kin.same(110)
    assert pids(kin) == {WORKER}
    world.put(112, 110)
    kin.forked(110)
    assert pids(kin) == {WORKER}


def test_the_number_of_a_session_that_was_empty_is_no_proof(world, kin):
    world.put(110, WORKER, session=110)
    assert pids(kin) == {WORKER, 110}
    world.end(110)
    world.put(110, 1, session=110)
    world.put(111, 110)
    world.end(110)  # what is left is in a session of the same number
    assert pids(kin) == {WORKER}


def test_what_has_lost_its_parent_unseen_is_known_by_its_session(world, kin):
    world.put(110, WORKER)
    world.put(111, 110)
    world.end(110)
    assert pids(kin) == {WORKER, 111}


def test_what_has_left_unseen_is_known_by_the_variable_of_the_worker(world, kin):
    world.put(110, WORKER)
    world.put(111, 110, session=111, marked=True)
    world.put(112, 111)
    world.put(113, 110, session=113)
    world.end(110)
    world.end(WORKER)
    assert pids(kin) == {111, 112}  # 113 has thrown its environment away


def test_what_ran_before_the_worker_is_none_of_it(world):
    world.put(80, 1, session=WORKER, marked=True)
    world.put(WORKER, GUARD, WORKER, marked=True)
    kin = Kin(world, (GUARD, HARNESS))
    kin.adopt(WORKER)
    assert pids(kin) == {WORKER}


def test_a_worker_that_has_no_session_yet_does_not_stand_for_its_guards(world):
    world.put(WORKER, GUARD, session=GUARD)
    world.put(130, 1, session=GUARD)
    kin = Kin(world, (GUARD, HARNESS))
    kin.adopt(WORKER)
    assert pids(kin) == {WORKER}


def test_a_process_under_a_debugger_is_a_child_of_its_parent_alone(world, kin):
    world.put(200, 1, session=200)
    world.children = lambda pid: [200] if pid == WORKER else []
    assert pids(kin) == {WORKER}


def test_zombies_are_shown_and_prove_nothing_of_others(world, kin):
    world.put(110, WORKER, session=110)
    pids(kin)
    world.all[110].ended = True
    world.put(111, 1, session=110)
    assert {(seen.pid, seen.ended) for seen in kin.look()} == {(WORKER, False), (110, True)}


def test_where_nothing_is_told_nothing_is_taken(world):
    world.one = lambda pid: None
    kin = Kin(world, (GUARD, HARNESS))
    kin.adopt(WORKER)
    assert kin.look() == []
    assert not kin.same(WORKER)


def test_each_is_met_once_before_its_children_are_asked_for(world):
    met = []
    kin = Kin(world, (GUARD, HARNESS), met.append)
    world.put(110, WORKER)
    kin.adopt(WORKER)
    kin.look()
    assert met == [WORKER, 110]


def test_in_any_order_of_events_nobody_else_is_taken_and_nobody_is_missed():
    """Few numbers, so that each is used again and again. All of the family carry its variable."""
    taken = 0
    for seed in range(200):
        chance, world = random.Random(seed), World()
        kin, ours = Kin(world, (GUARD, HARNESS)), {WORKER}
        kin.adopt(WORKER)
        for _ in range(80):
            parent = chance.choice([pid for pid in world.all if pid != GUARD])
            if chance.random() < 0.6:
                free = set(range(101, 125)) - world.all.keys()
                free -= {one.session for one in world.all.values()}  # as XNU gives them out
                pid = chance.choice(sorted(free) or [300])
                own = chance.random() < 0.4
                world.put(pid, parent, pid if own else None, marked=parent in ours)
                ours = ours | {pid} if parent in ours else ours - {pid}
            elif parent not in (1, HARNESS):
                world.end(parent)
                ours.discard(parent)
            if chance.random() < 0.5:
                kin.forked(parent)
            if chance.random() < 0.2:
                assert pids(kin) == ours
                taken += len(ours)
    assert taken > 1000


@pytest.fixture
def refused(monkeypatch):
    """The family of a guard that is told nothing of anybody."""
    followed = SimpleNamespace(follow=lambda pid: True, fileno=lambda: 0, news=list)
    monkeypatch.setattr(macos, "Events", lambda: followed)
    for name, answer in (("process", None), ("children", ()), ("of_user", ()), ("arguments", b"")):
        monkeypatch.setattr(macos.kernel, name, lambda *asked, answer=answer: answer)
    return macos.MacOS()


def test_a_worker_of_which_nothing_is_told_is_ended_all_the_same(refused):
    refused.adopt(WORKER)
    assert refused.below(childless=False) == [(WORKER, False)]
    assert refused.same(WORKER)
    assert not refused.same(WORKER + 1)
    assert refused.below(childless=True) == []
    assert not refused.same(WORKER)  # it is waited for, and its pid may be another's


def test_nothing_is_left_for_sure_once_two_looks_have_shown_none(refused):
    assert not refused.calm([], (), childless=True)
    assert refused.calm([], (), childless=True)
    assert not refused.calm([WORKER], (), childless=True)
    assert not refused.calm([], (), childless=True)


def packed(number: int, *words: bytes) -> bytes:
    return struct.pack("=i", number) + b"/bin/it\0\0\0\0" + b"\0".join(words) + b"\0"


def test_variables_are_told_from_arguments():
    mark = b"HARNESS_FOLDER=/a"
    assert environment(packed(2, b"it", mark, b"A=1", b"B=")) == (b"A=1", b"B=", b"")
    assert mark in environment(packed(2, b"it", b"-x", b"A=1", mark))
    assert mark not in environment(packed(2, b"it", mark))  # its environment is left out
    for raw in (b"", b"\1", b"\xff\xff\xff\xff", packed(-1, mark), packed(9, mark)):
        environment(raw)
