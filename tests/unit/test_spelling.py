"""American spelling, in everything that people read here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unmeasured  # reads the package, and runs nothing of it
ROOT = Path(__file__).parents[2]
BRITISH = re.compile(
    r"(?i)(?<![a-z])(un|re|mis)?("
    r"(behavi|col|fav|hon|lab|neighb)our\w*|(centre|metre|litre|fibre|theatre)s?|(de|of)fence"
    r"|(judge|acknowledge)ment\w*|fulfil|enrol|catalogues?|grey\w*|artefacts?|whilst|learnt|spelt"
    r"|(cancel|label|model|signal|travel|level|total|channel|tunnel)l(ed|ing)"
    r"|(analy|paraly|cataly)s(ed?|es|ing)|(authori|capitali|categori|characteri|customi|emphasi"
    r"|finali|generali|initiali|locali|materiali|maximi|memori|minimi|normali|optimi|organi"
    r"|paralleli|penali|prioriti|quanti|randomi|reali|recogni|seriali|speciali|stabili|standardi"
    r"|summari|synchroni|tokeni|utili|vectori|visuali)s(e[ds]?|ing|ations?|ers?)"
    r")(?![a-z])"
)
OTHERS = {"analyses", "tokenising"}
"""The plural of a noun, in both spellings; a word that logs have."""


def texts():
    for folder, ends in (("harness", "*.py"), ("scenarios", "*.py"), ("docs", "*.md")):
        yield from (ROOT / folder).rglob(ends)
    yield from ROOT.glob("*.md")


def british(text: str) -> list[str]:
    return [found[0] for found in BRITISH.finditer(text) if found[0].lower() not in OTHERS]


def test_spelling_is_american():
    wrong = {
        path.relative_to(ROOT).as_posix(): words
        for path in texts()
        if (words := british(path.read_text(encoding="utf-8")))
    }
    assert wrong == {}


def test_british_spelling_is_found():
    assert british("Behaviours are unrecognised; a cancelled_one, OPTIMISED, signalled.") == [
        "Behaviours", "unrecognised", "cancelled", "OPTIMISED", "signalled",
    ]  # fmt: skip
    assert not british("The advise of an analysis is realistic: labor, aria-labelledby, level.")
