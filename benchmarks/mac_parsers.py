"""Damaged answers of macOS's tools and calls, which no parser may raise for.

python -m benchmarks.mac_parsers [--inputs 100000] [--seed 1] [--jobs N] [--out FILE.json]

The answers are those of the tests. Each is damaged at random: lines are cut, doubled, moved and
filled with other words, and bytes are replaced. What is read of processes, files and memory is
filled with random bytes. One that raises is printed, with its seed.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from ctypes import Structure, sizeof
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import save, table
from harness.observe.macos import gpu, kernel, memory, peers, tree
from harness.observe.macos.layouts import OF_XNU, PipeFdInfo, SwapUsage, TaskAllInfo, VmStatistics
from harness.observe.macos.socket_layouts import FilePath, SocketFdInfo
from harness.stacks import wait_site
from harness.stacks.joined import joined, owned
from harness.stacks.parse import parse

SHARE = 2_000
"""Inputs that one process reads at a time."""
TESTS = Path(__file__).resolve().parents[1] / "tests"
WORDS = ("", "(in ", "  ", "[", "]", "0", "9" * 30, "<multiple>", "\x00", "é", "Thread_", "0x", "*",
         "Process: ", "<integer>", "</dict>", "blocked by turnstile waiting for ", "-1", "(",
         "\ud800")  # fmt: skip


def damaged(text: str, chance: random.Random) -> str:
    """`text` after one to twelve changes."""
    lines = text.splitlines()
    for _ in range(chance.randint(1, 12)):
        at, change = chance.randrange(len(lines)), chance.randrange(6)
        if change == 0 and len(lines) > 1:
            del lines[at]
        elif change == 1:
            lines.insert(at, chance.choice(lines))
        elif change == 2:
            lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
        elif change == 3:
            spot = chance.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:spot] + chance.choice(WORDS) + lines[at][spot + 1 :]
        elif change == 4:
            lines[at] = "    " * chance.randrange(4) + lines[at]
        else:
            other = chance.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
    return "\n".join(lines)


def sample(text: str, chance: random.Random) -> None:
    threads = parse("sample", damaged(text, chance), 7)
    for one in threads:
        wait_site.moves(one)
    wait_site.explain(threads)
    python = parse("faulthandler", damaged(PYTHON, chance), 7)
    joined(threads, python, {one.tid or 0: number for number, one in enumerate(python)})


def spindump(text: str, chance: random.Random) -> None:
    owned(parse("sample", SAMPLES[0], 7), parse("spindump", damaged(text, chance), 7))


def ioreg(text: str, chance: random.Random) -> None:
    before, now = (gpu.parse(damaged(text, chance), t) for t in (0.0, 1.0))
    gpu.judge(before, now, frozenset((71, 9)))


def powermetrics(text: str, chance: random.Random) -> None:
    gpu.watts(damaged(text, chance))


def calls(_: str, chance: random.Random) -> None:
    """Every answer of the kernel is filled with random bytes, or refused."""

    def filled(kind: type[Structure]) -> Callable[..., object]:
        def answer(*asked: object) -> Structure | None:
            return (
                kind.from_buffer_copy(chance.randbytes(sizeof(kind)))
                if chance.random() < 0.9
                else None
            )

        return answer

    answers: dict[str, Callable[..., object]] = {
        "task": filled(TaskAllInfo),
        "process": filled(OF_XNU["proc_bsdinfo"]),
        "thread": filled(OF_XNU["proc_threadinfo"]),
        "rusage": filled(OF_XNU["rusage_info_v4"]),
        "pipe": filled(PipeFdInfo),
        "socket": filled(SocketFdInfo),
        "path": filled(FilePath),
        "pages": filled(VmStatistics),
        "swap": filled(SwapUsage),
        "files": lambda pid: tuple((n, chance.randrange(12)) for n in range(chance.randrange(9))),
        "children": lambda pid: (),
        "of_user": lambda uid: (8, 9),
        "thread_ids": lambda pid, about: (tuple(range(chance.randrange(5))), True),
        "number": lambda name: chance.choice((None, -1, 0, 4, 16384, 2**31)),
        "tick_s": lambda: chance.choice((None, 1e-9, 125 / 3e9)),
    }
    for name, answer in answers.items():
        setattr(kernel, name, answer)
    peers.relations(tree.processes([7, 8]))
    tree.more(7)
    memory.machine(whole=True)
    memory.footprint([7])


SAMPLES = [file.read_text() for file in sorted((TESTS / "macos" / "samples").glob("*.txt"))]


def _constant(module: str, name: str) -> str:
    """A text of the tests, which are no package."""
    sys.path.insert(0, str(TESTS / "unit"))
    return str(getattr(__import__(module), name))


PYTHON = _constant("test_joined", "PYTHON")
SOURCES: dict[str, tuple[Callable[[str, random.Random], None], list[str]]] = {
    "sample, joined with faulthandler": (sample, SAMPLES),
    "spindump": (spindump, [_constant("test_spindump", "REPORT").format(
        main="python3.14 [7] thread 0x57be71", loader="main thread", looks=20)]),
    "ioreg": (ioreg, [_constant("test_macos_chain", "IOREG")]),
    "powermetrics": (powermetrics, [_constant("test_macos_chain", "POWERMETRICS")]),
    "libproc, host_statistics64 and sysctl": (calls, [""]),
}  # fmt: skip


class Read(NamedTuple):
    """What one share of the inputs of a source came to."""

    source: str
    cpu_s: float
    raised: list[str]


def share(source: str, numbers: range, seed: int) -> Read:
    """Give the damaged answers of these `numbers` to the reader of `source`."""
    read, texts = SOURCES[source]
    raised, began = [], time.process_time()
    for number in numbers:
        chance = random.Random(seed * 10**9 + number)
        try:
            read(chance.choice(texts), chance)
        except Exception:
            raised.append(f"{source}, input {number}:\n{traceback.format_exc()}")
    return Read(source, time.process_time() - began, raised)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="damaged answers of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    shares = [
        (source, range(first, min(first + SHARE, arguments.inputs)), arguments.seed)
        for source in SOURCES
        for first in range(0, arguments.inputs, SHARE)
    ]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        found = list(pool.map(share, *zip(*shares, strict=True)))
    rows = []
    for source in SOURCES:
        own = [one for one in found if one.source == source]
        raised = [text for one in own for text in one.raised]
        print("\n".join(raised), file=sys.stderr, end="")
        cpu = round(sum(one.cpu_s for one in own), 1)
        row = {"source": source, "inputs": arguments.inputs, "raised": len(raised), "cpu_s": cpu}
        rows.append(row)
    print(
        table(["source", "inputs", "raised", "CPU s"], [[*map(str, row.values())] for row in rows])
    )
    save(arguments.out, "mac_parsers", {"seed": arguments.seed, "sources": rows})
    sys.exit(1 if any(row["raised"] for row in rows) else 0)


if __name__ == "__main__":
    main()
