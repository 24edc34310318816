"""What is seen of a worker from outside: the one place that knows the platform."""

from __future__ import annotations

from collections.abc import Iterable

import psutil

from harness.model import Machine, Process, Thread


def processes(pid: int, also: Iterable[int] = (), deep: bool = False) -> tuple[Process, ...]:
    found = {}
    for root in (pid, *also):
        try:
            process = psutil.Process(root)
            tree = [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
        for p in tree:
            try:
                with p.oneshot():
                    t = p.cpu_times()
                    found[p.pid] = Process(
                        pid=p.pid,
                        ppid=p.ppid(),
                        name=p.name(),
                        state={
                            "sleeping": "S",
                            "running": "R",
                            "stopped": "T",
                            "disk-sleep": "D",
                            "zombie": "Z",
                        }.get(p.status(), "S"),
                        cpu_s=t.user + t.system,
                        rss=p.memory_info().rss,
                        threads=tuple(
                            Thread(tid=x.id, name="", state="S", cpu_s=x.user_time + x.system_time)
                            for x in p.threads()
                        ),
                    )
            except psutil.Error:
                continue
    return tuple(found.values())


def machine() -> Machine:
    return Machine(available=psutil.virtual_memory().available, swap_used=psutil.swap_memory().used)
