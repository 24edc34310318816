"""The rules by which a process is judged: the first that has something to say decides. Pure.

Nothing is known of how long its steps take, so that none is called dead for slowness: only for not
having moved at all, and for staying in one place while it moves.
"""

from __future__ import annotations

from harness.detect import deadlock, sleeping
from harness.detect.activity import Motion, Pace, motion, process_at
from harness.detect.kernel_waits import Wait
from harness.detect.process_state import (
    BUSY,
    Case,
    at_site,
    at_work,
    named,
    place_from,
)
from harness.detect.verdicts import Answer, Says
from harness.model import Thread
from harness.model.world import Link
from harness.stacks import wait_site
from harness.stacks.parse import ThreadStack
from harness.stacks.wait_rules import Category
from harness.text.units import duration, percent, rate, size

FEW_SLEEPS = 1
"""A loop without end goes to wait for nothing; so many times may be chance."""
FEW_FAULTS = 8
"""Minor page faults that are no sign of work."""
THRASHING = 20.0
"""Pages a second that come back from a disk, from which on a process without memory starves."""
SWAPPED = 64 << 20
SCARCE = 256 << 20
"""Bytes: of a process that are swapped out, of a machine that are left."""
SLEEP_S = 60.0
"""A sleeper is believed to go on if it wakes within so long, as by `harness run`."""
_JOINS = ("join", "_wait_for_tstate_lock", "_shutdown")
"""Where Python waits for a thread to end, whose work it then is to go on."""
COMPILERS = frozenset(
    ("g++", "gcc", "c++", "cc", "cc1plus", "cc1", "clang", "clang++", "as", "ld", "collect2", "lld",
     "nvcc", "cicc", "ptxas", "nvlink", "metal", "metallib", "xcrun", "air-lld", "ninja", "make")
)  # fmt: skip


def _stopped(case: Case) -> Says | None:
    if case.process.state == "T":
        return Says(Answer.STOPPED, "is stopped by a signal, or frozen with its control group")
    if case.process.state == "t":
        around = case.seen.last.worlds.get(case.pid)
        tracer = around.surroundings[case.pid].tracer if around else None
        return Says(
            Answer.TRACED, "is held by a debugger" + (f", process {tracer}" if tracer else "")
        )
    return None


def _dead(case: Case) -> Says | None:
    """Proven by each window that is long enough for it, the last one included."""
    if case.pid in case.seen.shares:
        return None
    windows = [
        [look.worlds[case.pid] for look in window if case.pid in look.worlds]
        for window in case.seen.windows
    ]
    enough = [
        one
        for one in windows
        if len(one) >= deadlock.LOOKS and one[-1].t - one[0].t >= deadlock.SPAN_S
    ]
    if not enough or any(deadlock.prove(one, case.seen.arch) for one in enough):
        return None
    looks = enough[-1]
    told = f"cannot go on: {deadlock.why(looks[-1])}"
    return Says(Answer.DEADLOCK, told, evidence=deadlock.shown(looks, case.seen.arch))


def _starved(case: Case) -> Says | None:
    moved, more = case.motion, case.seen.last.more.get(case.pid)
    if case.category is Category.MEMORY and moved.cpu < BUSY:
        return Says(Answer.STARVED, f"waits for memory: {at_site(case)}")
    swapped = more.swap if more else None
    available = case.seen.last.machine.available
    scarce = (swapped or 0) > SWAPPED or (available is not None and available < SCARCE)
    if scarce and moved.rate(moved.major) >= THRASHING:
        swapped_out = "an unknown amount" if swapped is None else size(swapped)
        back = f"reads {rate(moved.rate(moved.major), 'page')} back from the disk"
        return Says(Answer.STARVED, f"{back}, with {swapped_out} of it swapped out")
    return None


def _compiling(case: Case) -> Says | None:
    main = case.motion.threads.get(case.pid)
    busy = case.motion.cpu >= BUSY or (main is not None and main.runnable)
    if case.category is Category.JIT and busy:
        return Says(Answer.COMPILING, f"compiles: {at_site(case)}")
    if busy and (main is None or main.cpu >= BUSY):
        return None
    for one in case.below:
        if one.name in COMPILERS:
            below = motion(case.seen.windows, one.pid)
            works = any(p.runnable or p.states[-1:] in ("R", "D") for p in below.threads.values())
            if below.cpu >= BUSY or below.came_or_went or works:
                name = case.seen.name(one.pid)
                return Says(Answer.COMPILING, f"waits for a compiler that works, {name}")
    return None


def _busy(case: Case) -> Says | None:
    """It uses the CPU: alive, unless all that does so stays in one place."""
    moved = case.motion
    busy = {t: p for t, p in moved.threads.items() if p.cpu >= BUSY or p.runnable}
    if not busy and moved.cpu < BUSY:
        return None
    if not busy or _goes_elsewhere(moved):
        return Says(Answer.ALIVE, at_work(case))
    works = {tid: _works(case, tid, pace) for tid, pace in busy.items()}
    if True in works.values():
        return Says(Answer.ALIVE, at_work(case))
    if None in works.values():
        unread = "" if case.captures else "; whether it gets anywhere only its stacks could tell"
        return Says(Answer.ALIVE, at_work(case) + unread, sure=False)
    return _nowhere(case, busy)


def _goes_elsewhere(moved: Motion) -> bool:
    """Whether anything moves that a loop which only runs would not move."""
    return bool(moved.io or moved.major or moved.came_or_went or (moved.minor or 0) > FEW_FAULTS)


def _works(case: Case, tid: int, pace: Pace) -> bool | None:
    """Whether a thread that uses the CPU gets anywhere; None when that cannot be told (yet)."""
    stack = case.stack(tid)
    often = pace.sleeps is not None and pace.sleeps > FEW_SLEEPS
    if stack is None:
        return True if often else None
    site = wait_site.wait_site(stack)
    if site.category in (Category.IDLE, Category.COLLECTIVE):
        return False
    if _in_mlx(stack):
        return True
    went_on = case.went_on(tid)
    if went_on is False and site.category in (Category.SLEEP, Category.GIL):
        return False
    if went_on or often:
        return True
    # Without native frames a loop of Python looks like one long call of a library.
    return went_on if stack.native else None


def _in_mlx(thread: ThreadStack) -> bool:
    """Whether it runs MLX's own code: an array operation may take as long as it likes."""
    own = next((frame for frame in thread.frames if not frame.system), None)
    return own is not None and not own.python and "mlx::core" in own.function


def _nowhere(case: Case, busy: dict[int, Pace]) -> Says:
    """It uses the CPU, and each thread that does so is where it was."""
    sites = {tid: wait_site.wait_site(stack) for tid in busy if (stack := case.stack(tid))}
    runs = [
        (tid, site)
        for tid, site in sites.items()
        if site.category not in (Category.IDLE, Category.SLEEP, Category.GIL, Category.COLLECTIVE)
    ]
    if case.category is Category.COLLECTIVE:
        return _collective(case, ", while a thread of its own spins")
    if not runs and case.pid not in busy and _steps(case, case.pid):
        return Says(Answer.ALIVE, at_work(case))
    if runs:
        tid, site = next((pair for pair in runs if pair[0] == case.pid), runs[0])
        who = "the main thread" if tid == case.pid else f"thread {tid} ({busy[tid].name})"
        where = f" in {site.python_frame}" if site.python_frame else f" in {site.function}"
        return Says(
            Answer.SPINNING,
            f"uses {percent(busy[tid].cpu)} of a core and stays in one place: {who} was{where} "
            "at each look, and nothing else moved. That is a loop without end, or one long "
            "computation",
        )
    if all(site.category is Category.SLEEP for site in sites.values()):
        return _polls(case)
    return Says(Answer.STALLED, f"{at_site(case)}, while another thread spins")


def _moving(case: Case) -> Says | None:
    """It moves, and hardly uses the CPU."""
    moved = case.motion
    if _goes_elsewhere(moved):
        return Says(Answer.ALIVE, at_work(case))
    awake = [tid for tid, pace in moved.threads.items() if pace.wakes]
    went_on = [case.went_on(tid) for tid in awake]
    if True in went_on:
        return Says(Answer.ALIVE, at_work(case))
    if case.pid in awake:
        return _polls(case)
    return None  # other threads wake, look, and wait again: the main one does not


def _polls(case: Case) -> Says:
    pace = case.motion.threads[case.pid]
    often = f"wakes {rate(case.motion.rate(pace.switches), 'time')}, and waits again"
    if case.living:
        return Says(
            Answer.WAITING, f"{often}, as who waits for children does", case.living, sure=False
        )
    told = f"{often} in the same place: it polls, or paces itself" + place_from(case)
    return Says(Answer.ASLEEP, told, sure=False, good=True)


def _asleep(case: Case) -> Says | None:
    """Its main thread is in a wait that ends by itself. One that waits for a child is not."""
    main = case.main
    if main is None or case.wait(main) is Wait.CHILD:
        return None
    sleeps = case.wait(main) is Wait.SLEEP
    worlds = [look.worlds[case.pid] for look in case.seen.windows[-1] if case.pid in look.worlds]
    if not sleeps and not sleeping.asleep(worlds, case.seen.arch):
        return None
    what = f"sleeps{place_from(case)}" if sleeps else at_site(case)
    left = _left(case)
    if left is None:
        return Says(Answer.ASLEEP, f"{what}; when it wakes cannot be read", good=True)
    return Says(
        Answer.ASLEEP,
        f"{what}, and wakes in {duration(left)} at the latest",
        good=left <= SLEEP_S,
        evidence={"wakes_in_s": round(left, 3)},
    )


def _left(case: Case) -> float | None:
    """Seconds until its main thread wakes, by the last look that could read it.

    A sleep that a tool has interrupted goes on as another system call, which tells no time.
    """
    looks = [look for window in case.seen.windows for look in window]
    for look in reversed(looks):
        process = process_at(look, case.pid)
        threads = process.threads if process else ()
        main = next((thread for thread in threads if thread.tid == case.pid), None)
        if main is not None and main.wakes_in is not None:
            return max(0.0, main.wakes_in - (case.seen.last.t - look.t))
    return None


def _outside(case: Case) -> Says | None:
    """Its main thread waits for another process, or for a file."""
    main = case.main
    wait = None if main is None else case.wait(main)
    if case.category is Category.COLLECTIVE:
        return _collective(case)
    if case.category is Category.JIT:
        names = named(case, case.living)
        return Says(
            Answer.WAITING, f"waits for a compiler that does nothing{names}{place_from(case)}",
            case.living or (),
        )  # fmt: skip
    if wait is Wait.CHILD or case.category is Category.CHILD:
        which = named(case, case.living, "its child ") or ", which is not seen"
        return Says(
            Answer.WAITING, f"waits for a child process{which}{place_from(case)}", case.living
        )  # fmt: skip
    if wait is Wait.FILE and main is not None:
        return _file(case, main)
    if wait is Wait.SIGNAL:
        return Says(Answer.WAITING, f"waits for a signal{place_from(case)}")
    if wait is Wait.SHARED:
        return Says(
            Answer.WAITING,
            f"waits for a semaphore or lock that processes share{place_from(case)}",
            case.living,
        )
    if wait is Wait.MESSAGE:
        return Says(Answer.WAITING, f"waits for a message queue{place_from(case)}", case.living)
    if main is not None and main.state == "D":
        return Says(Answer.WAITING, f"waits in the kernel, as for a disk{place_from(case)}")
    return _device(case) or _through_a_thread(case)


def _file(case: Case, thread: Thread, who: str = "") -> Says:
    links = case.seen.links.get(thread.tid, ())
    listed = tuple(one.pid for one in case.seen.last.processes)
    on = tuple(dict.fromkeys(p for link in links for p in link.peers if p in listed))
    what = "; ".join(_link(case, link) for link in links[:4]) or "a file, pipe or socket"
    return Says(Answer.WAITING, f"{who}waits for {what}{place_from(case)}", on)


def _link(case: Case, link: Link) -> str:
    others = [pid for pid in link.peers if pid != case.pid]
    if others:
        more = f" and {len(others) - 2} more" if len(others) > 2 else ""
        names = " and ".join(case.seen.name(pid) for pid in others[:2])
        return f"{link.told} to {names}{more}"
    if link.only_own:
        return f"{link.told} that no other process has the other end of"
    return link.told


def _device(case: Case) -> Says | None:
    """The host waits for a GPU: from here a long kernel and one without end look alike."""
    worlds = case.seen.last.worlds.get(case.pid)
    around = worlds.surroundings.get(case.pid) if worlds else None
    if not (around and around.devices and case.category is Category.STREAM_EVALUATION):
        return None
    shown = "; ".join(case.seen.gpu)
    if any(_utilization(line) for line in case.seen.gpu):
        told = f"waits for a GPU that works ({shown}): one long kernel, or one without end"
        return Says(Answer.ALIVE, told + place_from(case))
    idle = f"does nothing ({shown})" if shown else "nobody can ask"
    return Says(Answer.WAITING, f"waits for a GPU that {idle}{place_from(case)}")


def _utilization(line: str) -> float:
    """Per cent, of `name, 87 %, 1024 MiB`."""
    part = line.split(",")[1:2]
    words = part[0].split() if part else []
    return float(words[0]) if words and words[0].replace(".", "").isdigit() else 0.0


def _through_a_thread(case: Case) -> Says | None:
    """Its main thread waits for another one, which runs Python and waits for something outside."""
    for thread in case.process.threads:
        stack = case.stack(thread.tid)
        if thread.tid == case.pid or stack is None:
            continue
        site = wait_site.wait_site(stack)
        if site.python_frame is None or site.category is Category.IDLE:
            continue
        who = f"{at_site(case)}; thread {thread.tid} ({thread.name}) "
        if case.wait(thread) is Wait.FILE:
            return _file(case, thread, who)
        if case.wait(thread) is Wait.CHILD:
            return Says(Answer.WAITING, f"{who}waits for a child process", case.living)
        joined = case.waits is not None and case.waits.overall.function in _JOINS
        # One that sleeps again and again feeds nobody: a heartbeat beside a main thread that hangs.
        beats = thread.tid in case.motion.threads and case.motion.threads[thread.tid].wakes
        asleep = case.wait(thread) is Wait.SLEEP and (joined or not beats)
        if asleep and thread.wakes_in is not None:
            left = thread.wakes_in
            wakes = f"{who}sleeps, and wakes in {duration(left)} at the latest"
            return Says(Answer.ASLEEP, wakes, good=left <= SLEEP_S)
    return None


def _steps(case: Case, tid: int | None) -> bool:
    """Whether a thread went to wait again and again, as between collectives, or parts of one."""
    pace = case.motion.threads.get(tid) if tid is not None else None
    return pace is not None and (pace.sleeps or 0) > FEW_SLEEPS


def _collective(case: Case, also: str = "") -> Says:
    sites = case.waits.threads if case.waits else ()
    inside = [site.tid for site in sites if site.category is Category.COLLECTIVE]
    if any(_steps(case, tid) for tid in (case.pid, *inside)):
        return Says(Answer.ALIVE, at_work(case))
    peers = case.seen.sockets.get(case.pid, ())
    listed = {one.pid for one in case.seen.last.processes}
    description = case.waits.overall.description if case.waits else "waits for another rank"
    return Says(
        Answer.WAITING,
        f"{description}{named(case, peers)}{place_from(case)}{also}",
        tuple(pid for pid in peers if pid in listed),
    )


def _still(case: Case) -> Says:
    """Nothing is left that could tell it apart: it has not moved."""
    what = f": {at_site(case)}" if case.waits else "; its stacks could not be read"
    if case.main is not None and case.wait(case.main) is None and not case.waits:
        what += ", so that it may be asleep"
    awake = any(pace.wakes for pace in case.motion.threads.values())
    how = (
        "its main thread has not run, and others only wake and wait again"
        if awake
        else "no thread has run, and nothing was read, written or paged in"
    )
    return Says(
        Answer.STALLED,
        f"{how} for {duration(case.motion.seconds)}{what}",
        sure=len(case.captures) > 1,
    )


RULES = (
    _stopped, _dead, _starved, _compiling, _busy, _moving, _asleep, _outside, _still,
)  # fmt: skip
