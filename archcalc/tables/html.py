"""HTML: a page of its own, to read, to print and to send; or a fragment of one, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from archcalc.tables.blocks import indented
from archcalc.text import html

if TYPE_CHECKING:
    from archcalc.tables import Column, Table

STYLE = """\
body { font: 15px/1.45 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #1c1c1c; margin: 2em auto; \
max-width: 78em; padding: 0 1.5em; }
table { border-collapse: collapse; margin: 1.5em 0; font-variant-numeric: tabular-nums; }
caption { font-size: 1.15em; font-weight: 600; text-align: left; padding-bottom: .6em; }
th, td { padding: .22em .7em; vertical-align: top; }
td:first-child { white-space: nowrap; }
thead th { border-bottom: 1.5px solid #444; vertical-align: bottom; }
tbody td { border-bottom: 1px solid #e4e4e4; }
tfoot th { border-top: 1.5px solid #444; }
tbody tr:hover { background: #f4f6f9; }
ul { padding-left: 1.2em; }
@media print { body { font-size: 9.5pt; margin: 0; max-width: none; padding: 0; } tr { break-inside: avoid; } }"""


def lines(table: Table) -> Iterator[str]:
    """A page."""
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
    yield f"<title>{html(table.heading) or 'archcalc'}</title>"
    yield f"<style>\n{STYLE}\n</style>\n</head>\n<body>"
    yield from fragment(table)
    yield "</body>\n</html>"


def fragment(table: Table, limit: int | None = None) -> Iterator[str]:
    """The table and what stands around it; no more than `limit` rows, if given. It needs no style sheet."""
    if table.columns:
        yield from _rows(table, limit)
    elif table.heading:
        yield f"<p>{html(table.heading)}</p>"
    yield from _list([f"{what}: {text}" for what, text in table.facts()])
    for section in table.sections():
        yield from fragment(section, limit)
    yield from _list(table.notes)
    if table.summary:
        yield f"<p>{html(table.summary)}</p>"


def _rows(table: Table, limit: int | None) -> Iterator[str]:
    columns = table.columns
    yield "<table>" + (f"<caption>{html(table.heading)}</caption>" if table.heading else "")
    yield f"<thead>{_row([column.heading for column in columns], columns, 'th')}</thead>"
    yield "<tbody>"
    rows = iter(table.told())
    yield from (_row(cells, columns) for cells in islice(rows, limit))
    if hidden := sum(1 for _ in rows):
        yield f'<tr><td colspan="{len(columns)}">{hidden:,} more rows</td></tr>'
    yield "</tbody>"
    if total := table.total():
        yield f"<tfoot>{_row(total, columns, 'th')}</tfoot>"
    yield "</table>"


def _row(cells: Iterable[str], columns: Iterable[Column], tag: str = "td") -> str:
    texts = (
        f'<{tag} style="text-align: {"left" if column.left else "right"}">{indented(cell, "&emsp;", html)}</{tag}>'
        for cell, column in zip(cells, columns, strict=True)
    )
    return f"<tr>{''.join(texts)}</tr>"


def _list(texts: Iterable[str]) -> Iterator[str]:
    if items := "".join(f"<li>{html(text)}</li>" for text in texts):
        yield f"<ul>{items}</ul>"
