"""What was written, read back by parsers that aren't ours: the tables in a text of each format, cell by cell."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from markdown_it import MarkdownIt

Rows = list[list[str]]


def csv_rows(text: str) -> Rows:
    """The lines of comma-separated values."""
    return list(csv.reader(io.StringIO(text), strict=True))


class _Page(HTMLParser):
    """The tables of a page, and its other texts by their elements; every element has its end."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[Rows] = []
        self.texts: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002  # the base's signature
        """Note an element."""
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag in ("caption", "li", "p", "title"):
            self.texts.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        """See that it's the last one's."""
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        """Keep the text of a cell or another element."""
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data
        elif self.open and self.open[-1] in ("caption", "li", "p", "title"):
            self.texts[-1] = (self.open[-1], self.texts[-1][1] + data)


def html_page(text: str) -> _Page:
    """A page or a fragment; it's balanced."""
    page = _Page()
    page.feed(text)
    page.close()
    assert [] == page.open
    return page


def markdown_tables(text: str) -> tuple[list[Rows], list[str]]:
    """The tables, and the other texts: none of them has any mark-up left but what is bold."""
    tables: list[Rows] = []
    texts: list[str] = []
    inside = ""
    for token in MarkdownIt("commonmark").enable("table").enable("strikethrough").parse(text):
        inside = token.type if token.type in ("th_open", "td_open", "paragraph_open") else inside
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type == "inline":
            assert {child.type for child in token.children or ()} <= {
                "text",
                "text_special",
                "strong_open",
                "strong_close",
            }
            found = "".join(child.content for child in token.children or ())
            if inside == "paragraph_open":
                texts.append(found)
            else:
                tables[-1][-1].append(found)
    return tables, texts


_MACROS = {
    "textbackslash": "\\", "textasciicircum": "^", "textasciitilde": "~", "textless": "<", "textgreater": ">",
    "textbar": "|", "char": "\0", ",": ",", "times": "x",
}  # fmt: skip
_RULES = ("toprule", "midrule", "bottomrule", "endhead", "endfirsthead", "caption", "centering", "medskip", "par")
_SETTINGS = ("footnotesize", "raggedright")


def latex_tables(text: str) -> tuple[list[Rows], list[str]]:
    """The tables, each row with as many cells as there are columns, and the captions; every group has its end."""
    walker = pytest.importorskip("pylatexenc.latexwalker", reason="pylatexenc reads LaTeX")
    nodes, _, _ = walker.LatexWalker(text, tolerant_parsing=False).get_latex_nodes()
    reader = _Latex(walker)
    reader.read(nodes)
    return reader.tables, reader.captions


def _quotes(text: str) -> str:
    r"""A text with what `\char34` says."""
    return text.replace("\0" + "34", '"')


class _Latex:
    """The tables of LaTeX, from pylatexenc's nodes."""

    def __init__(self, walker: Any) -> None:
        self.walker = walker
        self.tables: list[Rows] = []
        self.captions: list[str] = []

    def read(self, nodes: Any) -> None:
        """Look for tables in nodes and in the environments among them."""
        for node, following in pairwise([*nodes, None]):
            if isinstance(node, self.walker.LatexMacroNode):
                known = (*_RULES, *_SETTINGS, *_MACROS, *"{}$&#_%")
                assert node.macroname in known, node.macroname
                if node.macroname == "caption":
                    argument = node.nodeargd.argnlist[-1] if node.nodeargd and node.nodeargd.argnlist else following
                    self.captions.append(self.text([argument]))
            elif isinstance(node, self.walker.LatexEnvironmentNode):
                assert node.environmentname in ("table", "tabular", "longtable")
                if node.environmentname == "table":
                    self.read(node.nodelist)
                else:
                    self.tables.append(self.rows(node))

    def rows(self, node: Any) -> Rows:
        """The rows of one table, without the rules; a caption's line is none."""
        rows: Rows = [[""]]
        nodes = list(node.nodelist)
        if node.environmentname == "longtable":  # its columns are read as a group in front
            columns, *nodes = [each for each in nodes if not isinstance(each, str)]
            form = columns.latex_verbatim()[1:-1]
        else:
            form = node.nodeargd.argnlist[-1].latex_verbatim()[1:-1]
        skip = False
        for each in nodes:
            name = getattr(each, "macroname", "")
            if skip:
                skip = False
            elif name == "caption":
                argument = each.nodeargd.argnlist[-1] if each.nodeargd and each.nodeargd.argnlist else None
                skip = argument is None
                self.captions.append(self.text([argument if argument is not None else nodes[nodes.index(each) + 1]]))
            elif name == "\\":
                rows.append([""])
            elif getattr(each, "specials_chars", "") == "&":
                rows[-1].append("")
            elif name not in _RULES:
                rows[-1][-1] += self.text([each])
        assert [""] == [cell.strip() for cell in rows.pop()]
        found = [[_quotes(cell.strip()) for cell in row] for row in rows if row[1:] or row[0].strip()]
        count = len(re.findall(r"S\[[^]]*\]|p\{[^}]*\}|[lr]", form))
        assert {count} == set(map(len, found))
        return found

    def text(self, nodes: Any) -> str:
        """What nodes say: letters, groups, and the macros that stand for letters; nothing else may be there."""
        return _quotes("".join(map(self._one, nodes)))

    def _one(self, node: Any) -> str:
        walker = self.walker
        if isinstance(node, walker.LatexCharsNode):
            return str(node.chars)
        if isinstance(node, (walker.LatexGroupNode, walker.LatexMathNode)):
            return self.text(node.nodelist)
        assert isinstance(node, walker.LatexMacroNode), node  # no comment, no ligature, no other special
        assert not (node.nodeargd and any(node.nodeargd.argnlist or ())), node
        return str(_MACROS.get(node.macroname, node.macroname))
