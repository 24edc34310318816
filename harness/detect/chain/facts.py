"""Questions that the chain asks of an observation: threads, stacks, activity, relations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from harness import syscalls
from harness.detect.activity import Motion, Pace, has_ended, motion
from harness.detect.chain.groups import Others
from harness.detect.chain.links import Node, Wait
from harness.detect.observation import Observation
from harness.detect.policy import Policy
from harness.model import Process, Thread
from harness.model.world import Futex, Link, Surroundings
from harness.stacks import frame_names, turns, wait_site
from harness.stacks.parse import ThreadStack
from harness.stacks.wait_rules import ENDS, LOCKS, SERVES, SERVES_MPI, Category
from harness.stacks.wait_site import WaitSite
from harness.text import late

_STANDS_FOR = (
    (late.compile(r"nanosleep"), "clock_nanosleep"),
    (late.compile(r"^futex_|^do_futex|^rt_mutex"), "futex"),
    (late.compile(r"^(do|kernel)_wait(4|id)?$"), "wait4"),
    (late.compile(r"sigsuspend|sigtimedwait|_pause$|^pause"), "rt_sigsuspend"),
    (late.compile(r"^do_msg|^wq_sleep|mq_timed"), "msgrcv"),
    (late.compile(r"poll|select"), "poll"),
    (late.compile(r"pipe|eventfd|^sk_|skb|tcp|unix|inet_|tty|wait_woken|sock"), "read"),
)
"""The system calls in which a thread sits that waits in these functions of the kernel."""
_DRIVER = late.compile(r"^cuda-EvtHandlr$|^cuda\d{6,}$")
"""Names that NVIDIA's driver gives to its own threads. Their stacks have no names."""
_TICKS = 100
"""The ticks in a second of the clock that tells a process's start."""


@dataclass(frozen=True)
class Facts:
    """An observation, with what the chain asks of it computed once."""

    observed: Observation
    policy: Policy = field(default_factory=Policy)
    apart: frozenset[int] = frozenset()
    """Processes that are not followed: the other ranks of a job."""

    @cached_property
    def processes(self) -> dict[int, Process]:
        """All processes of the last look that have not ended, by pid."""
        return {p.pid: p for p in self.observed.last.processes if not has_ended(p)}

    @cached_property
    def _motions(self) -> dict[int, Motion]:
        return {}

    def motion(self, pid: int) -> Motion:
        """The motion of a process between the looks."""
        if pid not in self._motions:
            self._motions[pid] = motion(self.observed.windows, pid)
        return self._motions[pid]

    def pace(self, node: Node) -> Pace | None:
        """The motion of a thread between the looks."""
        return self.motion(node.pid).threads.get(node.tid)

    def busy(self, node: Node) -> bool:
        """True if a thread uses the CPU, or wants to."""
        pace = self.pace(node)
        return pace is not None and (pace.cpu >= self.policy.cpu_share or pace.runnable)

    @cached_property
    def waits(self) -> dict[Node, Wait]:
        """The waits that were followed, by thread: many ways lead to one."""
        return {}

    def thread(self, node: Node) -> Thread | None:
        """The thread as the last look shows it."""
        return self._threads.get(node)

    @cached_property
    def _threads(self) -> dict[Node, Thread]:
        every = self.processes.values()
        return {Node(one.pid, thread.tid): thread for one in every for thread in one.threads}

    @cached_property
    def by_tid(self) -> dict[int, Node]:
        """All threads by number."""
        return {node.tid: node for node in self._threads}

    def call(self, thread: Thread) -> str:
        """Name of the system call that a thread is in; empty when it is in none or not known.

        Where a debugger's rights are needed to read it, the kernel function stands in for it.
        """
        if thread.syscall is None:
            wchan = thread.wchan or ""
            return next((call for words, call in _STANDS_FOR if words.search(wchan)), "")
        if thread.syscall < 0:
            return ""
        return syscalls.name(thread.syscall, self.observed.arch) or ""

    def threads(self, pid: int) -> tuple[Node, ...]:
        """All threads of a process."""
        return self._nodes.get(pid, ())

    @cached_property
    def _nodes(self) -> dict[int, tuple[Node, ...]]:
        return {
            pid: tuple(Node(pid, thread.tid) for thread in process.threads)
            for pid, process in self.processes.items()
        }

    def others(self, node: Node) -> Others:
        """The other threads of its process."""
        return Others(node, (self.threads(node.pid),))

    def at_work(self, pid: int) -> tuple[Node, ...]:
        """The threads of a process, without those of pools that have nothing to do."""
        every = self.threads(pid)
        return self.group("at work", pid, lambda: tuple(n for n in every if not self.idle(n)))

    def group(self, name: str, pid: int, make: Callable[[], tuple[Node, ...]]) -> tuple[Node, ...]:
        """The threads that `make` finds for any thread of a process: the same object each time."""
        if (name, pid) not in self._groups:
            self._groups[name, pid] = make()
        return self._groups[name, pid]

    @cached_property
    def _groups(self) -> dict[tuple[str, int], tuple[Node, ...]]:
        return {}

    def children(self, pid: int) -> tuple[int, ...]:
        """The children of a process that have not ended."""
        return tuple(p.pid for p in self.processes.values() if p.ppid == pid)

    def surroundings(self, pid: int) -> Surroundings | None:
        """The things that could wake a process from outside its threads, where they were read."""
        world = self.observed.last.worlds.get(self.observed.root)
        return None if world is None else world.surroundings.get(pid)

    def interrupted(self, node: Node) -> bool:
        """True if a signal may be what ends its waits now and then: of a timer, or of a child that
        ends. The main thread takes them."""
        around = self.surroundings(node.pid)
        if around is None or not self.is_main(node) or self.in_pieces(node):
            return False
        return bool(around.alarm or around.timers or around.child_handler)

    def in_pieces(self, node: Node) -> bool:
        """True if it wakes more often than a heartbeat does."""
        pace, seconds = self.pace(node), self.motion(node.pid).seconds
        if pace is None or not pace.sleeps:
            return False
        return pace.sleeps >= self.policy.pieces * seconds * (1.0 - pace.queued)

    def link(self, node: Node) -> tuple[Link, ...]:
        """The things behind the files that a thread waits for."""
        return self.observed.links.get(node.tid, ())

    def futex(self, node: Node) -> Futex | None:
        """The futex that a thread waits in."""
        return self.observed.futexes.get(node.tid)

    def stack(self, node: Node, capture: int = -1) -> ThreadStack | None:
        """The stack of a thread; `capture` counts from the last one, -1."""
        captures = self._stacks.get(node.pid, ())
        return captures[capture].get(node.tid) if len(captures) >= -capture else None

    @cached_property
    def _stacks(self) -> dict[int, tuple[dict[int, ThreadStack], ...]]:
        return {
            pid: tuple(_by_thread(self.main(pid).tid, capture) for capture in captures)
            for pid, captures in self.observed.stacks.items()
        }

    def site(self, node: Node) -> WaitSite | None:
        """The activity that the stack of a thread shows."""
        if node not in self._sites:
            self._sites[node] = self._site(node)
        return self._sites[node]

    @cached_property
    def _sites(self) -> dict[Node, WaitSite | None]:
        return {}

    def _site(self, node: Node) -> WaitSite | None:
        stack = self.stack(node)
        if stack is None:
            return None
        pace = self.pace(node)
        if pace is not None and set(pace.states) <= set("SD") and not pace.wakes:
            stack = msgspec.structs.replace(stack, running=False)
        return wait_site.wait_site(stack)

    def category(self, node: Node) -> Category | None:
        """The category of its wait site."""
        site = self.site(node)
        return site.category if site else None

    def at_lock(self, node: Node) -> bool:
        """True if it waits for a lock, which one thread has and will give back."""
        site = self.site(node)
        return site is not None and site.description in LOCKS

    def joins(self, node: Node) -> bool:
        """True if its wait site is the end of another thread."""
        site = self.site(node)
        return site is not None and site.description == ENDS

    def place(self, node: Node) -> str | None:
        """The user's own line that a thread is in."""
        site = self.site(node)
        return site.place if site else None

    def went_on(self, node: Node) -> bool | None:
        """True if a thread was elsewhere in the last capture than in the one before it, or in
        several places during one of them."""
        before, after = self.stack(node, -2), self.stack(node)
        if any(one is not None and wait_site.moves(one) for one in (before, after)):
            return True
        if before is None or after is None:
            return None
        return frame_names.place(before) != frame_names.place(after)

    def in_places(self, node: Node) -> int:
        """The number of places of the user's code in which the last capture saw a thread."""
        stack = self.stack(node)
        return 0 if stack is None else wait_site.places(stack)

    def only_waits(self, node: Node) -> bool:
        """True if it was seen in a native function that does nothing but wait for another thread.

        Between two calls of it the last capture may have caught it in the interpreter.
        """
        captures = range(len(self.observed.stacks.get(node.pid, ())))
        stacks = [self.stack(node, -1 - number) for number in captures]
        seen = any(stack is not None and turns.only_waits(stack) for stack in stacks)
        return seen or node.tid in self.observed.only_wait

    def moves(self, node: Node) -> bool | None:
        """True if the user's own variables or lines of a thread were seen to change, False if its
        variables were seen to stand still; None where nothing shows it."""
        return True if self.went_on(node) else self.observed.varied.get(node.tid)

    def often(self, pid: int) -> dict[Node, bool | None]:
        """The threads of a process that wake quickly again and again; for each what `moves` says.

        The time in which it wanted a core and had none does not count.
        """
        if pid not in self._often:
            moved = self.motion(pid)
            self._often[pid] = {
                node: self.moves(node)
                for tid, pace in moved.threads.items()
                if moved.seconds
                and (pace.sleeps or 0) >= self.policy.quick * moved.seconds * (1.0 - pace.queued)
                and (pace.sleeps or 0) >= self.policy.rearmed
                and (node := Node(pid, tid)) in self._threads
            }
        return self._often[pid]

    @cached_property
    def _often(self) -> dict[int, dict[Node, bool | None]]:
        return {}

    def often_by_moves(self, pid: int) -> Counter[bool | None]:
        """The number of such threads by what `moves` says of them."""
        if pid not in self._counts:
            self._counts[pid] = Counter(self.often(pid).values())
        return self._counts[pid]

    @cached_property
    def _counts(self) -> dict[int, Counter[bool | None]]:
        return {}

    def in_mlx(self, node: Node) -> bool:
        """True if a frame of MLX is on its stack."""
        stack = self.stack(node)
        return stack is not None and any(
            not frame.python and "mlx::core" in frame.function for frame in stack.frames
        )

    def name(self, node: Node) -> str:
        """`main` or `thread loader`; of another process than the root, with its process."""
        thread = self.thread(node)
        if self.is_main(node):
            who = "main"
        else:
            site = self.site(node)
            title = (site.thread if site else "") or (thread.name if thread else "")
            program = self.processes.get(node.pid)
            # Threads without a name of their own have that of their program.
            own = title if program is None or title != program.name else ""
            who = f"thread {own or node.tid}"
        if node.pid == self.observed.root:
            return who
        process = self.observed.name(node.pid)
        return process if who == "main" else f"{who} of {process}"

    def candidates(self, pid: int) -> tuple[Node, ...]:
        """The threads of a process that may be the one that trains, the main one first.

        Beside the main thread these are threads with a frame of MLX that are no idle workers, and
        those that have used a fifth of the process's CPU time, and not in a beat that goes on. A
        main thread that has ended leaves its work to any of the others.
        """
        if pid not in self._chosen:
            self._chosen[pid] = self._candidates(pid)
        return self._chosen[pid]

    @cached_property
    def _chosen(self) -> dict[int, tuple[Node, ...]]:
        return {}

    def _candidates(self, pid: int) -> tuple[Node, ...]:
        process, main = self.processes.get(pid), self.thread(self.main(pid))
        if process is None or main is None:
            return ()
        if main.state in "ZX":
            others = tuple(self.others(self.main(pid)))
            return tuple(node for node in others if not self.idle(node)) or others
        used = sum(thread.cpu_s for thread in process.threads)
        chosen = [
            Node(pid, thread.tid)
            for thread in process.threads
            if thread.tid == process.main_thread
            or (
                used > 0
                and thread.cpu_s >= self.policy.trainer_share * used
                and not self._beats(pid, thread)
            )
            or self.in_mlx(Node(pid, thread.tid))
        ]
        busy = [node for node in chosen if self.is_main(node) or not self.idle(node)]
        return tuple(sorted(busy, key=lambda node: not self.is_main(node)))

    def _beats(self, pid: int, thread: Thread) -> bool:
        """True if it wakes again and again, and has always used as little of the CPU as it does
        now. One that trains has used more before it came to wait."""
        pace = self.pace(Node(pid, thread.tid))
        more = self.observed.last.more.get(pid)
        if pace is None or more is None or more.started is None:
            return False
        age = more.age_s or self.observed.last.t - more.started / _TICKS
        woke = max(pace.sleeps or 0, self.observed.rearmed.get(thread.tid, 0))
        if woke < self.policy.rearmed or age <= 0 or pace.wanted >= self.policy.poll_cpu_share:
            return False
        seconds = self.motion(pid).seconds
        # A tick may lie just before or behind each of two windows.
        used = pace.cpu * seconds + 2 * self.policy.tick_s
        return used >= self.policy.steady_share * seconds * thread.cpu_s / age

    def main(self, pid: int) -> Node:
        """The main thread of a process."""
        process = self.processes.get(pid)
        return Node(pid, pid if process is None else process.main_thread)

    def is_main(self, node: Node) -> bool:
        """True if it is the main thread of its process."""
        return node == self.main(node.pid)

    def idle(self, node: Node) -> bool:
        """True if it is a thread of a pool, or of a stream of MLX, that has nothing to do, or one
        that serves a library. One that is joined has to end, and so something to do."""
        if node not in self._idle:
            call = self.call(thread) if (thread := self.thread(node)) else ""
            waits = call in ("", "futex", "futex_wait", "futex_waitv")
            idle = waits and self.category(node) is Category.IDLE
            self._idle[node] = (idle and node.tid not in self._joined) or self.serves(node)
        return self._idle[node]

    def serves(self, node: Node) -> bool:
        """True if it is a helper of MPI, NCCL or NVIDIA's driver: its clock rings for nobody."""
        site, thread = self.site(node), self.thread(node)
        if site is not None and site.python_frame is not None:
            return False
        named = thread is not None and not self.is_main(node) and _DRIVER.match(thread.name)
        return bool(named) or (site is not None and site.description in (SERVES, SERVES_MPI))

    @cached_property
    def _idle(self) -> dict[Node, bool]:
        return {}

    @cached_property
    def _joined(self) -> set[int | None]:
        return {one.owner for one in self.observed.futexes.values() if one.kind == "join"}


def _by_thread(main: int, capture: tuple[ThreadStack, ...]) -> dict[int, ThreadStack]:
    """The stacks of one capture by thread. Not every tool knows the number of the main one."""
    found: dict[int, ThreadStack] = {}
    for stack in capture:
        numbers = (stack.tid, main if stack.main else None)
        found |= {tid: stack for tid in numbers if tid is not None and tid not in found}
    return found
