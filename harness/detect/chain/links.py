"""The parts of a chain of waits: threads, the waits between them, and the ends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from harness.text import exits, units

_TOLD = 2
"""Ended children that are named in a sentence."""


class Node(NamedTuple):
    """One thread of one process."""

    pid: int
    tid: int


class Ends(str, Enum):
    """The end of a chain: the state of the thread, process or thing that the others wait for."""

    WORKS = "works"
    GPU_WORKS = "gpu_works"
    CLOCK = "clock"
    PERSON = "person"
    POLLS = "polls"
    SPINS = "spins"
    NETWORK = "network"
    FILE_SYSTEM = "file_system"
    PROGRAM = "program"
    PEERS = "peers"
    """The other ranks of a job, in a collective."""
    MEMORY = "memory"
    STOPPED = "stopped"
    TRACED = "traced"
    OUTSIDE = "outside"
    """A signal, a message or an event of the kernel, of which nobody can say who sends it."""
    GPU_IDLE = "gpu_idle"
    IDLE = "idle"
    """A thread of a pool that has nothing to do."""
    UNKNOWN = "unknown"
    UNSEEN = "unseen"
    """A wait that this machine does not show. Nothing follows from it."""
    CYCLE = "cycle"
    """Threads that wait for one another."""
    DEAD = "dead"
    """A process or thread that has ended, or an end of a pipe that nobody holds."""


ALIVE = frozenset((Ends.WORKS, Ends.GPU_WORKS, Ends.CLOCK, Ends.PERSON, Ends.UNSEEN))
"""Nothing is doubted that ends so."""
LOST = frozenset((Ends.CYCLE, Ends.DEAD))
"""Nothing can come of these, where each link to them is certain."""
BEST_FIRST = (
    Ends.WORKS,
    Ends.GPU_WORKS,
    Ends.CLOCK,
    Ends.PERSON,
    Ends.UNSEEN,
    Ends.STOPPED,
    Ends.TRACED,
    Ends.MEMORY,
    Ends.GPU_IDLE,
    Ends.FILE_SYSTEM,
    Ends.NETWORK,
    Ends.PROGRAM,
    Ends.PEERS,
    Ends.SPINS,
    Ends.POLLS,
    Ends.OUTSIDE,
    Ends.UNKNOWN,
    Ends.DEAD,
    Ends.CYCLE,
    Ends.IDLE,
)
"""The order in which the ends of one chain decide: a thing that may still go on comes first."""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a chain."""

    kind: Ends
    detail: str = ""
    """A sentence's end: `uses 98 % of a core`, `reads from 10.0.0.5:443`."""
    left_s: float | None = None
    """Seconds until the clock rings; None where that cannot be read."""
    sure: bool = True
    """False where another look could show something else."""
    seen: bool = True
    """False where it could only come from somebody of whom nothing is seen: a signal for which the
    process has a handler, a program that has yet to open the memory it waits in."""
    believed_s: float | None = None
    """Seconds for which it is still believed to work in its beat; None where nothing tells that it
    may."""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """The wait of one thread."""

    code: str
    """`mutex`, `join`, `child`, `pipe`, `gil`, `futex`, `sleep`, ...; `run` of one that runs."""
    detail: str
    """A sentence's end: `waits for thread loader to end`."""
    on: Sequence[Node] = ()
    """The threads that work for it, as far as they are known."""
    known: bool = True
    """False where `on` is a guess: threads that may have something to do with it."""
    may: Sequence[Node] = ()
    """Threads beside those that may end it as well: a guess."""
    ends: tuple[End, ...] = ()
    """The things it waits for that are no thread of the tree, and its own activity."""
    clock_believed_s: float = 0.0
    """Seconds for which a timeout that is not shown is believed to end it."""


class ChainLink(msgspec.Struct, frozen=True, kw_only=True):
    """One link of the chain that is told."""

    pid: int
    tid: int
    name: str
    wait: str
    detail: str
    place: str | None = None
    """The user's own line that the thread is in, such as `train.py:12 in step`."""


class EndedChild(msgspec.Struct, frozen=True, kw_only=True):
    """A child that has ended, while a process of the chain waits."""

    pid: int
    ppid: int
    name: str
    code: int
    """Its exit code; the negative number of the signal that killed it."""
    oom_killer: bool | None = None
    """True if the kernel's out-of-memory killer did it, as far as its counts tell; None where
    they cannot be read."""

    def describe(self) -> str:
        """Such as `process 12 (python ...), its child, was killed by SIGKILL`."""
        return exits.of_child(self.name, exits.ended(self.code), self.oom_killer)

    def evidence(self) -> dict[str, Any]:
        """The child as it stands in `cause.evidence` of run.json."""
        ended = {"signal": exits.signal_name(-self.code)} if self.code < 0 else {}
        return {
            "pid": self.pid,
            "ppid": self.ppid,
            "name": self.name,
            **(ended or {"exit_code": self.code}),
            "oom_killer": self.oom_killer,
        }


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """From the thread that trains to the end that decides."""

    links: tuple[ChainLink, ...]
    end: End
    all_ends: tuple[End, ...] = ()
    followed: str = ""
    """The thread that was followed, and the reason."""
    on: tuple[int, ...] = ()
    """The other processes that were reached."""
    ended: tuple[EndedChild, ...] = ()
    """The ended children of the processes that were reached, where the chain does not go on."""
    clock_believed_s: float = 0.0
    """Seconds for which a timeout that is not shown is believed to end one of its waits."""
    sought: tuple[ChainLink, ...] = ()
    """Whom the last thread looks for, where it polls and only one could be meant: a guess, which
    is told. It decides only that a person who is asked is believed in."""

    @property
    def alive(self) -> bool:
        """True if it ends in what goes on by itself."""
        return self.end.kind in ALIVE

    @property
    def believed(self) -> bool:
        """True if one of its ends may be at work, or one of its waits may end by a timeout that is
        not shown: it is doubted, and not ended for it."""
        return self.clock_believed_s > 0 or any(
            end.believed_s for end in (self.end, *self.all_ends)
        )

    def passes_by(self, pids: Collection[int]) -> bool:
        """True if nobody waits for the processes `pids`, which are stopped: it leads elsewhere.

        Who sleeps or works by itself may look for one of them now and then.
        """
        if self.end.kind in (Ends.STOPPED, Ends.TRACED) or set(pids) & set(self.on):
            return False
        return not self.alive or bool(self.on)

    def evidence(self) -> dict[str, Any]:
        """The chain as it stands in `cause.evidence` of run.json."""
        return {
            "chain": [msgspec.to_builtins(link) for link in (*self.links, *self.sought)],
            "end": {
                key: value
                for key, value in msgspec.to_builtins(self.end).items()
                if value not in (None, "") and (key, value) != ("seen", True)
            },
            "followed": self.followed,
            **({"ended_children": [one.evidence() for one in self.ended]} if self.ended else {}),
        }

    def describe(self) -> str:
        """`main waits for thread loader (join), which reads from 10.0.0.5:443`."""
        text = describe(self.links, self.end)
        if self.sought:
            text += f"; {describe(self.sought, msgspec.structs.replace(self.end, detail=''))}"
        bad = [one for one in self.ended if one.code] or self.ended
        left = len(bad) - _TOLD
        more = [f"and {units.plural(left, 'other ended child', 'other ended children')}"]
        more *= left > 0
        return "; ".join([text, *(one.describe() for one in bad[:_TOLD]), *more])


def describe(links: tuple[ChainLink, ...], end: End) -> str:
    """Say the chain in one sentence, the user's own line of the first thread included."""
    if not links:
        return end.detail
    text, before = "", ""
    for link in links:
        place = f" at {link.place}" if link.place else ""
        # The one that was waited for is named already.
        name = "which" if before.endswith(link.name) else f"{'; ' if text else ''}{link.name}"
        text += f"{', ' if name == 'which' else ''}{name}{place} {link.detail}"
        before = link.detail
    if end.detail and not text.endswith(end.detail) and "itself" not in text:
        text += f"; {end.detail}"
    if end.kind is Ends.CLOCK and end.left_s is not None:
        text += f" (wakes in {units.duration(end.left_s)})"
    return text
