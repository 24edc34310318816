"""Words and numbers in markdown: nothing that a worker wrote can become markup."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from harness.report import text
from harness.text.sanitize import sanitize
from harness.text.units import duration

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def shown(source):
    """What a reader sees of one paragraph, and the kinds of tokens that make it."""
    tokens = MARKDOWN.parse(source)
    inline = [child for token in tokens for child in token.children or []]
    words = "".join(child.content for child in inline).replace("\u200b", "")
    return words, {token.type for token in tokens} | {child.type for child in inline}


def test_a_figure_that_is_not_known_is_a_dash():
    assert text.known(None, duration) == "–"
    assert text.known(0.0, duration) == "0 s"


@given(st.text() | st.text("ab1|`\\*_[]()<>@#&$~-+=.\n\t !"))
def test_a_cell_shows_its_text_and_nothing_else(value):
    words, kinds = shown(text.cell(value))
    assert words == text.line(value, 240).replace("\u200b", "")
    assert kinds <= {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}


@given(st.text() | st.text("ab1|`\\*_<>@\n "))
def test_a_row_has_as_many_cells_as_it_was_given(value):
    table = text.table(["a", "b"], [[text.cell(value), text.code(value)]])
    tokens = MARKDOWN.parse(table + "\n")
    assert [t.type for t in tokens].count("td_open") == 2
    assert len(re.findall(r"(?<!\\)\|", table.splitlines()[2])) == 3


@given(st.text() | st.text("`~\n >|<"))
def test_nothing_ends_a_fence_but_its_end(value):
    tokens = MARKDOWN.parse(text.fence(value, "text") + "\n\n# after\n")
    kinds = [token.type for token in tokens]
    assert kinds == ["fence", "heading_open", "inline", "heading_close"]
    assert tokens[0].content.rstrip("\n") == sanitize(value).rstrip().rstrip("\n")


@pytest.mark.parametrize(
    "word", ["@someone", "#123", "https://example.org", "www.example.org", "GH-12", "a/b#3"]
)
def test_nobody_is_mentioned_and_nothing_is_linked(word):
    assert word not in text.cell(f"ask {word}")
    assert word not in text.heading(f"ask {word}")


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x07", "link"),
        ("10 %\r50 %\r100 %\n", "100 %\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("a\x00\x07\u202eb\u200b\ud800\ufffec", "abc"),
        ("tab\tstays", "tab\tstays"),
        ("é 日本 ✅", "é 日本 ✅"),
    ],
)
def test_plain_text_has_no_terminal_in_it(raw, left):
    assert sanitize(raw) == left


def test_a_table_that_is_too_long_loses_whole_rows():
    table = text.table(["a"], [["x" * 100]] * 100, limit=1_000)
    assert len(table) < 1_100
    assert "rows are left out" in table
    assert {len(line) for line in table.splitlines()[2:-2]} == {104}
