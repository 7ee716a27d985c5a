r"""LaTeX with booktabs' rules, to be read by `\input`; numbers in groups of three, or in columns of siunitx."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from archcalc.tables import Column, Kind, Table
from archcalc.tables.blocks import indented, spaced
from archcalc.text import latex

PAGE = 45
"""Rows that fit on a page; a longer table goes on on the next one."""
_NUMBER = re.compile(r"-?\d+(,\d{3})*")


def lines(table: Table) -> Iterator[str]:
    """A float, or a table over several pages, for the table and each section; thousands are set apart."""
    yield r"% \usepackage{booktabs, longtable}"
    yield from _blocks(table, siunitx=False)


def siunitx_lines(table: Table) -> Iterator[str]:
    """The same with numbers left to siunitx, which aligns and formats them as the document says."""
    yield r"% \usepackage{booktabs, longtable, siunitx}"
    yield from _blocks(table, siunitx=True)


def _blocks(table: Table, siunitx: bool) -> Iterator[str]:
    below = [*(f"{latex(what)}: {_grouped(latex(text))}" for what, text in table.facts()), *map(latex, table.notes)]
    sections = (_blocks(section, siunitx) for section in table.sections())
    rows = list(islice(table.rows(), PAGE + 1))
    if not table.columns:
        main = _small([latex(table.heading)] * bool(table.heading) + below)
    elif len(rows) > PAGE:
        main = chain(_long(table, siunitx), _small(below))
    else:
        main = _float(table, siunitx, below)
    return spaced(chain((main,), sections, (_small([latex(table.summary)] if table.summary else []),)), "")


def _float(table: Table, siunitx: bool, below: Sequence[str]) -> Iterator[str]:
    forms = _forms(table, siunitx)
    yield "\\begin{table}\n\\centering"
    yield from [rf"\caption{{{latex(table.heading)}}}"] * bool(table.heading)
    yield rf"\begin{{tabular}}{{{''.join(forms)}}}"
    yield from _head(table, forms)
    yield from _body(table, forms)
    yield r"\end{tabular}"
    yield from _small(below)
    yield r"\end{table}"


def _long(table: Table, siunitx: bool) -> Iterator[str]:
    forms = _forms(table, siunitx)
    yield rf"\begin{{longtable}}{{{''.join(forms)}}}"
    yield from [rf"\caption{{{latex(table.heading)}}} \\"] * bool(table.heading)
    for end in (r"\endfirsthead", r"\endhead"):
        yield from _head(table, forms)
        yield end
    yield from _body(table, forms)
    yield r"\end{longtable}"


def _head(table: Table, forms: Sequence[str]) -> Iterator[str]:
    yield r"\toprule"
    labels = (latex(column.heading) for column in table.columns)
    yield _row(f"{{{label}}}" if form[0] == "S" else label for label, form in zip(labels, forms, strict=True))
    yield r"\midrule"


def _body(table: Table, forms: Sequence[str]) -> Iterator[str]:
    for cells in table.told():
        yield _row(map(_cell, table.columns, forms, cells))
    if total := table.total():
        yield r"\midrule"
        yield _row(map(_cell, table.columns, forms, total))
    yield r"\bottomrule"


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(column: Column, form: str, text: str) -> str:
    """A cell. After the end of a row LaTeX takes a bracket or an asterisk for its option."""
    if form[0] == "S":
        return text.replace(",", "") if _NUMBER.fullmatch(text) else f"{{{_grouped(latex(text))}}}" if text else ""
    safe = indented(text, r"\quad ", latex)
    if column.kind not in (Kind.NAME, Kind.TEXT):
        safe = re.sub(r"(?<=\d)x(?=\d)", r"$\\times$", _grouped(safe))
    return "{}" + safe if safe[:1] in ("[", "*") else safe


def _grouped(safe: str) -> str:
    return re.sub(r"(?<=\d),(?=\d{3})", r"\\,", safe)


def _forms(table: Table, siunitx: bool) -> list[str]:
    """How each column is set."""
    forms = [r"p{0.35\linewidth}" if c.kind is Kind.TEXT else "l" if c.left else "r" for c in table.columns]
    for place, digits in _digits(table).items() if siunitx else ():
        forms[place] = f"S[table-format={digits}, group-minimum-digits=4]"
    return forms


def _digits(table: Table) -> dict[int, str]:
    """How many digits the numbers of those columns have that have any, after a sign if one of them has it."""
    found: dict[int, str] = {}
    places = [place for place, column in enumerate(table.columns) if column.kind is Kind.NUMBER]
    for cells in chain(table.rows(), [table.total()] if table.total() else []):
        for place in places:
            if _NUMBER.fullmatch(cells[place]):
                digits, before = cells[place].replace(",", ""), found.get(place, "0")
                sign = "-" if "-" in digits + before else ""
                found[place] = f"{sign}{max(len(digits.strip('-')), int(before.strip('-')))}"
    return found


def _small(texts: Sequence[str]) -> Iterator[str]:
    """Paragraphs below a table."""
    if texts:
        yield "\\par\\medskip\n{\\footnotesize\\raggedright"
        yield from (rf"{text}\par" for text in texts)
        yield "}"
