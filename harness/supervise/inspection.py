"""Two closer looks at a worker in doubt: when nothing in it moves, and when it is overdue."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from harness.detect import deadlock, endless_kernel, spinning
from harness.detect import tree as trees
from harness.detect.chain import bystanders
from harness.detect.chain.closure import against_alone, at_sight, prove
from harness.detect.chain.links import Ends, Node
from harness.detect.deadlock import Reason
from harness.detect.observation import Look, Observation
from harness.detect.policy import STANDARD, Policy
from harness.detect.tree import Tree, judge_tree
from harness.model.world import World
from harness.observe import platform
from harness.supervise import loops
from harness.supervise.debug import RunLog
from harness.supervise.duty import Duty, used
from harness.supervise.gather import Gatherer, StackTaker

_KEPT = 8
_EAGER = 12
_LATER = 4
"""After _EAGER looks only each _LATER-th is a deep one: it costs a millisecond or two."""
PROOFS = Duty(share=0.02, free_s=0.1, latest_s=5.0)
"""Attempts to prove. A proof of a tree of many threads may come so late."""
INSPECTIONS = Duty(share=0.02, free_s=1.0, latest_s=300.0)
"""Inspections that found that the run goes on, their tools included. One that is doubted, or that
may be in a loop, is looked at as often as any other."""
STANDS_S = 6.0
"""A run of which nothing moves for so long, after it did, has come to a stand."""
LONG_S = 60.0
"""A clock that has so much left is believed without a second look, where that would cost much."""
SOON_S, AT_ONCE = 5.0, 2
"""A clock that rings so soon may be that of a poll, which shows when it is armed anew: it is looked
at again at once, so often since the last progress."""
AGAIN = 2
"""However much an inspection costs: one whose clock has rung, or that was in one place, is looked
at again, so often since the last progress. One that polls at a longer beat, or that is in one long
call of a library, is not to be held at each of its rounds."""
WINDOW_S = 0.6
"""Each of the two windows of an inspection, long enough for a proof."""
SETTLE_S = 0.1
"""After a tool has let go of the tree, until its threads wait again where they did."""
CAPTURED = 6
"""Processes whose stacks are taken, at most."""
LONGEST_S = 30.0
"""Between two inspections, at most."""


class Prover:
    """Deep looks at a tree in which nothing moves: is it dead? Linux only."""

    def __init__(self, gatherer: Gatherer, log: RunLog | None = None) -> None:
        self._gatherer = gatherer
        self._log = log or RunLog(f"process {gatherer.pid}")
        self._looks: list[Look] = []
        """Those between which nothing has moved, as far as the watchdog can see."""
        self._still = 0
        self._next = 0.0
        """The time before which nothing is looked at again."""
        self.lacks_time = False
        """True if nothing is known against a proof but that it is too soon: the next look is not to
        be late, whatever this one took."""
        self._all_but_time = False
        """True if nothing else was found in all that was read for the last proof."""
        self._refused: Node | None = None
        """The thread that alone stood against the last proof: it is looked at first."""

    def look(self, still: bool) -> Observation | None:
        """Call at each look; `still` says that nothing has moved since the one before.

        Returns the observation that proves a deadlock, as soon as one does.
        """
        self.lacks_time = False
        if not still or not platform.current().shows_waits:
            self._looks.clear()
            self._still = 0
            self._all_but_time = False
            return None
        self._still += 1
        if time.monotonic() < self._next or (self._still > _EAGER and self._still % _LATER):
            return None
        began = time.thread_time()
        seen, again = self._prove()
        self._all_but_time &= self.lacks_time
        spent = time.thread_time() - began
        if not again and (rest := PROOFS.rest(spent)):
            self._next = time.monotonic() + rest
        return seen

    def _prove(self) -> tuple[Observation | None, bool]:
        """Look again, and prove; says too whether the next look may prove what this one did not."""
        # What the threads show by themselves is read first: most that stand still sleep.
        if (reason := self._at_sight()) is not None:
            self._looks.clear()
            self._log.refused((reason,))
            return None, False
        self._looks.append(self._gatherer.look())
        del self._looks[:-_KEPT]
        worlds = self._worlds(self._looks)
        if len(worlds) < STANDARD.proof_looks - 1:
            self.lacks_time = True
            return None, True
        # Who must be asked for its timers is asked before the last look: it all begins anew then.
        nodes = [
            Node(one.pid, thread.tid) for one in worlds[-1].processes for thread in one.threads
        ]
        against = tuple(deadlock.still(worlds, nodes))
        if any(reason.code != deadlock.TOO_SOON for reason in against):
            self._log.refused(against)
            del self._looks[:-1]  # nothing is proven by those from before it moved
            return None, True
        if against and self._all_but_time:
            self.lacks_time = True
            return None, True
        seen = self._gatherer.complete([tuple(self._looks)], with_gpu=False)
        worlds = self._worlds(seen.windows[-1])
        reasons = prove(worlds, seen)
        if not reasons:
            return seen, False
        self._log.refused(reasons)
        if (pids := deadlock.unasked(reasons)) and self._gatherer.ask(pids):
            # Their threads have moved: it is proven anew, by looks from now on.
            self._looks = [self._gatherer.look()]
            self.lacks_time = True
        else:
            self.lacks_time = {reason.code for reason in reasons} == {deadlock.TOO_SOON}
        self._all_but_time = self.lacks_time
        return None, self.lacks_time

    def _worlds(self, looks: Sequence[Look]) -> list[World]:
        pid = self._gatherer.pid
        return [look.worlds[pid] for look in looks if pid in look.worlds]

    def _at_sight(self) -> Reason | None:
        """The reason that a thread shows by itself; as a rule the one that did before."""
        here, node = platform.current(), self._refused
        thread = None if node is None else here.thread(node.pid, node.tid)
        if thread is not None and (reason := against_alone(thread, here.arch)) is not None:
            return reason
        found = at_sight(self._gatherer.glance(), here.arch)
        self._refused, reason = found or (None, None)
        return reason


class Inspected(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one inspection."""

    t: float
    """When it began."""
    tree: Tree
    observed: Observation
    alive: bool
    """True if what is waited for goes on by itself."""


class Inspector:
    """Observes an overdue worker, again and again, in a thread of its own."""

    def __init__(
        self,
        gatherer: Gatherer,
        folder: Path,
        policy: Policy,
        stop: threading.Event | None = None,
        log: RunLog | None = None,
        answers: Path | None = None,
    ) -> None:
        """Stacks go to FOLDER. Once `stop` is set, a tool that runs is ended.

        `answers` is the file in which a worker answers who asks for its Python stacks. It is asked
        where no tool knows them.
        """
        self._gatherer = gatherer
        self._folder = folder
        self._policy = policy
        self._log = log or RunLog(f"process {gatherer.pid}")
        self._stop = stop or threading.Event()
        self._answers = None if platform.current().shows_waits else answers
        self._thread: threading.Thread | None = None
        self._history: list[spinning.Inspection] = []
        self._kernel: list[tuple[float, bool]] = []
        self._beats = bystanders.History()
        self._since = 0.0
        self._next = 0.0
        self._spared = 0.0
        """The time up to which the CPU is left to others, after an inspection that took long."""
        self._moved = False
        """True if anything has moved since the last inspection began."""
        self._stands: float | None = None
        """The time since when nothing has."""
        self._pause = 1.0
        self._number = 0
        self._at_once, self._again = AT_ONCE, AGAIN
        self._error: Exception | None = None
        self.last: Inspected | None = None
        """The last one since the last progress."""

    @property
    def busy(self) -> bool:
        """True if a tool may hold the worker at this moment: what is seen of it says nothing."""
        return self._thread is not None and self._thread.is_alive()

    def noticed(self, still: bool, now: float) -> None:
        """Call at each look; `still` says that nothing has moved since the one before.

        A run that went on when it was inspected, and has come to a stand since, is inspected again
        however long it is to be spared: it may have died. While a tool may hold it, its rest says
        nothing.
        """
        if self.busy:
            return
        if not still:
            self._moved, self._stands = True, None
            return
        if self._stands is None:
            self._stands = now
        if self._moved and now - self._stands >= STANDS_S:
            self._spared = 0.0

    def look(
        self,
        now: float,
        last_progress: float,
        trains: tuple[int, int] | None = None,
        ranks: Mapping[int, int] | None = None,
    ) -> Inspected | None:
        """Call while the worker is overdue; the last inspection since the last progress.

        Raises what an inspection has raised.
        """
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if last_progress != self._since:
            self._since = last_progress
            # Others: an inspection of before may still add to its own.
            self._history, self._kernel, self._beats = [], [], bystanders.History()
            self._gatherer.reset()
            self.last = None
            self._pause, self._next, self._spared = 1.0, now, 0.0
            self._at_once, self._again = AT_ONCE, AGAIN
        if now >= max(self._next, self._spared) and not self.busy:
            # Each one makes the next one rarer, for it may stop the worker for a moment.
            self._next = now + self._pause + 2 * WINDOW_S
            self._pause = min(LONGEST_S, 1.5 * self._pause)
            self._moved = False
            self._thread = threading.Thread(
                target=self._try,
                args=(trains, dict(ranks or {})),
                name="inspector",
                daemon=True,
            )
            self._thread.start()
        return self.last

    def _try(self, trains: tuple[int, int] | None, ranks: dict[int, int]) -> None:
        try:
            self._inspect_at_a_share(trains, ranks)
        except Exception as error:
            self._error = error

    def _inspect_at_a_share(self, trains: tuple[int, int] | None, ranks: dict[int, int]) -> None:
        began = used(self._stop)
        with self._gatherer.undisturbed:
            self._inspect(trains, ranks)
        rest, last = INSPECTIONS.rest(used(self._stop) - began), self.last
        if rest and last is not None and last.alive and not spinning.may_spin(self._history):
            left = _clock(last.tree, last.observed.root)
            if left is None and self._history and self._history[-1].stays:
                left = 0.0  # in code without names a loop looks like one call, by chance
            if self._again and left is not None and left < rest:
                self._again, rest = self._again - 1, left
            self._spared = time.monotonic() + rest

    def _inspect(self, trains: tuple[int, int] | None, ranks: dict[int, int]) -> None:
        began, change, since = time.monotonic(), msgspec.structs.replace, self._since
        spent = used(self._stop)
        gatherer, history, kernel = self._gatherer, self._history, self._kernel
        beats = self._beats
        self._number += 1
        home = self._folder / str(self._number)
        taker = StackTaker(self._stop, lambda pid: home if pid == gatherer.pid else home / str(pid))
        windows = [gatherer.window(WINDOW_S, STANDARD.proof_looks)]
        if not windows[0][-1].processes:
            return
        seen = change(gatherer.complete(windows, self._stop), trains=trains, ranks=ranks)
        tree = judge_tree(seen, self._policy)
        if used(self._stop) - spent > INSPECTIONS.free_s and _sleeps_long(tree, seen.root):
            # Stacks of thousands of threads would cost as much again, and say no more.
            self._found(since, began, tree, seen, lives=True)
            return
        pids = self._wanted(tree, seen)
        taker.take(pids, "1", signaled=self._signaled)
        gatherer.touched()
        seen = change(seen, doings=beats.doings)
        variables = loops.variables(seen, pids, self._policy, self._stop)
        self._stop.wait(SETTLE_S)
        windows.append(gatherer.window(WINDOW_S, STANDARD.proof_looks))
        if not windows[-1][-1].processes:
            return
        seen = change(gatherer.complete(windows, self._stop), trains=trains, ranks=ranks)
        if seen.shows_waits or not taker.shows_all(windows):
            taker.take(pids, "2", signaled=self._signaled)
            gatherer.touched()
        if not seen.shows_waits:
            gatherer.look()  # from here on, who wakes was not waked by a tool
        seen = change(seen, stacks=taker.stacks())
        seen = change(seen, varied=loops.varied(variables, self._stop))
        history.append(loops.inspect(seen, self._policy, self._stop))
        beats.learn(began, seen, self._policy, variables)
        spins = spinning.spins(history, self._policy)
        aside = beats.bystanders | bystanders.beside_locks(seen, self._policy)
        seen = change(seen, spins=spins, may_work=spinning.may_work(history))
        seen = change(seen, only_wait=spinning.only_wait(history))
        seen = change(seen, vain=beats.vain, bystanders=aside, doings=beats.doings)
        tree = judge_tree(seen, self._policy)
        if (asked := trees.unasked(seen, self._policy)) and gatherer.ask(asked):
            # Their threads have moved: what was seen before that proves nothing.
            windows = [gatherer.window(WINDOW_S, STANDARD.proof_looks)]
            if not windows[-1][-1].processes:
                return
            again = gatherer.complete(windows, self._stop)
            seen = change(seen, windows=again.windows, links=again.links, futexes=again.futexes)
            seen = change(seen, rings=again.rings)
            tree = judge_tree(seen, self._policy)
        kernel.append((began, endless_kernel.waits_still(tree, seen)))
        if lasted := endless_kernel.lasted(kernel):
            seen = change(seen, kernel_s=lasted)
            tree = judge_tree(seen, self._policy)
        lives = alive(tree, seen) and not endless_kernel.endless(kernel)
        self._found(since, began, tree, seen, lives)

    def _found(
        self, since: float, began: float, tree: Tree, seen: Observation, lives: bool
    ) -> None:
        """Keep what was found, unless a step has come meanwhile."""
        if since == self._since and not self._stop.is_set():
            self.last = Inspected(t=began, tree=tree, observed=seen, alive=lives)
            self._log.inspected(tree, self.last.alive)
            if self._at_once and (left := _clock(tree, seen.root)) is not None and left < SOON_S:
                self._at_once -= 1
                self._next = 0.0

    def _signaled(self, pid: int) -> Path | None:
        return self._answers if pid == self._gatherer.pid else None

    @staticmethod
    def _wanted(tree: Tree, seen: Observation) -> list[int]:
        """Whose stacks are taken: the root's and those of the processes that it waits for.

        Where waits are not shown, it may wait for any of the tree.
        """
        ranks = set(seen.ranks.values())
        if ranks:
            return [one.pid for one in tree.processes if one.pid in ranks][:CAPTURED]
        listed = [process.pid for process in seen.last.processes]
        if not seen.shows_waits:
            # Only its stack will tell what the root waits for.
            return listed[:CAPTURED]
        root = tree.by_pid.get(seen.root)
        on = [pid for pid in (root.on if root else ()) if pid in listed]
        return list(dict.fromkeys([seen.root, *on]))[:CAPTURED]


def _sleeps_long(tree: Tree, root: int) -> bool:
    """True if the root waits for a clock that rings only after some time."""
    return (_clock(tree, root) or 0.0) >= LONG_S


def _clock(tree: Tree, root: int) -> float | None:
    """Seconds until the clock rings that the root waits for; None where it waits for none."""
    judged = tree.by_pid.get(root)
    if judged is None or judged.chain is None or tree.job is not None:
        return None
    end = judged.chain.end
    return end.left_s if end.kind is Ends.CLOCK and end.sure else None


def alive(tree: Tree, seen: Observation) -> bool:
    """True if the root, or one of the ranks that it has started, goes on by itself."""
    ranks = set(seen.ranks.values())
    pids = [one.pid for one in tree.processes if one.pid in ranks] or [seen.root]
    judged = [tree.by_pid[pid] for pid in pids if pid in tree.by_pid]
    return any(one.chain is None or one.chain.alive for one in judged) or not judged
