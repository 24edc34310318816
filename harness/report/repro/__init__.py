"""A scenario as one file that needs nothing but MLX, for a maintainer to run. Pure."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from harness.model import ScenarioInfo, Settings
from harness.model.settings import BUILT_IN_MODELS
from harness.scenario.from_function import BOUND, NOT_WHOLE
from harness.scenario.load import BASELINE, names
from harness.scenario.slice_source import bound
from harness.text import late

_SETTINGS = late.compile(r"# settings: begin\n.*?# settings: end\n", re.DOTALL)
_ONLY = late.compile(r"^ *# only: (.*)\n((?:.*\n)*?) *# end\n", re.MULTILINE)
_ERROR = "class {}(Exception):\n    pass\n"
_STANDS_IN = {"harness.errors": _ERROR.format("SkipError") + "\n\n" + _ERROR.format("UsageError")}
"""The names that a scenario may import from this package."""


def script(info: ScenarioInfo, settings: Settings, siblings: Mapping[str, str]) -> str:
    """The file's text. `siblings` are the sources of the modules that lie beside the scenario's.

    Raises ValueError for a scenario whose source cannot be read as Python.
    """
    unchanged = info.own is not None and info.name == BASELINE
    source = info.own.source if info.own is not None and unchanged else info.source
    tree = _parsed(info.name, source)
    needed = _needed(tree, siblings)
    modules = "".join(f"module({name!r}, {_quoted(text)})\n\n" for name, text in needed.items())
    if source.startswith(NOT_WHOLE):
        raise ValueError(source.partition("\n")[0].removeprefix(NOT_WHOLE))
    body = _without_future(source, tree)
    # Where it has a name for something that the parts around it have as well, it is kept apart.
    apart = bool(_own(tree) & _own(ast.parse(_alone())))
    how = command(settings) if settings.ranks > 1 else ""
    around = _only(settings, [source, *needed.values()], bool(needed) or apart)
    parts = [
        *(["from __future__ import annotations\n\n"] if _future(tree) else []),
        *([f"# Run by: {how}\n"] if how else []),
        _SETTINGS.sub(lambda _: _constants(settings), around),
        f"\n\n{modules}# --- {info.name}\n",
        f"scenario = module('scenario', {_quoted(body)})" if apart else body,
        f"\n\n{_run(tree, 'scenario.' if apart else '')}\n",
    ]
    return "".join(parts)


_SHIPPED = late.compile(r"<(?:harness|site-packages)>/(?:harness/)?scenarios/")
"""The beginning of a published path of a scenario in the installed package."""


def shipped(info: ScenarioInfo) -> bool:
    """True for a scenario that is a part of the harness: who has that needs no file."""
    return _SHIPPED.match(info.path) is not None


def beside(info: ScenarioInfo, siblings: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The modules that the scenario imports from the files beside it, by name, with their source.

    A shipped scenario needs none of them from here.
    """
    if shipped(info):
        return ()
    try:
        needed = _needed(_parsed(info.name, info.source), siblings)
    except ValueError:
        return ()
    return tuple((name, text) for name, text in needed.items() if name in siblings)


def command(settings: Settings) -> str:
    """The command that runs the file."""
    python = "python repro.py"
    return f"mlx.launch -n {settings.ranks} -- {python}" if settings.ranks > 1 else python


def _run(tree: ast.Module, at: str) -> str:
    brought = names(tree)
    if BOUND in brought and "make_step" in _keys(tree):
        return f"main(**{at}{BOUND})"
    batches = f", {at}batches" if "batches" in brought else ""
    return f"main({at}make_step{batches})"


def _own(tree: ast.Module) -> set[str]:
    """Names at its top level that are no import's."""
    statements = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    return {name for node in statements for name in bound(node)} - {"SETTINGS"}


def requires(script: str) -> tuple[str, ...]:
    """The modules, besides MLX, that `script` needs installed or beside it."""
    tree = ast.parse(script)
    sources = [tree, *map(ast.parse, _inlined(tree).values())]
    named = {name.partition(".")[0] for source in sources for name in _imported(source)}
    provided = {name.partition(".")[0] for name in _inlined(tree)}
    return tuple(sorted(named - provided - sys.stdlib_module_names - {"mlx"}))


def _inlined(tree: ast.Module) -> dict[str, str]:
    """The modules that a script brings with it, by name."""
    calls = [node.value for node in tree.body if isinstance(node, ast.Expr | ast.Assign)]
    return {
        ast.literal_eval(call.args[0]): ast.literal_eval(call.args[1])
        for call in calls
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "module"
    }


def _parsed(name: str, source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error


def _only(settings: Settings, sources: Sequence[str], module: bool) -> str:
    """The needed part of alone.py: a shorter one is read sooner."""
    conditions = {
        "built_in": settings.model in BUILT_IN_MODELS,
        "loaded": settings.model not in BUILT_IN_MODELS,
        "dtype": settings.dtype,
        "lora": settings.train == "lora"
        or (settings.train is None and settings.model not in BUILT_IN_MODELS),
        "last": (settings.train or "").startswith("last:"),
        "ranks": settings.ranks > 1,
        "device": settings.device,
        "module": module,
    }
    used = {f".{name}" for text in sources for name in re.findall(r"\.(\w+)", text)}
    used |= {name for name, holds in conditions.items() if holds}

    def kept(match: re.Match[str]) -> str:
        return match[2] if used.intersection(match[1].split()) else ""

    text = _ONLY.sub(kept, _alone())
    return re.sub(r"\n{3,}(?= )", "\n\n", re.sub(r"\n{4,}", "\n\n\n", text))


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


def _keys(tree: ast.Module) -> list[Any]:
    """The role names of the functions that a scenario binds by its last statement."""
    last = tree.body[-1]
    if not isinstance(last, ast.Assign) or not isinstance(last.value, ast.Dict):
        return []
    return [key.value for key in last.value.keys if isinstance(key, ast.Constant)]


def _future(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )


def _without_future(source: str, tree: ast.Module) -> str:
    """Without `from __future__`, which may stand at a file's beginning only: it does."""
    lines = source.rstrip().split("\n")
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    return "\n".join(lines)


def _needed(tree: ast.Module, siblings: Mapping[str, str]) -> dict[str, str]:
    """The modules that it imports, and that these import, each after those that it needs."""
    modules: dict[str, str] = {}
    for name in _imported(tree):
        source = siblings.get(name, _STANDS_IN.get(name))
        if source is None or name in modules:
            continue
        modules |= _needed(_parsed(name, source), siblings)
        if name in _STANDS_IN:
            modules.setdefault("harness", "")
        modules[name] = source
    return modules


def _imported(tree: ast.Module) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    return names


def _quoted(source: str) -> str:
    """Write a value as a readable string literal, where possible."""
    if "'''" in source or "\\" in source or source.endswith("'"):
        return repr(source)
    return f"'''\n{source.rstrip()}\n'''"
