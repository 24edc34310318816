"""A job that follows another one: it takes its place, and its run is told of once."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import fakes
import pytest

from harness.supervise import scheduler


class Job:
    """A job that ends at its first tick."""

    def __init__(self, name):
        self.channel, self._other = socket.socketpair()
        self.result = fakes.result(name)
        self.ended = []
        self.before_end = lambda: None

    def tick(self):
        self.before_end()
        return self.result

    def interrupt(self, grace):
        self.ended.append(grace)

    def close(self):
        self.channel.close()
        self._other.close()


class Followers:
    """Two jobs follow each one; the result counts them."""

    def __init__(self, *more):
        self.more = list(more)
        self.began = None

    def next(self, job, result):
        self.began = self.began or job
        return self.more.pop(0) if self.more else None

    def combined(self, job, result):
        return self.began or job, self.began.result if self.began else result


@pytest.fixture
def jobs():
    made = [Job(name) for name in ("own", "first", "second")]
    yield made
    for job in made:
        job.close()


def observer(heard):
    return SimpleNamespace(
        started=lambda job: heard.append(("started", job)),
        looked=lambda jobs: None,
        finished=lambda job, result: heard.append(("finished", job)),
    )


def test_the_run_is_told_of_once_with_what_followed_it(jobs):
    own, first, second = jobs
    heard = []
    with scheduler.requests() as interrupts:
        results, stopped = scheduler.run(
            [lambda: own], 1, observer(heard), interrupts, followers=Followers(first, second)
        )
    assert heard == [("started", own), ("finished", own)]
    assert (results, stopped) == ((own.result,), False)


def test_one_in_the_foreground_is_followed_too(jobs):
    own, first, second = jobs
    followers = Followers(first, second)
    with scheduler.requests() as interrupts:
        result = scheduler.follow(own, own.result, followers, observer([]), interrupts)
    assert result is own.result
    assert not followers.more


def test_after_a_request_to_stop_nothing_follows(jobs):
    own, first, second = jobs
    with scheduler.requests() as interrupts:
        own.before_end = first.before_end = lambda: setattr(interrupts, "count", 1)
        followers = Followers(first)
        results, stopped = scheduler.run(
            [lambda: own], 1, observer([]), interrupts, followers=followers
        )
    assert (results, stopped) == ((own.result,), True)
    assert followers.more == [first]
    with scheduler.requests() as interrupts:
        followers = Followers(first, second)
        scheduler.follow(own, own.result, followers, observer([]), interrupts)
    assert followers.more == [second]
