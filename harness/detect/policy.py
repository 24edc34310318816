"""All thresholds of detection, in one place.

The time between two looks, and the cost that they may have, stand in `harness.supervise`.
"""

from __future__ import annotations

import msgspec


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """When a phase is overdue, what counts as work, and how long is waited. Times in seconds."""

    # When a phase is doubted.
    floor_s: float = 5.5
    """No phase is doubted sooner, however fast it usually is."""
    first_s: float = 30.0
    """Nor so soon when it is the first of its kind: nothing is known of how long it takes."""
    early: float = 0.6
    """The share of its limit at which a phase in which nothing moves is looked at, where only
    stacks show waits: their tools take seconds, and the answer is to be there in time."""
    factor: float = 3.0
    """Nor before it has lasted this many times its own p99."""
    busy_floor_s: float = 3.5
    busy_factor: float = 3.5
    """A phase that uses the CPU is overdue after this long, and this many times its longest..."""
    busy_history: int = 3
    """... once that many of its kind are known. A first one is never overdue."""
    loops: bool = True
    """True if a thread that stays in the same Python function is doubted as soon as two inspections
    agree. Else they must agree for `loop_s`."""
    loop_s: float = 25.0
    """The time that a thread must be seen in the same function before it is said to spin, where
    steps are not known well enough."""
    unseen_loop_s: float = 1800.0
    """Code of Python whose lines are not seen, and that calls nobody, is believed to work for so
    long."""

    # What is believed to work, and for how long.
    call_believed_s: float = 120.0
    """One call of a library, and a loop whose variables are not seen to stand still."""
    search_believed_s: float = 180.0
    """A search with a regular expression is doubted early, and believed for so long: it ends no
    sooner than another call of a library does under the shortest default patience."""
    yield_believed_s: float = 1800.0
    """A loop of Python that yields, and whose lines are not seen, is doubted early, and believed
    for so long."""
    kernel_believed_s: float = 120.0
    """A kernel on the GPU."""
    exchange_believed_s: float = 120.0
    """Threads that wake one another, and of which nothing else is seen."""
    vain_share: float = 0.5
    """Share of the looks over that time at which such a thread must have been woken."""
    mostly: int = 2
    """A thread only waits for another one if that was seen so many times as often as work."""
    system_share: float = 0.3
    """One long call of a library spends less of its CPU time in the kernel than this."""

    # What proves a deadlock.
    proof_looks: int = 3
    proof_s: float = 0.5
    """The looks at least, and the time at least between the first and the last."""
    blind_looks: int = 4
    """Looks in a row that show nothing, after which that is said. A worker may just be starting."""

    known_hang_s: float = 15.0
    """Patience with a hang that has stood its patience before, in a run of the same command."""

    # What a look shows.
    cpu_share: float = 0.02
    """CPU time, as a share of one core, that counts as work."""
    tick_s: float = 0.0101
    """CPU time is counted in ticks of a hundredth of a second: a single one, at a look between two
    that saw none, has been gathered by many wakes over seconds."""
    gap_s: float = 2.0
    """Two looks further apart than this: we were stopped or asleep, and the time does not count."""
    poll_cpu_share: float = 0.25
    """A thread that wakes by its own clock and uses less of a core than this, had it one for
    itself, only polls."""
    quick: float = 20.0
    """Wakes a second from which on threads may hand something to one another. A heartbeat is
    slower."""
    pieces: float = 5.0
    """Wakes a second from which on a thread is brought data. A heartbeat, or a signal that comes
    again and again, is rarer."""
    transfer: float = 64 << 10
    """Bytes a second that a thread reads and writes, from which on it does more than look."""
    rearmed: int = 3
    """A clock that was armed again so often without a step is no end that can be waited for."""
    restarts: int = 3
    """Workers of a pool that have come and gone between the looks at it, and gave nothing."""
    looks_often: float = 3.0
    """Waits in a second from which on the looks at a tree are too rare to see each of them."""
    beat_works_s: float = 0.001
    """CPU time between two waits from which on a thread works in its beat. To look whether a file
    is there takes a twentieth of it, and to list a folder of a thousand as much."""
    beat_may_work_s: float = 0.0003
    """CPU time between two waits from which on it may do so."""
    beat_looks: int = 3
    """Inspections that must have seen a beat before it is said to be no work."""
    beat_believed_s: float = 1800.0
    """A beat in which there may be work is believed to be that for so long."""
    believed_s: float = 3600.0
    """A clock that rings later than this is no end that can be waited for."""
    clock_believed_s: float = 600.0
    """A timeout that nothing shows is believed to be there for so long where a wait may have one:
    for as long as the patience with a command lasts that nobody has set."""
    alarm_s: float = 60.0
    """A timer that sends a signal to who waits is a clock if it rings so soon. A later one may be a
    limit that a program has set itself: it is waited for, and doubted."""
    gpu_memory: int = 5
    """Percent of the time in which a GPU's memory is used, from which on it works for a rank. The
    kernel of a collective that waits for a peer reads a flag, over and over, and little else."""
    gpu_spins: int = 95
    gpu_spins_w: float = 5.0
    """Percent, and watts. A fence that spins was seen at 100 % and 3.2 W on a Mac Studio
    (mlx#3830)."""
    trainer_share: float = 0.2
    """Share of its process's CPU time from which on a thread may be the one that trains."""
    steady_share: float = 0.5
    """Share of its use of the CPU until now from which on a thread goes on as before."""
    early_ring: float = 3.0
    """A clock that is so many times as long as a wait did not end it."""
    trickle: int = 4096
    """Bytes in a second, or at one look, that say nothing when it was not the main thread."""
    few_faults: int = 8
    """Minor page faults that are no sign of work."""
    thrashing: float = 20.0
    """Pages a second that come back from a disk, from which on a process without memory starves."""
    swapped: int = 64 << 20
    scarce: int = 256 << 20
    """Bytes: of a process that are swapped out, of a machine that are left."""

    # A memory limit.
    memory_near: float = 0.9
    memory_calm: float = 0.8
    memory_urgent: float = 1.1
    """Shares of the limit: from which on it is said, at which that is over, and from which on a
    grace is over too."""
    memory_looks: int = 2
    """Looks in a row that must agree: memory that is held for a moment is no reason."""
    memory_grace_s: float = 60.0
    """A checkpoint that was asked for has this long, while the memory stays below that share."""

    # Ranks.
    rank_start_s: float = 30.0
    """A rank that has not started so long after another one did never will."""
    rank_seen_s: float = 0.5
    """A kill that was seen from outside may be so much older; an exception says itself when it was.
    What befell two ranks within such a while befell them together."""
    rank_spins: float = 0.5
    """Cores that a rank uses at least that waits for a socket without sleeping."""
    rank_stopped_s: float = 6.0
    """A rank that has been stopped for so long, while nothing moves, is spoken of."""
    brief_stop_s: float = 1.0
    """A stop that is over sooner is not worth a word."""
    peers_end_s: float = 2.5
    """The time after a rank's death in which the others may end, by themselves or by the
    launcher."""
    peers_silent_s: float = 10.0
    """The time without progress that is left to the rest of a job that has lost a rank."""
    host_silent_s: float = 20.0
    """The time without progress that a host may be silent: a link that was cut may come back."""
    slow_steps: int = 5
    """Steps that all ranks have done at least before one of them is called slow."""
    slow_share: float = 0.2
    slow_least_s: float = 0.005
    slow_ratio: float = 1.5
    """The least by which a slow rank is longer on its own than the others are: as a share of a
    step, in seconds, and as a ratio."""
    slow_often: float = 0.8
    """Share of the steps in which it must be so."""
    slow_waited: float = 0.3
    """The share of that excess that the others must be seen to wait."""


STANDARD = Policy()
"""The policy of a run whose steps are known; what it says of ranks, memory and proofs holds for all
runs."""
LOG_POLICY = Policy(floor_s=5.0, first_s=5.0, loops=False)
"""The policy for a command that is known by its log alone: its work between two reports is not
known. Two inspections take some 4 s, and the doubt is to be said within 10 s of the stall, in the
first phase too: such a run is given minutes of patience."""
QUIET = Policy(floor_s=0.0, first_s=0.0)
"""For one rank of a job that is overdue as a whole: does anything move in it?"""
