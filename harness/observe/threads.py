"""Several slow things at once, in threads that nobody has to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_BLINK_S = 0.1


def each(
    items: Sequence[Item],
    do: Callable[[Item], Result],
    at_once: int,
    stop: threading.Event,
) -> list[Result]:
    """The results of `do` for all `items`, in their order; `at_once` of them are under way.

    When the wait for them is interrupted, `stop` is set, which `do` is to heed, and the wait is a
    short one. Raises what `do` raises. The threads of a ThreadPoolExecutor would keep an
    interpreter from ending until the last of them is done.
    """
    work = _Work(items, do)
    threads = [
        threading.Thread(target=work.run, name="together", daemon=True)
        for _ in range(min(at_once, len(items)))
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            # A signal that comes just before a wait begins is seen only when it ends.
            while thread.is_alive():
                thread.join(_BLINK_S)
    except BaseException:
        stop.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        raise
    if work.errors:
        raise work.errors[0]
    return [work.results[index] for index in range(len(items))]


def within(seconds: float, do: Callable[[], Result], otherwise: Result) -> Result:
    """The return value of `do`, or `otherwise` when it takes longer: it may ask a dead file system.

    The thread that is held there is left behind. Raises what `do` raises.
    """
    work = _Work([None], lambda nothing: do())
    thread = threading.Thread(target=work.run, name="within", daemon=True)
    thread.start()
    thread.join(seconds)
    if work.errors:
        raise work.errors[0]
    return work.results.get(0, otherwise)


class _Work(Generic[Item, Result]):
    def __init__(self, items: Sequence[Item], do: Callable[[Item], Result]) -> None:
        self._items = items
        self._do = do
        self._todo = list(range(len(items)))[::-1]
        self.results: dict[int, Result] = {}
        self.errors: list[Exception] = []

    def run(self) -> None:
        while not self.errors:
            try:
                index = self._todo.pop()  # atomic: no two threads get the same
            except IndexError:
                return
            try:
                self.results[index] = self._do(self._items[index])
            except Exception as error:
                self.errors.append(error)
