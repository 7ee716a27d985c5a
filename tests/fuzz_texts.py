"""Texts of strangers through the whole program: `python -m tests.fuzz_texts --examples 5000 --seed 1`.

Random texts, made of what means something to a terminal, a log, a format or a language, stand wherever a spec may have
one, with random names beside them; a random command writes in a random format. Nothing hidden and no command may come
out, what comes out must be well-formed, and nothing may be a bug.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import re
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

from archcalc.__main__ import main as archcalc
from tests.readers import latex_tables

HIDDEN = "\x00\x07\x08\x1b[31m\x7f\x85\x9b\u200b\u200e\u2028\u202e\u2066\u2069\ufeff\ufffe"
NASTY = (
    f"::stop-commands::x\n::error::y\r##[set-env]{HIDDEN}</text>--></title><script>x</script>&amp;"
    "\"\"\"'''`|*_[a](b)\\N\\\\{}$%#~^,;\n=1+1\t ::end"
)
"""Everything that means something to somebody; as JSON it's a text in YAML, too."""
QUOTED = json.dumps(NASTY)
ARGUMENT = NASTY.replace("\0", "\udcff")
"""What a command line may hold: no null, but bytes that aren't UTF-8."""
SPEC = """archcalc: 1
name: nasty
title: TEXT
source: TEXT
notes: TEXT
input: {C: 3, H: 8, W: 8}
hparams:
  k: {value: 4, doc: TEXT}
layers:
  - conv1: conv k 3x3 -> relu
  - (conv k 3x3 p=1)*2
  - flatten -> fc 5
claims:
  - source: TEXT
    params: 3
    note: TEXT
  - source: TEXT
    params: 4
    holds: false
    note: TEXT
variants: {small: {k: 2, as: nasty_small}, large: {k: 8}}
"""
"""A sound spec with a text wherever there may be one."""


def assert_harmless(written: str) -> None:
    """No letter that can't be seen, and no line that GitHub takes for a command."""
    for line in written.split("\n"):
        hidden = [
            letter for letter in line if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        ]
        assert [] == hidden, line
        assert not line.lstrip().startswith("::"), line
        assert "##[" not in line, line


class Elements(HTMLParser):
    """Which elements there are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002  # the base's signature
        """Note an element."""
        self.found.add(tag)


def _json(text: str) -> None:
    json.loads(text)


def _html(text: str) -> None:
    page = {"html", "head", "meta", "title", "style", "body"}
    rows = {"table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th"}
    assert Elements(text).found <= {*page, *rows, "ul", "li", "p"}


def _csv(text: str) -> None:
    rows = list(csv.reader(io.StringIO(text), strict=True))
    assert 1 == len(set(map(len, rows)))


def _svg(text: str) -> None:
    assert "script" not in {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(text).iter()}


def _dot(text: str) -> None:
    import pygraphviz

    assert pygraphviz.AGraph(string=text).nodes()


def _markdown(text: str) -> None:
    assert not re.search(r"(?<!\\)[<`]", text)


def _python(text: str) -> None:
    compile(text, "exported.py", "exec")


def _plain(text: str) -> None:
    assert text


def _latex(text: str) -> None:
    latex_tables(text)


FORMATS: dict[str, Callable[[str], None]] = {
    "plain": _plain, "table": _plain, "json": _json, "csv": _csv, "markdown": _markdown, "html": _html, "latex": _latex,
    "latex-siunitx": _latex,
}  # fmt: skip
TABLES = (
    "table {}", "claims {}", "claims --all --specs {folder}", "list --specs {folder}", "receptive-field {}", "check {}",
    "explain {} conv1", "solve {} --params 1K --set k=1..9", "sweep {} --set k=1..3", "compare {} --set k=7",
)  # fmt: skip
COMMANDS: dict[str, Callable[[str], None]] = {
    **{f"{command} --format {form}": reads for command in TABLES for form, reads in FORMATS.items()},
    "table {} --style slides": _plain, "table {} --symbolic H,W --format markdown": _markdown,
    "table {} --symbolic H,W --format latex": _latex,
    "check {}": _plain, "check {} --symbolic H,W": _plain,
    "explain {} conv1": _plain,
    "formula {}": _plain, "formula {} conv1": _plain, "formula {} --format latex": _plain,
    "formula {} --format python": _python, "formula {} --format sympy": _plain,
    "render {} --format svg": _svg, "render {} --format dot": _dot,
    "solve {} --output 4x4 --layer conv1": _plain,
    "export {}": _python,
    "verify {} --device meta": _plain, "verify {} --device meta --format json": _json,
    "verify {} --device meta --format latex": _latex,
}  # fmt: skip
WITH_FILES = ("table", "receptive-field", "render", "formula", "explain", "sweep", "export")

# --- random texts -------------------------------------------------------------------------------------------------

ATOMS = [
    *HIDDEN, *"\\|`*_[]<>(){}$%#~^&;,'\"!?=+-@:/", "::", " ::x::", "\n", "\r\n", "\n\n", "\t", "  ", "##[x]", "##[", "::x\n::y::z",
    "<b>", "</td>", "<!--", "-->", "]]>", "&amp;", "&#65;", "\\N", "\\n", "\\\\", "\"\"\"", "\'\'\'", "%s", "{x}", "{}", "=1+1", "-1", "@A1",
    "a", "Größe", "中", "\U0001f600", "e\u0301", "word " * 30, "x" * 100, "1", "2.5", "#", "- ", "1. ", "[red]", ":smile:",
]  # fmt: skip
LETTERS = "abcXYZ0189_./+-éß中²ª"


def text(draw: random.Random) -> str:
    """Some atoms, or letters from anywhere in Unicode but its surrogates."""
    if draw.random() < 0.2:
        letters = [chr(draw.randrange(0x11_0000)) for _ in range(draw.randint(1, 10))]
        return "".join(letter for letter in letters if unicodedata.category(letter) != "Cs")
    return "".join(draw.choice(ATOMS) for _ in range(draw.randint(0, 12)))


def spec(draw: random.Random) -> str:
    """The spec with a text of its own in each place, and a layer of a random name."""
    name = "".join(draw.choice(LETTERS) for _ in range(draw.randint(1, 8)))
    named = SPEC.replace("- flatten", f"- {json.dumps(name)}: relu\n  - flatten")
    return re.sub("TEXT", lambda _: quoted(text(draw)), named)


def quoted(value: str) -> str:
    """A text in YAML's double quotes; beyond 16 bits it has escapes of its own, where JSON has two surrogates."""
    return "".join(json.dumps(part)[1:-1] if ord(part) < 0x1_0000 else f"\\U{ord(part):08x}" for part in value).join(
        '""'
    )


def example(draw: random.Random, folder: Path) -> int:
    """One spec and one command; its exit code.

    Raises: AssertionError: what comes out is not harmless, not well-formed, or a bug.
    """
    (folder / "nasty.yaml").write_text(spec(draw), encoding="utf-8", newline="")
    command, look = draw.choice(list(COMMANDS.items()))
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = archcalc(command.format(folder / "nasty.yaml", folder=folder).split())
    shown, told = (stream.detach().getvalue().decode("utf-8") for stream in (out, err))
    assert "this is a bug" not in told, told
    assert_harmless(shown.replace("\t", "  ") if command.endswith("dot") else shown)
    assert_harmless(told)
    if code == 0 or (shown and command.startswith("claims")):
        look(shown)
    return code


def run(examples: int, seed: int) -> tuple[int, int]:
    """Try so many; returns how many have failed, and how many commands did what they were asked."""
    failed = done = 0
    with tempfile.TemporaryDirectory() as name:
        for number in range(seed, seed + examples):
            try:
                done += example(random.Random(number), Path(name)) == 0
            except Exception as error:
                failed += 1
                print(f"seed {number}: {type(error).__name__}: {str(error)[:500]}")
    return failed, done


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    started = time.perf_counter()
    failed, done = run(chosen.examples, chosen.seed)
    took = time.perf_counter() - started
    print(f"{chosen.examples} specs full of texts, {done} commands carried out, {failed} failed, {took:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
