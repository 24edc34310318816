"""The numbers of processes in a PID namespace of their own, as `unshare --pid` makes one.

/proc shows the arguments of a system call as its process gave them: a child that is waited for has
the number there that the process knows it by.
"""

from __future__ import annotations

from harness.observe.linux import reading

_ANY = {"wait4": (-1, 0), "waitid": (0, 1)}
"""The argument that makes the call wait for any child, and the index of that with the number."""
_P_PID = 1


def inner(path: str) -> list[int]:
    """The numbers of a process or thread by its file `status`: ours first, its own last."""
    return [int(word) for word in reading.status(path).get(b"NSpid", b"").split()]


def awaited(pid: int, name: str | None, args: tuple[int, ...]) -> tuple[int, ...]:
    """The arguments of a wait of `pid` for a child, with our number of that child.

    One that is not seen may be any of them.
    """
    if name not in _ANY or len(args) < 2 or not _for_one(name, args):
        return args
    depth = len(inner(f"/proc/{pid}/status"))
    if depth < 2:
        return args
    anybody, place = _ANY[name]
    number = args[place] & 0xFFFFFFFF  # of an int, of which a register holds more
    for child in _children(pid):
        numbers = inner(f"/proc/{child}/status")
        if len(numbers) >= depth and numbers[depth - 1] == number:
            return (*args[:place], child, *args[place + 1 :])
    return (anybody & (1 << 64) - 1, *args[1:])


def _for_one(name: str, args: tuple[int, ...]) -> bool:
    if name == "waitid":
        return args[0] & 0xFFFFFFFF == _P_PID
    return 0 < args[0] & 0xFFFFFFFF < 1 << 31


def _children(pid: int) -> list[int]:
    """The children that the kernel lists for each thread that has started them."""
    return [
        int(word)
        for tid in reading.numbers(f"/proc/{pid}/task")
        for word in reading.read(f"/proc/{pid}/task/{tid}/children").split()
    ]
