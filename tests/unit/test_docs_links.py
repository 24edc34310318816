"""Every link and path that the documents, the code or the tests name leads somewhere."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.md")])
CODE = [
    *(
        file
        for folder in ("harness", "scenarios", "benchmarks", "tests")
        for file in sorted(ROOT.glob(f"{folder}/**/*.py"))
        if file != Path(__file__)  # it has broken paths on purpose
    ),
    *(ROOT / script for script in ("Makefile", "pyproject.toml", "mkdocs.yml", ".ci/run")),
]
NAMES = {page.name for page in [*PAGES, *ROOT.glob("tests/**/*.md")]}
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"""\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)\"""")
PATH = re.compile(r"(?<![\w./-])docs/[\w./-]*\w")
SOURCE = re.compile(r"`((?:harness|scenarios|benchmarks|tests)/[\w./-]+)`")
OLD_PAGE = re.compile(r"(?<![\w/.-])[A-Z_]{2,}\.md\b")


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@cache
def read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page, as GitHub and the site both make them from its headings."""
    text = re.sub(r"[`*]", "", FENCE.sub("", read(page)))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return frozenset(
        re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) for title in titles
    )


def broken(page: Path, text: str) -> list[str]:
    """The targets of relative links in `text` that do not exist."""
    bad = []
    for target in (first or second for first, second in LINK.findall(FENCE.sub("", text))):
        path, _, anchor = target.partition("#")
        if re.match(r"\w+:", target):
            continue
        file = Path(os.path.normpath(page.parent / path)) if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            bad.append(target)
    return bad


def unknown(pattern: re.Pattern[str], text: str) -> list[str]:
    """The paths of the repository in `text` that do not exist."""
    return [path for path in pattern.findall(text) if not (ROOT / path).exists()]


def test_there_are_pages_and_links_to_check():
    assert len(PAGES) > 30
    assert sum(len(LINK.findall(read(page))) for page in PAGES) > 100
    assert sum(len(PATH.findall(read(file))) for file in CODE) > 10


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    assert broken(page, read(page)) == []
    assert unknown(PATH, read(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_source_files_that_a_page_names_exist(page):
    assert unknown(SOURCE, read(page)) == []


def test_pages_that_the_code_names_exist():
    named = {name(file): unknown(PATH, read(file)) for file in CODE}
    named |= {f"{name(file)} ": set(OLD_PAGE.findall(read(file))) - NAMES for file in CODE}
    assert {file: paths for file, paths in named.items() if paths} == {}


def test_broken_links_and_paths_are_found():
    page = ROOT / "docs" / "index.md"
    good = "[a](guide/watch.md) [b](guide/watch.md#ranks) <https://x.example> `harness/api.py`"
    assert broken(page, good) == []
    bad = ["guide/no.md", "guide/watch.md#no-such-heading", "#no-such-heading"]
    assert broken(page, " ".join(f"[x]({target})" for target in bad)) == bad
    assert broken(page, '<img src="figures/no.png">') == ["figures/no.png"]
    assert unknown(PATH, "see docs/guide/watch.md and docs/WATCH.md") == ["docs/WATCH.md"]
    assert unknown(SOURCE, "`harness/api.py`, `harness/no.py`") == ["harness/no.py"]


def test_the_site_and_the_index_lead_to_every_page():
    def leaves(entry):
        if isinstance(entry, str):
            yield entry
        else:
            for child in entry.values() if isinstance(entry, dict) else entry:
                yield from leaves(child)

    pages = {file.relative_to(ROOT / "docs").as_posix() for file in ROOT.glob("docs/**/*.md")}
    site = yaml.safe_load(read(ROOT / "mkdocs.yml"))
    assert sorted(leaves(site["nav"])) == sorted(pages)
    linked = {target for target, _ in LINK.findall(read(ROOT / "docs" / "index.md"))}
    assert pages - {"index.md"} <= linked
