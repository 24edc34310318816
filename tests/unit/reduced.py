"""What a pass of a reduction makes of a text, as the tests compare it."""

from __future__ import annotations

import ast

from harness.reduce import edit


def plain(text):
    """`text` as ast writes it."""
    return ast.unparse(ast.parse(text))


def each(text, made):
    """`text` after each edit by itself, as ast writes it."""
    module = edit.parsed(text)
    return [plain(edit.applied(module, [one]) or "") for one in made(module)]
