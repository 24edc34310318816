"""An object of the program's own that is followed until the program lets go of it."""

from __future__ import annotations

import weakref
from typing import Any, Callable


class UntilLetGo:
    """Stands for a module without keeping it. Its parts are kept, so that they can be looked at
    once more when the program has let go of the module itself.

    `gone` is called then, from wherever that happens. The parts are those of the last `refresh`:
    what is below them is shared with the module, and arrays of its own may be an update behind.
    """

    def __init__(self, module: Any, gone: Callable[[], None]) -> None:
        kind: Any = type(module)
        self._parts = kind.__new__(kind)
        self._module = weakref.ref(module, lambda _: gone())
        self._refreshed = 0
        self.refresh(False)

    def refresh(self, updated: bool) -> None:
        """Take the parts that the module has now; `updated` once an update has begun."""
        self._refreshed += updated
        module = self._module()
        if module is not None:
            for have, given in ((self._parts, module), (vars(self._parts), vars(module))):
                dict.clear(have)
                dict.update(have, given)

    def known(self) -> bool:
        """Return False if the only update of the module's own arrays may have been missed."""
        whole = all(isinstance(part, (dict, list)) for part in self._parts.values())
        # The first refresh comes with the update, before its result is there.
        return self._module() is not None or whole or self._refreshed > 1

    def __call__(self) -> Any:
        """Return the module; if it is gone, another one that has its parts."""
        module = self._module()
        return self._parts if module is None else module
