"""The death of a process: who or what ended it, and its own last words. Pure.

The reason of a result has the words of the dead, and the findings have the numbers behind them.
docs/reference/verdicts/crashes.md describes the rules.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.beats.record import Record
from harness.death import last_words
from harness.death.last_words import CRASHES
from harness.model import Ending, Finding
from harness.model.death import CrashStack, DeadChild, EndFacts, Kind, LastWords
from harness.model.finding import error, info, warning
from harness.text import exits
from harness.text.units import duration, plural, size

NEAR = 0.95
"""The share of a limit of the address space from which on the limit explains a crash."""
_SHOWN = 5
"""Frames of a crash that its summary names."""
_TIMED_OUT = 124
"""The exit code of timeout(1) for a command that it has ended."""
_TICK_S = 0.35
"""The CPU time below its limit that a process may have used and still be killed for it.

The kernel counts whole ticks for the limit, and tells exact times. A loaded machine makes them
differ.
"""
_OOM = "the kernel's out-of-memory killer"
_NOT_KNOWN = "from outside, by whom is not known"
_AS_THE_SIGNAL = (
    "Segmentation fault", "Aborted", "Bus error", "Floating-point exception",
    "Floating point exception", "Illegal instruction",
)  # fmt: skip
"""Python's names for the signals of a crash."""
_STOPPED = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGKILL))
"""Signals by which a program ends its own children in the ordinary way."""


@dataclass(frozen=True)
class Killer:
    """The sender of the signal that ended a process, or another cause."""

    code: str
    """`oom_killer`, `address_limit`, `cpu_limit`, `file_limit`, `jetsam`, `stack`, `fault`,
    `broken_pipe`, `time_limit` or `unknown`."""
    told: str
    """A clause."""
    evidence: dict[str, object] = field(default_factory=dict)


def killer(ending: Ending) -> Killer | None:
    """The sender of the signal; None where the process has said more itself, or exited."""
    facts, name = ending.facts, ending.signal
    if name is None:
        return _of_another(ending, facts)
    if name == "SIGKILL":
        return _killed(ending, facts)
    if name in ("SIGXCPU", "SIGXFSZ"):
        return _limited(name, facts)
    if (found := _out_of_memory(ending, facts)) is not None:
        return found
    if name in _WISHES:
        return Killer(*_WISHES[name])
    if name not in CRASHES or facts.words is not None:
        return None
    return _fault(name, facts)


_WISHES = {
    "SIGTERM": ("unknown", f"{_NOT_KNOWN}, as by kill, a scheduler or a container that stops"),
    "SIGINT": ("unknown", _NOT_KNOWN),
    "SIGHUP": ("unknown", f"{_NOT_KNOWN}, as when its terminal or its session is closed"),
    "SIGPIPE": (
        "broken_pipe",
        "it wrote to a pipe or a socket that nobody reads any more",
    ),
}
"""Killer and clause of the signals that say little more than their name."""


def _killed(ending: Ending, facts: EndFacts) -> Killer:
    limit = facts.limits.cpu_s
    if limit is not None and facts.cpu_s >= limit - _TICK_S:
        return _cpu(facts, limit)
    for word in facts.kernel:
        if word.kind == "oom_kill" and word.pid is not None and word.pid == facts.pid:
            full = "its control group" if word.of_group else "the machine"
            used = f", {word.text}" if word.text else ""
            told = f"{_OOM} ended it{used}, for the memory of {full} was full"
            return Killer("oom_killer", told, {"pid": word.pid, "name": word.name})
    if facts.group_kills:
        told = f"{_OOM} ended it, for the memory of its control group was full"
        return Killer("oom_killer", told, {"group_kills": facts.group_kills})
    if facts.jetsam:
        return Killer("jetsam", f"macOS ended it for want of memory (jetsam): {facts.jetsam}")
    if facts.group_kills is None and ending.oom_kills:
        told = f"{_OOM} was active while it ran"
        return Killer("oom_killer", told)
    return Killer("unknown", _NOT_KNOWN)


def _limited(name: str, facts: EndFacts) -> Killer:
    if name == "SIGXCPU":
        told = f"its CPU time reached its limit, after {duration(facts.cpu_s)} (ulimit -t)"
        return Killer("cpu_limit", told, {"cpu_s": facts.cpu_s})
    file = facts.limits.file
    of = "" if file is None else f" of {size(file)}"
    evidence: dict[str, object] = {} if file is None else {"limit": file}
    return Killer("file_limit", f"a file reached the size limit{of} (ulimit -f)", evidence)


def _cpu(facts: EndFacts, limit: float) -> Killer:
    told = f"its CPU time reached the limit of {duration(limit)} (ulimit -t)"
    return Killer("cpu_limit", told, {"limit_s": limit, "cpu_s": facts.cpu_s})


def _out_of_memory(ending: Ending, facts: EndFacts) -> Killer | None:
    limit = facts.limits.address_space or ending.address_space
    peak = max(facts.address_peak or 0, ending.rss_peak or 0)
    if limit is None or ending.signal not in CRASHES or peak < NEAR * limit:
        return None
    told = f"out of memory: its addresses reached {size(peak)} of the limit of {size(limit)}"
    return Killer("address_limit", f"{told} (ulimit -v)", {"limit": limit, "peak": peak})


def _fault(name: str, facts: EndFacts) -> Killer | None:
    if facts.crash is not None and facts.crash.fault and not facts.crash.who:
        text = facts.crash.fault
        return Killer("stack" if "stack" in text else "fault", text)
    for word in facts.kernel:
        if word.kind == "fault" and word.pid is not None and word.pid == facts.pid:
            return Killer("stack" if "stack" in word.text else "fault", word.text)
    if name == "SIGBUS":
        told = "a mapped file was cut, or its disk is full"
        return Killer("fault", f"a page could not be read or written, as when {told}")
    return None


def _of_another(ending: Ending, facts: EndFacts) -> Killer | None:
    """The killer of a process that it had started, as far as its exit code tells of that."""
    code = ending.exit_code
    victims = [word for word in facts.kernel if word.kind == "oom_kill"]
    ours = facts.group_kills or (facts.group_kills is None and ending.oom_kills)
    if code and ours:
        which = f" process {victims[-1].pid} ({victims[-1].name})" if victims else " a process"
        where = "of its control group" if facts.group_kills else "while it ran"
        told = f"{_OOM} had ended{which} {where}"
        return Killer("oom_killer", told, {"victims": [word.name for word in victims]})
    if code == _TIMED_OUT and facts.timed:
        return Killer("time_limit", "timeout ended it, for its time was over")
    if code is not None and code > 128 and (name := exits.signal_name(code - 128))[:3] == "SIG":
        told = f"the code stands for {name}, of it or of what it had started"
        return Killer("unknown", told, {"signal": name})
    return None


def told(ending: Ending) -> str:
    """The words about the end, for the reason: empty where nothing is known."""
    facts, found = ending.facts, killer(ending)
    parts = [found.told] if found is not None else []
    if facts.words is not None:
        parts.append(_words(facts.words))
    if facts.crash is not None and facts.crash.place and not (facts.words and facts.words.place):
        where = f"at {facts.crash.place}"
        if facts.crash.who:
            parts.append(f"{facts.crash.who} crashed {where}")
        elif parts and (facts.words is not None or (found and found.code in ("fault", "stack"))):
            parts[-1] += f", {where}"
        else:
            parts.append(f"{facts.crash.fault}, {where}" if facts.crash.fault else where)
    if facts.other is not None:
        parts.append(f"{_whose(facts.other)} raised {facts.other.told}")
    elif not parts and facts.error is not None:
        parts.append(facts.line)
    bad = [child for child in facts.children if _ended_badly(child)]
    if bad and not (facts.words and facts.words.uncaught):
        parts.append(f"{_child(bad[0])} and nobody asked for it")
    if facts.over:
        parts.append("its program had come to its end before")
    return "; ".join(filter(None, parts))


def _words(words: LastWords) -> str:
    if words.kind is Kind.FAULT and words.text in _AS_THE_SIGNAL:
        return f"at {words.place}" if words.place else ""
    if words.uncaught:
        return words.told
    if words.kind is Kind.LINE:
        return f"its last line was: {words.text}"
    return f"after it printed {words.told}"


def _whose(words: LastWords) -> str:
    return words.who if words.who.startswith("a ") else f"its {words.who}"


def _child(child: DeadChild) -> str:
    name = f" ({child.name})" if child.name else ""
    return f"its child, process {child.pid}{name}, {exits.ended(child.code)}"


def _ended_badly(child: DeadChild) -> bool:
    """False of an end as a program gives it to its own children."""
    return child.code > 0 or -child.code not in _STOPPED


def place(traceback: str) -> str:
    """The user's line in which an exception was raised; empty without one."""
    words = last_words.of_text(traceback)
    return words.place if words is not None else ""


def find(record: Record, ending: Ending) -> Iterator[Finding]:
    """The findings about the end of a process."""
    by_memory = ending.memory is not None and ending.memory.ended
    if ending.cause is not None or ending.interrupted or ending.over_budget or by_memory:
        return  # we have ended it ourselves
    facts = ending.facts
    yield from _children(ending)
    if ending.signal is None and not ending.exit_code:
        return
    if facts.error is not None:
        row, state = facts.error, _state(record, ending)
        figures = ", ".join(f"{name} {size(number)}" for name, number in state.items())
        measured = f" (last measured: {figures})" if figures else ""
        yield error(
            "known_error",
            f"{row.code}: {row.meaning}{measured}. {row.cure}",
            error=row.code,
            meaning=row.meaning,
            cure=row.cure,
            source=row.source,
            line=facts.line,
            **{f"{name.replace(' ', '_')}_bytes": number for name, number in state.items()},
            pending_operations=record.nodes[-1] if record.nodes else None,
        )
    if facts.words is not None:
        words = facts.words
        yield info(
            "last_words",
            words.told,
            kind=words.kind.value,
            text=words.text,
            place=words.place,
            cause=words.cause,
            chain=list(words.chain),
            uncaught=words.uncaught,
        )
    if facts.crash is not None and (facts.crash.frames or not (facts.words and facts.words.place)):
        yield _stack(facts.crash)
    if (found := killer(ending)) is not None:
        yield info("killed_by", found.told, by=found.code, **found.evidence)
    if facts.over:
        yield warning(
            "died_at_exit",
            "its program had come to its end, and the process died while it was taken down",
            signal=ending.signal,
        )


def _stack(crash: CrashStack) -> Finding:
    if not crash.frames:
        return info("crash_stack", f"no stack of the crash: {crash.why_not}", frames=[])
    inner, *outer = crash.frames[:_SHOWN]
    by = f", called by {', '.join(outer)}" if outer else ""
    left = f"; its core is left as {crash.core}" if crash.core else ""
    return info(
        "crash_stack",
        f"{crash.who or 'it'} crashed in {inner}{by}{left}",
        frames=list(crash.frames),
        place=crash.place,
        source=crash.source,
        core=crash.core,
    )


def _state(record: Record, ending: Ending) -> dict[str, int]:
    """The memory as it was last measured, in bytes: MLX's, and that of the process."""
    columns = (("active", record.active), ("peak", record.peak), ("cache", record.cache))
    state = {name: column[-1] for name, column in columns if column and column[-1] >= 0}
    if record.peak and max(record.peak) > 0:
        state["peak"] = max(record.peak)
    if ending.rss_peak:
        state["RSS peak"] = ending.rss_peak
    return state


def _children(ending: Ending) -> Iterator[Finding]:
    children = ending.facts.children
    if not children:
        return
    bad = [child for child in children if _ended_badly(child)]
    first = (bad or list(children))[0]
    more = f", and {plural(len(children) - 1, 'other child')}" if len(children) > 1 else ""
    crashed = any(child.code < 0 for child in bad)
    make = warning if crashed else info
    yield make(
        "child_died",
        f"{_child(first)}{more}, and nobody had asked for it",
        children=[{"pid": one.pid, "name": one.name, "code": one.code} for one in children],
    )
