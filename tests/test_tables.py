"""Tables: every format says the same, whatever stands in the cells, and every command has every format."""

from __future__ import annotations

import io
import json
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from archcalc.__main__ import main
from archcalc.tables import Column, Kind, Table
from archcalc.tables.formats import FORMATS, SUFFIXES, lines
from archcalc.tables.html import fragment
from archcalc.tables.terminal import folded, shortened, show
from archcalc.text import line
from tests.fuzz_texts import NASTY, assert_harmless
from tests.readers import csv_rows, html_page, latex_tables, markdown_tables

ROOT = Path(__file__).parent.parent


def nasty(name: str) -> str:
    """A text that means something to every format, and can be told from the others."""
    return f"{name} {NASTY} {name}"


COLUMNS = [Column(f"key {kind.name} {NASTY}", kind, nasty(f"label {kind.name}")) for kind in Kind]
ROWS = [
    [nasty(f"{row} {kind.name}") for kind in Kind] for row in ("first", "second")
] + [
    ["[x]", "conv 64 3x3 + relu", "1,234,567", "3x224x224", "12.5 %", "=1+1", "holds", "a--b ``c'' ?`"],
    ["*", "\\", "-1,000", "7", "0.0 %", "-", "%", "&"],
    ["", "", "0", "", "", "@A1", "", ""],
    ["- a", "1. b", "12*H + 3", "HxW", "100.0 %", "+1", "# c", "| d |"],
]  # fmt: skip
TOTAL = [nasty("total"), "", "1,233,567", "", "", "", "", ""]
REMARKS = {1: (nasty("remark"), "another one")}
FACTS = [(nasty("what"), nasty("how much")), ("plain", "1,234")]
NOTES = [nasty("note"), "second note"]
TABLE = Table(
    COLUMNS, lambda: ROWS, nasty("name"), nasty("title"), lambda: TOTAL, REMARKS, lambda: FACTS,
    lambda: [Table(COLUMNS[-2:], lambda: [row[-2:] for row in ROWS], title=nasty("section"))], NOTES, nasty("summary"),
)  # fmt: skip
BARE = Table(COLUMNS, lambda: ROWS, total=lambda: TOTAL)


def texts(rows: list[list[str]], told: bool = False) -> list[list[str]]:
    """The rows as they have to come back; with `told`, the remarks stand in the last cell."""
    found = [[line(cell).strip() for cell in row] for row in rows]
    for number, remarks in REMARKS.items() if told else ():
        found[number][-1] = ". ".join([found[number][-1], *(line(remark).strip() for remark in remarks)])
    return found


HEAD = texts([[column.heading for column in COLUMNS]])
WHOLE = [*HEAD, *texts(ROWS, told=True), *texts([TOTAL])]
SECTION = [HEAD[0][-2:], *(row[-2:] for row in texts(ROWS))]
HEADING = line(f"{nasty('name')}: {nasty('title')}")


def written(table: Table, form: str) -> str:
    """A table in a format, in which nothing is hidden and nothing a command."""
    text = "".join(f"{each}\n" for each in lines(table, form))
    assert_harmless(text)
    return text


def test_csv_says_what_the_table_says() -> None:
    """Every name and every cell comes back; what a spreadsheet would run has an apostrophe before it."""
    names, *rows = csv_rows(written(TABLE, "csv"))
    assert [line(column.key) for column in COLUMNS] == names
    expected = [
        [f"'{cell}" if cell[:1] in tuple("=+-@") and cell not in ("-1,000", "+1") else cell for cell in row]
        for row in [[line(cell) for cell in row] for row in ROWS]
    ]
    assert expected == rows


def test_json_says_what_the_table_says() -> None:
    """Without a form of its own, an answer is an array with an object for each row, and nothing is escaped twice."""
    expected = [dict(zip([column.key for column in COLUMNS], row, strict=True)) for row in ROWS]
    assert expected == json.loads(written(TABLE, "json"))


def test_html_says_what_the_table_says() -> None:
    """A page is balanced, and all cells, headings, facts, notes and remarks come back."""
    page = html_page(written(TABLE, "html"))
    assert [WHOLE, SECTION] == [[[cell.strip() for cell in row] for row in table] for table in page.tables]
    facts = [("li", f"{line(what)}: {line(text)}") for what, text in FACTS]
    captions = [("title", HEADING), ("caption", HEADING), *facts, ("caption", line(nasty("section")))]
    assert [*captions, *(("li", line(note)) for note in NOTES), ("p", line(nasty("summary")))] == page.texts


def test_markdown_says_what_the_table_says() -> None:
    """CommonMark's parser finds the same cells, and no mark-up in any text."""
    tables, found = markdown_tables(written(TABLE, "markdown"))
    assert [WHOLE, SECTION] == [[[cell.strip() for cell in row] for row in table] for table in tables]
    facts = [f"{line(what).strip()}: {line(text).strip()}" for what, text in FACTS]
    expected = [HEADING, *facts, line(nasty("section")), *map(line, NOTES), line(nasty("summary"))]
    assert [text.strip() for text in expected] == found


def test_latex_says_what_the_table_says() -> None:
    """LaTeX's structure holds: environments, groups, as many cells as columns; every letter comes back."""
    tables, captions = latex_tables(written(TABLE, "latex"))
    assert [WHOLE, SECTION] == tables
    assert [HEADING, line(nasty("section"))] == captions


def test_siunitx_takes_numbers_as_numbers() -> None:
    """A column with numbers is one of siunitx's, with plain numbers; what isn't one stands in braces."""
    text = written(TABLE, "latex-siunitx")
    assert "S[table-format=-7, group-minimum-digits=4]" in text
    assert " & 1234567 & " in text
    assert " & {12*H + 3} & " in text
    place = list(Kind).index(Kind.NUMBER)
    expected = [[cell.replace(",", "") if (n, cell[:1].isdigit() or cell[:2] == "-1") == (place, True) else cell
                 for n, cell in enumerate(row)] for row in WHOLE]  # fmt: skip
    assert expected == latex_tables(text)[0][0]


def test_plain_text_says_what_the_table_says() -> None:
    """The rules tell where each column is, and there every cell stands whole."""
    found = written(BARE, "plain").splitlines()
    ends, spans = 0, []
    for rule in found[1].split("  "):
        spans.append(slice(ends, ends + len(rule)))
        ends += len(rule) + 2
    rows = [[text[span].strip() for span in spans] for text in found if text != found[1]]
    assert [*HEAD, *texts(ROWS), *texts([TOTAL])] == rows
    whole = written(TABLE, "plain")
    for text in (HEADING, *(line(text) for pair in FACTS for text in pair), *map(line, NOTES), line(REMARKS[1][0])):
        assert text in whole


def shown(table: Table, width: int) -> str:
    """What a terminal of a width shows, without colour."""
    screen = io.StringIO()
    show(table, Console(file=screen, width=width, color_system=None, highlight=False, markup=False, emoji=False))
    return screen.getvalue()


def test_a_wide_terminal_shows_everything() -> None:
    """Where there's room, each row stands in one line, with all of its cells in order."""
    found = shown(TABLE, 4000)
    assert_harmless(found)
    rows = iter(found.splitlines())
    for row in (*HEAD, *texts(ROWS), *texts([TOTAL])):
        assert any(_holds(text, row) for text in rows), row
    for text in (*NOTES, *(text for pair in FACTS for text in pair), nasty("summary"), REMARKS[1][0]):
        assert line(text).strip() in found


def _holds(text: str, cells: list[str]) -> bool:
    place = 0
    for cell in cells:
        place = text.find(cell, place)
        if place < 0:
            return False
        place += len(cell)
    return True


@pytest.mark.parametrize("width", [20, 60, 100])
def test_a_narrow_terminal_cuts_no_number(width: int) -> None:
    """Names and layers are shortened, then columns left out, then formulas cut; sentences go below their row."""
    columns = [Column("name", Kind.NAME), Column("layer", Kind.LAYERS, drop=1), Column("params"), Column("macs"),
               Column("why", Kind.TEXT)]  # fmt: skip
    rows = [
        [
            "scope/" * 9 + "conv",
            "conv 512 3x3 + relu",
            "138,357,544",
            "15*H*W + 3*floor(H/2) + 12*floor(W/2)",
            "because " * 9,
        ]
    ]
    found = shown(Table(columns, lambda: rows), width)
    assert "138,357,544" in found
    assert width < 40 or width >= max(map(len, found.splitlines()))
    assert "because" in found
    assert (width < 100) == ("layer: not shown" in found)
    assert ("15*H*W" in found) == (width > 20) or "15*H" in found


@pytest.mark.parametrize("width", [40, 80])
def test_a_path_among_the_facts_is_whole(width: int) -> None:
    """So that it can be copied; sentences beside it wrap."""
    path = "/a-long-folder" * 8 + "/net.yaml"
    found = shown(Table(facts=lambda: [("file", path), ("source", "words " * 30)]), width)
    assert path in found
    assert 30 == found.count("words")
    assert width >= max(len(text) for text in found.splitlines() if path not in text)


def test_texts_are_shortened_by_what_they_take() -> None:
    """Letters that take two cells count twice."""
    assert "ab…" == shortened("abcdef", 3)
    assert "中…" == shortened("中中中", 4)
    assert "中中… 中" == folded("中中中中中中", 8)


def test_every_writer_is_a_format() -> None:
    """A module that writes is in the mapping; each suffix means one format."""
    modules = {path.stem for path in (ROOT / "archcalc" / "tables").glob("*.py")}
    assert modules - {"__init__", "answer", "blocks", "formats", "frames", "numbers", "terminal"} == {
        form.module for form in FORMATS.values()
    }
    assert len(SUFFIXES) == sum(len(form.suffixes) for form in FORMATS.values())


@pytest.mark.parametrize("form", FORMATS)
def test_long_tables_stream(form: str) -> None:
    """Of a table with 20,000 rows no more than a few are ever in memory, in whatever format."""

    def rows() -> Iterator[list[str]]:
        return ([f"name{number}", f"{number:,}", "word " * 20] for number in range(20_000))

    table = Table(
        [Column("name", Kind.NAME), Column("n"), Column("text", Kind.WORD)], rows, "long", total=lambda: ["", "9", ""]
    )
    tracemalloc.start()
    size = sum(map(len, lines(table, form)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 2_000_000 < size
    assert 200_000 > peak


def test_a_notebook_gets_a_fragment() -> None:
    """It has no head of its own, and no more rows than it should."""
    text = "".join(fragment(TABLE, 2))
    assert "<html" not in text
    assert "4 more rows" in text


# --- commands -----------------------------------------------------------------------------------------------------

ALIKE = [
    "table lenet5", "table resnet50 --all", "table vgg16 --symbolic N",
    "receptive-field lenet5", "receptive-field lenet5 --layer C3 --at 3,4",
    "receptive-field --stack 3,p2,3d2", "explain alexnet conv1", "solve vgg16 --output 7x7",
    "sweep resnet:cifar --set n=1..4 --columns params,depth", "solve resnet50 --macs 1G..2G --symbolic H,W", "check {folder}/warns.yaml", "golden check lenet5 --golden {folder}",
]  # fmt: skip
"""Commands whose CSV has the rows of their first table."""
OTHERS = [
    "list --specs {folder}",
    "list lenet5 --sort params",
    "show vgg16",
    "compare vgg16 alexnet",
    "compare resnet18 resnet34",
    "claims lenet5 alexnet",
    "claims --all --specs {folder}",
    "golden check lenet5",
    "check lenet5",
]
READERS: dict[str, Callable[[str], int]] = {
    "plain": lambda text: len(text.splitlines()),
    "table": lambda text: len(text.splitlines()),
    "json": lambda text: len(json.loads(text)),
    "csv": lambda text: len(csv_rows(text)) - 1,
    "html": lambda text: _count(html_page(text).tables),
    "markdown": lambda text: _count(markdown_tables(text)[0]),
    "latex": lambda text: _count(latex_tables(text)[0]),
    "latex-siunitx": lambda text: _count(latex_tables(text)[0]),
}


def _count(tables: list[list[list[str]]]) -> int:
    """The rows of the first table, without what repeats its head, and the total."""
    head, *rows = tables[0] if tables else [[]]
    return sum(row != head and "total" not in row for row in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with some specs, one of which has a warning."""
    shutil.copy(ROOT / "specs" / "lenet5.yaml", tmp_path)
    shutil.copy(ROOT / "specs" / "vgg.yaml", tmp_path)
    text = "archcalc: 1\nname: warns\ninput: {C: 3}\nhparams: {k: 3, unread: 4}\nlayers: fc k\n"
    (tmp_path / "warns.yaml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("command", [*ALIKE, *OTHERS])
def test_every_command_has_every_format(
    command: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is well-formed, has the same rows, and stands in a file of its suffix just as in a pipe."""
    monkeypatch.chdir(ROOT)
    arguments = command.format(folder=folder).split()
    counts = {}
    for form, read in READERS.items():
        assert main([*arguments, "--format", form]) in (0, 1)
        text = capsys.readouterr().out
        counts[form] = read(text)
        for suffix in FORMATS[form].suffixes:
            file = tmp_path / f"answer{suffix or 'none'}"
            file = file.with_suffix(suffix)
            assert main([*arguments, "-o", str(file)]) in (0, 1)
            capsys.readouterr()
            default = not suffix and command.startswith(("sweep", "solve", "check", "golden", "explain"))
            assert default or text == file.read_text(encoding="utf-8")
    if command in ALIKE:
        assert counts["csv"] > 0
        assert 1 == len({counts[form] for form in ("csv", "html", "markdown", "latex", "latex-siunitx")}), counts


@pytest.mark.torch
def test_verify_has_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    """A table for each net, and one with all; CSV has a row for each check."""
    pytest.importorskip("torch", reason="verify runs PyTorch")
    for form, read in READERS.items():
        assert 0 == main(["verify", "lenet5", "alexnet", "--device", "meta", "--format", form])
        assert 2 < read(capsys.readouterr().out)
