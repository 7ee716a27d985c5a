"""Any text in any target: well-formed, read back as what it was, and nothing in it taken for more than text."""

from __future__ import annotations

import csv
import json
import random
import re
import sys
import unicodedata
from html.parser import HTMLParser
from io import StringIO
from xml.etree import ElementTree

import pytest

from archcalc import text

LETTERS = [chr(number) for number in range(sys.maxunicode + 1)]
VISIBLE = [letter for letter in LETTERS if letter.isprintable()]
HIDDEN = "\x00\x07\x08\x1b\x7f\x85\x9b\u200b\u200e\u2028\u202e\u2066\u2069\udfff\ud800\ufeff\ufffe\U000e0001"
NASTY = f"::stop-commands::x\n ::error::y\r##[set-env]{HIDDEN}</text>--><b>&amp;\"'`|*_[a](b)\\\\N{{}}$%#~^,;=1+1\t"
TARGETS = ("line", "markdown", "html", "xml", "dot_label", "dot_quoted", "latex", "github")


def written(target: str, value: str) -> str:
    """A text for a target."""
    return text.github("error", {"file": value}, value) if target == "github" else getattr(text, target)(value)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_hidden_reaches_a_target(target: str) -> None:
    """Every letter of Unicode: controls, bidi, zero width and surrogates come out as escapes, the others as they are."""
    hidden = [letter for letter in LETTERS if unicodedata.category(letter) in text._HIDDEN]
    assert set(HIDDEN) <= set(hidden)
    for letter in (*hidden[:500], *hidden[500::997], *HIDDEN):
        found = written(target, f"a{letter}b")
        assert found.isprintable() or found == written(target, "a b"), repr(letter)
    plain = "".join(letter for letter in VISIBLE if letter.isalpha())
    assert plain in written(target, plain)


@pytest.mark.parametrize("target", [*TARGETS, "lines"])
def test_no_text_is_a_command_of_github(target: str) -> None:
    """No line starts with `::`, whatever stands before it, and `##[` is nowhere."""
    for start in ("", " ", "\t", "\n", "a\n", "a\r\n  ", "\x0b", "\u2003", "\x1b"):
        for line in written(target, f"{start}::stop-commands::x ##[debug]").split("\n"):
            assert "##[" not in line
            body = line.removeprefix("::error ") if target == "github" else line
            assert not body.lstrip().startswith("::"), line


def test_lines_are_written_once_only() -> None:
    """Cells are measured after `line`, and written through it again."""
    assert text.line(NASTY) == text.line(text.line(NASTY))
    assert text.lines(NASTY) == text.lines(text.lines(NASTY))
    assert len(NASTY.split("\n")) == len(text.lines(NASTY).split("\n"))


def test_html_and_svg_are_read_back() -> None:
    """A parser finds the text, and no element of its own."""
    for value in (NASTY, "a & b < c > d \" e ' f"):
        root = ElementTree.fromstring(f'<svg a="{text.xml(value)}"><text>{text.xml(value)}</text></svg>')
        assert (text.line(value),) * 2 == (root.get("a"), root[0].text)
        assert 1 == len(list(root[0].iter()))
        seen: list[str] = []
        parser = HTMLParser()
        parser.handle_data = seen.append  # type: ignore[method-assign]
        parser.handle_starttag = lambda tag, _: pytest.fail(tag)  # type: ignore[method-assign, assignment]
        parser.feed(text.html(value))
        parser.close()
        assert text.line(value) == "".join(seen)


def test_dot_is_read_back() -> None:
    """Graphviz shows the text itself, quoted or in an HTML-like label: no escape, no entity, no mark-up."""
    pygraphviz = pytest.importorskip("pygraphviz")
    for value in (NASTY, r"\N \G \l \n", "&lt;B&gt;", 'say "no"', "trailing \\"):
        for label in (text.dot_quoted(value), f"<<B>{text.dot_label(value)}</B>>"):
            drawn = pygraphviz.AGraph(string=f"graph {{ a [label={label}] }}").draw(format="svg", prog="dot")
            shown = ElementTree.fromstring(drawn).findall(".//{http://www.w3.org/2000/svg}text")
            assert [text.line(value)] == ["".join(part.itertext()).replace("\xa0", " ") for part in shown], label


def test_csv_is_read_back_and_runs_nothing() -> None:
    """A reader finds the cells; what a spreadsheet would run starts with an apostrophe, and numbers stay numbers."""
    cells = [
        "a,b",
        'c"d',
        "e\nf",
        NASTY,
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-1+1",
        "@SUM(A1)",
        "-3",
        "+2.5",
        "1/2",
        "-1/2",
        "-3x-5",
    ]
    (row,) = csv.reader(StringIO(text.csv_row([*cells, -3, 10**30, ""])))
    guarded = ["'=1+1", "'+cmd|' /C calc'!A0", "'-1+1", "'@SUM(A1)"]
    assert ["a,b", 'c"d', "e f", text.line(NASTY), *guarded, *cells[8:], "-3", str(10**30), ""] == row


def test_json_is_ascii_and_read_back() -> None:
    """Nothing but printable ASCII and line breaks, and the same value."""
    for value in (NASTY, {NASTY: [NASTY]}, HIDDEN):
        written = text.json(value, indent=1)
        assert value == json.loads(written)
        assert re.fullmatch(r"[ -~\n]*", written)
        assert "##[" not in written


MARKS = [
    "|", "\\", "`", "``", "*", "**", "_", "__", "~~", "[a](b)", "![a](b)", "<b>", "<!--", "-->", "<http://a.b>", "&amp;", "&#65;",
    "&", "#", "# ", "- ", "+ ", "1. ", "12) ", "> ", "---", "===", "\n", "\n\n", "    ", "a", "b c", "[^1]", "[x] ", "::", "\x1b",
    "\\\n", "  \n", "(", ")", "!", ":",
]  # fmt: skip
PLACES = {"{}": "{}", "- {}": "{}", "- a: {}": "a: {}", "**x{}**": "x{}", "| a | b |\n| -- | -- |\n| {} | 1 |": "ab{}1"}


@pytest.mark.parametrize("place", PLACES)
def test_markdown_is_read_back(place: str) -> None:
    """A parser finds the text, in paragraphs, items, bold, and cells of tables; and no mark-up but that around it."""
    markdown_it = pytest.importorskip("markdown_it")
    parser = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    draw = random.Random(1)
    for _ in range(2000):
        value = "".join(draw.choice(MARKS) for _ in range(draw.randint(1, 8)))
        tokens = parser.parse(place.format(text.markdown(value)))
        inside = [part for token in tokens for part in token.children or ()]
        read = "".join(part.content for part in inside if part.type in ("text", "text_special"))
        assert PLACES[place].format(text.line(value).strip()).strip() == read.strip(), repr(value)
        assert {"text", "text_special", "strong_open", "strong_close"} >= {part.type for part in inside}, repr(value)


def test_markdown_stays_readable() -> None:
    """What can't be taken for mark-up is as it was."""
    assert "3x3, 64-d: a (b) #5 50% 1.5" == text.markdown("3x3, 64-d: a (b) #5 50% 1.5")
    assert ["-3", "4.20 kB", "+1"] == [text.markdown(value) for value in ("-3", "4.20 kB", "+1")]
    assert "&#49;2. a" == text.markdown("12. a")
