"""Any text made safe for the place where it is written: one function for each target.

A spec's title, a claim's note, a file's name or a record's device may hold anything. Whoever writes such a text calls
the function of the target, last of all. The functions never refuse a text, and what they change stays visible.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of what can't be seen: controls, formats (bidi, zero width), surrogates, separators of lines."""
_COMMAND = re.compile(r"^\s*::|##(?=\[)")
"""Where GitHub's runner reads a command in a log: `::` before anything else on a line, or `##[` anywhere."""
_MAY_BE_COMMAND = re.compile(r"(?<!\S)::|##(?=\[)")
"""The same in a text that may be wrapped at any blank."""
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|~&$]|^[#+=-](?=[\s#+=-]|$)|^\d+(?=[.)](\s|$))")
_HARMLESS = re.compile(r"\w[\w /.=+*()-]*", re.ASCII)
"""Most texts of a table's cells: they mean nothing anywhere."""
_NUMBER = re.compile(r"[-+]?\d[\d,.]*([/x]-?\d[\d,.]*)*")
_XML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
_LATEX = {
    **{letter: "\\" + letter for letter in "{}$&#_%"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",  # babel gives some languages a meaning of their own for it
}
_LIGATURE = re.compile(r"(?<=-)(?=-)|(?<=')(?=')|(?<=[`!?])(?=`)|(?<=,)(?=,)")
"""Between letters that LaTeX's fonts would join to another one."""


def visible(text: str) -> str:
    r"""The text with what can't be seen as escapes, line breaks too.

    >>> visible("a\x1b[2Jb\n\u202ec")
    'a\\x1b[2Jb\\n\\u202ec'
    """
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(letter: str) -> str:
    return letter.encode("unicode_escape").decode() if unicodedata.category(letter) in _HIDDEN else letter


def line(text: str) -> str:
    r"""One line for terminals, pipes and logs: white space is folded, the rest `visible`, nothing a GitHub command.

    Idempotent, so that cells can be measured before they are written.

    >>> line("two\n  lines"), line("::stop-commands::x")
    ('two lines', '\\x3a:stop-commands::x')
    """
    if not text.isprintable():
        text = visible(" ".join(re.split(r"[ \t\r\n]+", text.strip(" \t\r\n"))))
    return _no_command(text, _MAY_BE_COMMAND)


def lines(text: str) -> str:
    r"""Several lines for terminals, pipes and logs: line breaks stay, each line is as `line` makes it, indents too.

    >>> lines("a\x07\n    ::b")
    'a\\x07\n    \\x3a:b'
    """
    if text.isprintable() and "::" not in text and "##[" not in text:  # as nearly all are
        return text
    return "\n".join(_no_command(visible(part), _COMMAND) for part in text.split("\n"))


def wrapped(text: str) -> str:
    r"""Lines that somebody else has wrapped and coloured: none of them is a command of GitHub.

    >>> wrapped("a\n::b")
    'a\n\\x3a:b'
    """
    return "\n".join(_no_command(part, _COMMAND) for part in text.split("\n"))


def _no_command(text: str, command: re.Pattern[str]) -> str:
    if "::" not in text and "##[" not in text:
        return text
    return command.sub(lambda found: re.sub("[:#]", lambda first: rf"\x{ord(first[0]):02x}", found[0], count=1), text)


def markdown(text: str) -> str:
    r"""Text inside a line, a list's item or a table's cell of GitHub's Markdown: none of it is mark-up.

    >>> markdown("a|b *c* <d>")
    'a\\|b \\*c\\* \\<d\\>'
    """
    return _MARKDOWN.sub(lambda found: _escaped_start(found[0]), line(text).strip())


def _escaped_start(found: str) -> str:
    """A letter with a backslash before it; a number that would open a list with its dot as an entity."""
    return "\\" + found if not found.isdigit() else f"&#{ord(found[0])};{found[1:]}"


def html(text: str) -> str:
    """Text of an HTML element, or of an attribute in quotes."""
    return line(text).translate(_XML)


def xml(text: str) -> str:
    """Text of an SVG element, or of an attribute in quotes: without the letters that XML forbids."""
    return line(text).translate(_XML)


def dot_label(text: str) -> str:
    """Text inside an HTML-like label of Graphviz, where a backslash is an escape, as an entity too."""
    return xml(text).replace("\\", "&#92;&#92;")


def dot_quoted(text: str) -> str:
    r"""A label of Graphviz in double quotes.

    >>> print(dot_quoted('say "\\N" & go'))
    "say \"\\N\" &amp; go"
    """
    safe = line(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return f'"{safe}"'


def latex(text: str) -> str:
    r"""Text of LaTeX.

    >>> latex("50% of x_1")
    '50\\% of x\\_1'
    """
    return _LIGATURE.sub("{}", "".join(_LATEX.get(letter, letter) for letter in line(text)))


def csv_row(values: Iterable[Any]) -> str:
    r"""A row of comma-separated values. A text that a spreadsheet would run as a formula starts with an apostrophe.

    Numbers and what isn't a text stay as they are; what is missing is empty.

    >>> csv_row(["a,b", "=1+1", "-3", -3, None])
    '"a,b",\'=1+1,-3,-3,'
    """
    cells = map(_csv_cell, values)
    return ",".join(cells)


def _csv_cell(value: Any) -> str:
    if type(value) is int or (type(value) is str and _HARMLESS.fullmatch(value)):
        return str(value)
    cell = "" if value is None else str(value)
    if isinstance(value, str):
        cell = line(cell)
        if cell[:1] in ("=", "+", "-", "@") and not _NUMBER.fullmatch(cell):
            cell = "'" + cell
    return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\n\r') else cell


def json(value: Any, **options: Any) -> str:
    r"""JSON in ASCII, which no terminal and no log takes for anything else.

    >>> json({"a": "\x7f##[b]"})
    '{"a": "\\u007f\\u0023#[b]"}'
    """
    import json as _json

    return _json.dumps(value, **options).replace("\x7f", r"\u007f").replace("##[", r"\u0023#[")


def github(command: str, properties: Mapping[str, Any], message: str) -> str:
    """One workflow command: https://docs.github.com/actions/reference/workflow-commands-for-github-actions.

    >>> github("error", {"file": "a,b", "line": 3}, "50 % off")
    '::error file=a%2Cb,line=3::50 %25 off'
    """
    pairs = ",".join(f"{name}={_github_property(str(value))}" for name, value in properties.items())
    return f"::{command}{' ' if pairs else ''}{pairs}::{_github_data(message)}"


def _github_data(text: str) -> str:
    """The message of a command; line breaks stay line breaks."""
    safe = "\n".join(map(visible, text.split("\n"))).replace("##[", r"\x23#[")
    return safe.replace("%", "%25").replace("\n", "%0A")


def _github_property(text: str) -> str:
    return _github_data(text).replace(":", "%3A").replace(",", "%2C")
