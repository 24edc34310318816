"""A scenario as one file that needs nothing but MLX, for a maintainer to run. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from harness.model import ScenarioInfo, Settings

_SETTINGS = re.compile(r"# settings: begin\n.*?# settings: end\n", re.DOTALL)
_ERROR = "class {}(Exception):\n    pass\n"
_STANDS_IN = {"harness.errors": _ERROR.format("SkipError") + "\n\n" + _ERROR.format("UsageError")}
"""What a scenario may import of this package."""


def script(info: ScenarioInfo, settings: Settings, siblings: Mapping[str, str]) -> str:
    """The file's text. `siblings` are the sources of the modules that lie beside the scenario's.

    Raises ValueError for a scenario whose source cannot be read as Python.
    """
    try:
        tree = ast.parse(info.source)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{info.name}: {error}") from error
    needed = _needed(tree, siblings)
    modules = "".join(f"module({name!r}, {_quoted(source)})\n\n" for name, source in needed.items())
    brought = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    run = "main(make_step, batches)" if "batches" in brought else "main(make_step)"
    how = f"mlx.launch -n {settings.ranks} -- python repro.py" if settings.ranks > 1 else ""
    parts = [
        *([f"# Run by: {how}\n"] if how else []),
        _SETTINGS.sub(lambda _: _constants(settings), _alone()),
        f"\n\n{modules}# --- {info.name}\n{_source(info, tree)}\n\n{run}\n",
    ]
    return "".join(parts)


@cache
def _alone() -> str:
    return files(__package__).joinpath("alone.py").read_text(encoding="utf-8")


def _constants(s: Settings) -> str:
    numbers = (s.steps, s.batch_size, s.seq_len, s.seed, s.ranks)
    texts = (s.model, s.train, s.optimizer, s.learning_rate, s.dtype, s.device)
    return (
        f"STEPS, BATCH_SIZE, SEQ_LEN, SEED, RANKS = {', '.join(map(repr, numbers))}\n"
        f"MODEL, TRAIN, OPTIMIZER = {', '.join(map(repr, texts[:3]))}\n"
        f"LEARNING_RATE, DTYPE, DEVICE = {', '.join(map(repr, texts[3:]))}\n"
    )


def _source(info: ScenarioInfo, tree: ast.Module) -> str:
    """Without `from __future__`, which may stand at a file's beginning only."""
    lines = info.source.rstrip().split("\n")
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    return "\n".join(lines)


def _needed(tree: ast.Module, siblings: Mapping[str, str]) -> dict[str, str]:
    """The modules that it imports, and that these import, each after those that it needs."""
    found: dict[str, str] = {}
    for name in _imported(tree):
        source = siblings.get(name, _STANDS_IN.get(name))
        if source is None or name in found:
            continue
        found |= _needed(ast.parse(source), siblings)
        if name in _STANDS_IN:
            found.setdefault("harness", "")
        found[name] = source
    return found


def _imported(tree: ast.Module) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    return names


def _quoted(source: str) -> str:
    """As a string that can be read, where it can be one."""
    if "'''" in source or "\\" in source or source.endswith("'"):
        return repr(source)
    return f"'''\n{source.rstrip()}\n'''"
