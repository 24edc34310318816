"""The platform that is chosen, and what one without /proc answers."""

from __future__ import annotations

import os
import sys

import pytest

from harness.model import Process
from harness.model.world import Relations
from harness.observe import platform
from harness.observe.linux.platform import Linux
from harness.observe.macos.platform import MacOS
from harness.observe.portable import Portable


@pytest.fixture
def on(monkeypatch):
    def choose(name: str) -> platform.Platform:
        monkeypatch.setattr(sys, "platform", name)
        platform.current.cache_clear()
        return platform.current()

    yield choose
    monkeypatch.undo()
    platform.current.cache_clear()


@pytest.mark.parametrize(
    ("name", "kind"), [("linux", Linux), ("darwin", MacOS), ("freebsd14", Portable)]
)
def test_each_system_has_its_platform(on, name, kind):
    chosen = on(name)
    assert type(chosen) is kind
    assert (chosen.name, chosen.arch) == (name, os.uname().machine)


@pytest.mark.skipif(sys.platform == "darwin", reason="has the libraries of macOS")
@pytest.mark.parametrize("name", ["darwin", "freebsd14"])
def test_what_a_platform_cannot_show_is_empty(on, name):
    chosen = on(name)
    me = os.getpid()
    assert not chosen.shows_waits
    # macOS asks its own libraries alone, which are not here.
    seen = [me] if name == "freebsd14" else []
    assert [one.pid for one in chosen.processes([me, me])][:1] == seen
    assert chosen.world(me) is None
    assert (chosen.machine().available is not None) == bool(seen)
    assert chosen.oom_kills() == 0
    assert (chosen.devices(me), chosen.open_files(me), chosen.transfers(me)) == ((), {}, {})
    one = Process(pid=me, ppid=1, name="python", state="S", cpu_s=0.0)
    assert (chosen.relations()([one]), chosen.more(one)) == (Relations(), None)
    chosen.check()


def test_a_process_is_listed_once_under_several_roots(on):
    listed = [one.pid for one in on("freebsd14").processes([os.getppid(), os.getpid()])]
    assert len(listed) == len(set(listed))
    assert os.getpid() in listed
