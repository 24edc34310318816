"""The page's template, compiled once for all runs, as the modules of the package are.

To compile it takes longer than all the rest of a small run's page. So Python's own loader keeps the
result beside that of the modules: where the folder cannot be written to, it is compiled each time.
"""

from __future__ import annotations

import zlib
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

import jinja2
from jinja2 import Environment, StrictUndefined, Template

from harness.text.sanitize import sanitize

FILE = Path(__file__).with_name("report.html.j2")


@cache
def template() -> Template:
    """The compiled template."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # No terminal sequence, and nothing that cannot be seen or encoded, reaches the page.
        finalize=lambda value: sanitize(value) if type(value) is str else value,
    )
    code = _Loader(environment).get_code(FILE.stem)
    assert code is not None  # only a package without code has none
    return Template.from_code(environment, code, environment.make_globals(None))


class _Loader(SourceFileLoader):
    def __init__(self, environment: Environment) -> None:
        super().__init__(FILE.stem, str(FILE))
        self._environment = environment

    def source_to_code(  # type: ignore[override]  # typeshed has a static method of it
        self, data: Any, path: Any, *_: Any, **__: Any
    ) -> CodeType:
        return self._environment.compile(bytes(data).decode(), FILE.name, str(path))

    def path_stats(self, path: Any) -> dict[str, Any]:
        """Stands for whatever makes other code of it: this module, and Jinja's version."""
        stats = dict(super().path_stats(path))
        made_by = (stats["mtime"], Path(__file__).stat().st_mtime, jinja2.__version__)
        return {**stats, "mtime": zlib.crc32(repr(made_by).encode())}
