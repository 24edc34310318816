"""Log lines that try to leave their place in a report, and whether one did."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from html.parser import HTMLParser

import fakes
from markdown_it import MarkdownIt
from markdown_it.token import Token

from harness.model import Outcome
from harness.report import html, issue, markdown
from harness.report.input import ReportInput

PARTS = (
    *("`", "```", "````", "~~~", "\n```\n", "</details>", "</summary>", "</pre>", "</code>"),
    *("<script>alert(1)</script>", "</script>", "<img src=x onerror=alert(1)>", "<!--", "-->"),
    *("]]>", "&lt;", "&#96;&#96;&#96;", "@octocat", "@org/team", "#1", "GH-1"),
    *("http://evil.example", "![x](y)", "[a](b)", "|", "\\", "'", '"', "$$", "${x}"),
    *("\x00", "\x07", "\x1b[31m", "\x1b]8;;http://evil.example\x07", "\r", "\t"),
    *("\u2028", "\u202e", "\ud7ff", "\ufffe", "\x0b", "\x0c", "\x85", "🦊"),
    *("{{ x }}", "{% x %}", "# title", "- item", "> quote", "    ", "%0A"),
    *("loss", " 3.25 ", "step 4"),
)
MENTION = re.compile(r"@(?:octocat|org)|(?<![\w\u200b])#1\b")


def line(draw: random.Random) -> str:
    return "".join(draw.choices(PARTS, k=draw.randint(1, 8)))


class Tags(HTMLParser):
    """Which elements there are, with their attributes' names, and how often."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, tuple[str, ...]]] = set()
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add((tag, tuple(name for name, _ in attrs)))
        self.scripts += tag == "script"


def tags(page: str) -> Tags:
    found = Tags()
    found.feed(page)
    return found


def data(lines: list[str]) -> ReportInput:
    text = "\n".join(lines)
    result = fakes.result(outcome=Outcome.CRASHED, reason=lines[0], steps_completed=3)
    return ReportInput(fakes.run(result), log_tails=lambda _: {"stdout": text, "stderr": text})


def escaped(lines: list[str]) -> list[str]:
    """What left its place, in words; empty where nothing did."""
    made, calm = data(lines), data(["x"] * len(lines))
    return [
        *_markdown(markdown.render(made), markdown.render(calm)),
        *_markdown(issue.draft(made), issue.draft(calm)),
        *_html(html.render(made), html.render(calm)),
    ]


def _markdown(report: str, calm: str) -> list[str]:
    """A report with other lines in its logs has the same blocks, and no more links or elements."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens, usual = parser.parse(report), parser.parse(calm)
    wrong = []
    if [token.type for token in tokens] != [token.type for token in usual]:
        wrong.append(f"other blocks: {[token.type for token in tokens]}")
    if _spans(tokens) != _spans(usual):
        wrong.append(f"other spans: {_spans(tokens) ^ _spans(usual)}")
    inline = [child for token in tokens for child in token.children or ()]
    wrong += [f"a mention: {one.content[:80]!r}" for one in inline if MENTION.search(one.content)]
    return wrong


def _spans(tokens: Sequence[Token]) -> set[str]:
    """Elements, links and pictures in lines of text."""
    inline = [child for token in tokens for child in token.children or ()]
    return {
        one.content if one.type == "html_inline" else one.type
        for one in inline
        if one.type in ("html_inline", "link_open", "image")
    }


def _html(page: str, calm: str) -> list[str]:
    found, usual = tags(page), tags(calm)
    wrong = [f"element {one}" for one in found.seen - usual.seen]
    if found.scripts != usual.scripts:
        wrong.append(f"{found.scripts} scripts, not {usual.scripts}")
    return wrong
