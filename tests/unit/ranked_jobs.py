"""Made-up jobs of several ranks with one fault each, as their beats and as seen from outside.

Nothing here knows how a verdict is reached: a job is a little story that is told step by step, and
the fault is known because it was put there.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from harness.detect.ranks import JobColumns, RankState
from harness.model import (
    BuiltBeat,
    CollectiveBeat,
    EndBeat,
    ErrorBeat,
    Position,
    StartBeat,
    StepBeat,
)
from harness.stacks.wait_rules import Category
from harness.stacks.wait_site import WaitSite

T0, STEP_S = 1000.0, 0.1
OPS = (
    ("all_sum", (1000,), "float32"),
    ("all_gather", (3,), "float32"),
    ("all_sum", (64, 64), "bfloat16"),
    ("all_max", (), "float32"),
    ("all_sum", (512,), "float32"),
)
LOST = (
    "[ring] connection to a peer was lost",
    "[ring] Receiving from socket 7 failed with errno 104",
    "[ring] Couldn't connect (error: 111)",
    "[jaccl] Recv failed with errno=54",
    "[Rank 1] connect() failed after 300000 milliseconds and 599 retries: Connection refused",
)
"""What MLX's backends say of a peer that is gone."""
OWN_FAULTS = (
    "no such file: /data/peer_reviews/17.json",
    "the socket of the data server is closed",
    "Connection reset by peer",
    "NCCL_DEBUG is not a number",
    "MPI_COMM is not set",
    "[ring] Send only supported to direct neighbors but tried to send to 3 from 1",
)
"""What sounds like it, and is a rank's own fault."""
REACTIONS = ("hangs", "spins", "raises", "aborts", "terminated")


@dataclass
class Told:
    """One rank while its story is told."""

    rank: int
    job: JobColumns
    host: str | None = None
    t: float = T0
    issued: int = 0
    fields: dict = field(default_factory=dict)

    def write(self, beat):
        self.job[self.rank].add(beat)

    def start(self):
        self.write(StartBeat(t=self.t, schema=1, pid=9 + self.rank, wall=0.0, scenario="x"))
        self.at(-1, "setup")

    def at(self, step, phase):
        self.fields["position"] = Position(step, phase, self.t)

    def issue(self, step, ops):
        for op, shape, dtype in ops:
            self.write(
                CollectiveBeat(t=self.t, n=self.issued, step=step, op=op, shape=shape, dtype=dtype)
            )
            self.issued += 1

    def enter(self, step, ops, own=0.03):
        """Up to the evaluation of a step."""
        self.at(step, "data")
        self.t += own / 2
        self.at(step, "backward")
        self.issue(step, ops)
        self.t += own / 2
        self.at(step, "eval")
        self.write(BuiltBeat(t=self.t, step=step))

    def leave(self, step, own=0.03, took=STEP_S, **more):
        self.t += took - own
        phases = {"data": own / 2, "backward": own / 2, "eval": took - own}
        self.write(StepBeat(t=self.t, step=step, phases=phases, **more))

    def step(self, step, ops, own=0.03, took=STEP_S, **more):
        self.enter(step, ops, own)
        self.leave(step, own, took, **more)

    def over(self, steps):
        self.at(steps, "exit")
        self.write(EndBeat(t=self.t, steps=steps, drain_s=0.0))
        self.fields |= {"exit_code": 0, "ended_t": self.t + 0.2}

    def dies(self, signal, t):
        self.fields |= {"signal": signal, "ended_t": t + 0.25}

    def raises(self, kind, text, t):
        self.write(ErrorBeat(t=t, type=kind, message=text, traceback="..."))
        self.fields |= {"exit_code": 1, "ended_t": t + 0.4}

    def state(self):
        return RankState(
            rank=self.rank, columns=self.job[self.rank], host=self.host,
            **({"process": "S"} | self.fields),
        )  # fmt: skip


@dataclass
class Story:
    """A job, and what is wrong with it."""

    told: list[Told]
    code: str | None = None
    culprits: tuple[int, ...] = ()
    kind: str | None = None
    n: int | None = None
    hung: bool = False
    now: float = T0

    @property
    def states(self):
        return [one.state() for one in self.told]


def begun(size, per_step, steps, seed=0):
    """A job in which all ranks have done `steps` steps."""
    lot = random.Random(seed)
    job = JobColumns(size)
    told = [Told(rank, job) for rank in range(size)]
    ops = OPS[:per_step]
    for one in told:
        one.t += lot.random() / 10
        one.start()
        for step in range(steps):
            one.step(step, ops)
    return told, ops


def reacted(told, among, lot, since, reactions=REACTIONS):
    """Each of `among`, caught in an evaluation, reacts in its own way; whether any is left."""
    left = False
    for rank in among:
        one, reaction = told[rank], lot.choice(reactions)
        if reaction == "raises":
            one.raises("RuntimeError", lot.choice(LOST), since + lot.uniform(0.001, 2))
        elif reaction == "aborts":
            one.dies("SIGABRT", since + lot.uniform(0.3, 2))
        elif reaction == "terminated":
            one.dies("SIGTERM", since + lot.uniform(1, 3))
        else:
            left = True
            spins = reaction == "spins"
            one.fields |= {"process": "R" if spins else "S", "cpu": 0.9 if spins else 0.0}
            if lot.random() < 0.5:
                category = lot.choice((Category.COLLECTIVE, Category.STREAM_EVALUATION))
                one.fields["wait"] = WaitSite(category=category, description="waits")
    return left


def enters(one, at, ops, place, lot):
    """Up to somewhere in a step: `place` of its collectives are issued."""
    one.at(at, "data")
    one.t += 0.01
    if place:
        one.at(at, "backward")
        one.issue(at, ops[:place])
    if place == len(ops) and lot.random() < 0.5:
        one.at(at, "eval")
        one.write(BuiltBeat(t=one.t, step=at))


def gone(size, per_step, at, seed, how):
    """One rank goes in the middle of step `at`, in one of several ways."""
    lot = random.Random(seed)
    told, ops = begun(size, per_step, at, seed)
    bad = lot.randrange(size)
    enters(told[bad], at, ops, lot.randrange(per_step + 1), lot)
    others = [rank for rank in range(size) if rank != bad]
    had_all = told[bad].issued == per_step * (at + 1)
    for rank in others:
        if had_all and lot.random() < 0.3:
            told[rank].step(at, ops)  # it got what it waited for, and goes on to the next
            told[rank].enter(at + 1, ops)
        else:
            told[rank].enter(at, ops)
    since = max(one.t for one in told) + 0.05
    story = Story(told, "rank_died", (bad,))
    one = told[bad]
    if how == "killed":
        one.dies("SIGKILL", since)
    elif how == "crashes":
        one.dies(lot.choice(("SIGSEGV", "SIGBUS")), since)
    elif how == "raises":
        one.raises("ValueError", lot.choice(("the batch is empty", *OWN_FAULTS)), since)
    elif how == "exits":
        one.fields |= {"exit_code": 3, "ended_t": since + 0.01}
    elif how == "vanishes":
        one.fields |= {"ended_t": since + 0.01}
    else:
        one.fields |= {"exit_code": 0, "ended_t": since + 0.01}
        story.code = "rank_left_early"
    reactions = REACTIONS if how in ("killed", "crashes", "raises") else REACTIONS[:3]
    left = reacted(told, others, lot, since + (0.02 if how != "killed" else 0.0), reactions)
    story.now = since + 12
    story.hung = left and lot.random() < 0.5
    return story


def breaks_off(size, per_step, at, seed):
    """One rank leaves its loop after step `at`, says so and ends well; the others go on."""
    lot = random.Random(seed)
    told, ops = begun(size, per_step, at + 1, seed)
    bad = lot.randrange(size)
    told[bad].over(at + 1)
    others = [rank for rank in range(size) if rank != bad]
    for rank in others:
        told[rank].enter(at + 1, ops)
    left = reacted(told, others, lot, told[bad].t + 0.3, REACTIONS[:3])
    return Story(told, "rank_left_early", (bad,), hung=left and lot.random() < 0.5, now=T0 + 100)


def stuck(size, per_step, at, seed, how):
    """One rank stays where it is, in step `at`: stopped, blocked, or cut off with its host."""
    lot = random.Random(seed)
    told, ops = begun(size, per_step, at, seed)
    bad = lot.randrange(size)
    together = (bad,)
    if how == "cut off":
        together = tuple(sorted({bad, lot.randrange(size)}))
        together = together if len(together) < size else (bad,)
    place = lot.randrange(per_step) if how != "cut off" else 0
    for one in told:
        if one.rank in together:
            enters(one, at, ops, place, lot)
        else:
            one.enter(at, ops)
    since = max(one.t for one in told)
    for rank in together:
        if how == "stopped":
            told[rank].fields |= {"process": "T", "process_since": since}
        elif how == "cut off":
            told[rank].fields |= {"cut_off_since": since, "process": None}
            told[rank].host = "b"
    others = [rank for rank in range(size) if rank not in together]
    reactions = REACTIONS if how == "cut off" else REACTIONS[:2]
    left = reacted(told, others, lot, since + 0.5, reactions)
    code = {"stopped": "rank_stopped", "blocked": "rank_silent", "cut off": "rank_cut_off"}[how]
    hung = how == "blocked" or (left and lot.random() < 0.5)
    return Story(told, code, together, hung=hung, now=since + 12)


def evaluates_twice(size, per_step, at, seed, how):
    """Each step evaluates after its first collective and again after the others."""
    lot = random.Random(seed)
    told, ops = begun(size, per_step + 1, at, seed)
    bad = lot.randrange(size)
    for one in told:
        one.enter(at, ops[:1])
        if one.rank == bad or (how == "healthy" and lot.random() < 0.5):
            one.at(at, "update")
        else:
            one.issue(at, ops[1:])
            one.at(at, "eval")
    story = Story(told, now=max(one.t for one in told) + 12)
    if how == "blocked":
        story.code, story.culprits, story.hung = "rank_silent", (bad,), True
    return story


def never_starts(size, per_step, at, seed):
    lot = random.Random(seed)
    told, _ = begun(size, per_step, 0, seed)
    job = JobColumns(size)
    bad = lot.randrange(size)
    told[bad] = Told(bad, job, fields={"started": False, "process": None})
    others = [rank for rank in range(size) if rank != bad]
    hung = lot.random() < 0.5
    if lot.random() < 0.3:
        told[bad].fields |= {"exit_code": 127, "ended_t": T0 + 0.5}
        reacted(told, others, lot, T0 + 0.6, REACTIONS[:3])
    return Story(told, "rank_never_started", (bad,), hung=hung, now=T0 + 40)


def never_joins(size, per_step, at, seed):
    """One rank is up and does not come to where the others wait for it."""
    lot = random.Random(seed)
    told, _ = begun(size, per_step, 0, seed)
    bad = lot.randrange(size)
    for one in told:
        one.at(-1, lot.choice(("start", "import")) if one.rank == bad else "distributed_init")
    others = [rank for rank in range(size) if rank != bad]
    if lot.random() < 0.5:
        reacted(told, others, lot, T0 + 5, REACTIONS[:3])
        if all("ended_t" in told[rank].fields for rank in others):
            told[bad].dies("SIGTERM", T0 + 9)
    return Story(told, "rank_never_started", (bad,), hung=True, now=T0 + 40)


def differs(size, per_step, at, seed, how, steps=12):
    """One rank issues something else in step `at`: skips one, has one too many, or another one."""
    lot = random.Random(seed)
    told, ops = begun(size, per_step, at, seed)
    bad, place = lot.randrange(size), lot.randrange(per_step)
    op, shape, dtype = ops[place]
    others = [rank for rank in range(size) if rank != bad]
    replaced = {
        "skips": (),
        "extra": (ops[place], ("all_min", (5,), "int32")),
        "op": (("all_min", shape, dtype),),
        "shape": ((op, (*shape, 2), dtype),),
        "dtype": ((op, shape, "float16"),),
    }[how]
    wrong = (*ops[:place], *replaced, *ops[place + 1 :])
    story = Story(told, "collective_mismatch", (bad,), {"skips": "missing"}.get(how, how))
    # The first place of the step at which the two lists differ.
    first = next(
        (i for i, (a, b) in enumerate(zip(ops, wrong, strict=False)) if a != b),
        min(len(ops), len(wrong)),
    )
    story.n = at * per_step + first
    silently = how == "skips" and lot.random() < 0.6
    if silently and per_step == 1:
        # It is one collective short from now on, and ends while the others wait for the last.
        told[bad].step(at, wrong)
        for one in told:
            for step in range(at, steps - 1):
                one.step(step + (one.rank == bad), ops)
            if one.rank != bad:
                one.enter(steps - 1, ops)
        told[bad].over(steps)
    elif silently:
        ahead = lot.randrange(3)
        for one in told:
            one.step(at, wrong if one.rank == bad else ops)
            for step in range(at + 1, at + 1 + ahead):
                one.step(step, ops)
            one.enter(at + 1 + ahead, ops)
    else:
        for one in told:
            one.enter(at, wrong if one.rank == bad else ops)
    since = max(one.t for one in told)
    alive = [rank for rank in range(size) if "ended_t" not in told[rank].fields]
    left = reacted(told, alive if not silently else others, lot, since, REACTIONS[:3])
    story.hung = bool(left)
    story.now = since + 12
    return story


def slow(size, per_step, at, seed):
    """One rank takes longer on its own; the others wait for it in each evaluation."""
    lot = random.Random(seed)
    told, ops = begun(size, per_step, 0, seed)
    bad, late = lot.randrange(size), lot.uniform(0.08, 2.0)
    for step in range(at + 8):
        for one in told:
            own = (0.03 + late * (one.rank == bad)) * lot.uniform(0.9, 1.1)
            one.step(step, ops, own=own, took=late * 1.2 + 0.1)
    for one in told:
        if one.rank == bad:
            one.at(at + 8, "data")
        else:
            one.enter(at + 8, ops)
    return Story(told, "rank_slow", (bad,), now=max(one.t for one in told) + 0.1)


def healthy(size, per_step, at, seed):
    """All is well: ranks somewhere in a step, one step apart at most, or done."""
    lot = random.Random(seed)
    told, ops = begun(size, per_step, at, seed)
    ending = lot.random() < 0.4
    for one in told:
        if ending and lot.random() < 0.5:
            one.over(at)
        elif ending and at:
            one.at(at, lot.choice(("drain", "digest", "exit")))
        elif not ending:
            enters(one, at, ops, lot.randrange(per_step + 1), lot)
    return Story(told, None, (), now=max(one.t for one in told) + lot.uniform(0, 20))


def compiled(size, per_step, at, seed, how):
    """Collectives show in the steps that are traced: the first, and others by each rank's own."""
    lot = random.Random(seed)
    told, ops = begun(size, per_step, 0, seed)
    for one in told:
        for step in range(at + 2):
            traces = step == 0 or lot.random() < 0.1
            one.step(step, ops if traces else (), traces=1, calls=step + 1)
    bad = lot.randrange(size)
    for one in told:
        if one.rank == bad:
            one.at(at + 2, "data")
        else:
            one.enter(at + 2, ())
    since = max(one.t for one in told)
    story = Story(told, None, (), now=since + 12)
    if how == "healthy":
        return story
    story.culprits = (bad,)
    reacted(told, [one.rank for one in told if one.rank != bad], lot, since, REACTIONS[:2])
    if how == "blocked":
        story.code, story.hung = "rank_silent", True
    elif how == "stopped":
        story.code, told[bad].fields["process"] = "rank_stopped", "T"
    else:
        story.code = "rank_died"
        told[bad].dies("SIGKILL", since)
    return story
