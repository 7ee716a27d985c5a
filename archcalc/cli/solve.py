"""`archcalc solve`: the sizes that give an output, or that stay within budgets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archcalc.cli.graphs import batch_of, read_sizes, symbol_names
from archcalc.cli.options import Input, Name, Set, Symbolic
from archcalc.cli.output import write
from archcalc.errors import UsageError
from archcalc.report import analyze
from archcalc.zoo import Architecture, load

if TYPE_CHECKING:
    from archcalc.formulas.solve import Solution
    from archcalc.formulas.symbols import Opened
    from archcalc.symbolic import Integers

ROWS = 40
"""Lines of a listing for people; JSON has all."""


class SolveFormat(StrEnum):
    """For whom the solutions are."""

    text = "text"
    json = "json"


def _budget(name: str, help: str) -> Any:
    return typer.Option(f"--{name}", metavar="AMOUNT", help=help, show_default=False)


app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def solve(
    name: Name,
    output: Annotated[
        str,
        typer.Option("--output", metavar="SIZES", help="The output to reach: 7x7, 512x7x7, H=7.", show_default=False),
    ] = "",
    layer: Annotated[str, typer.Option(metavar="PATH", help="Whose output.", show_default=False)] = "",
    params: Annotated[str, _budget("params", "At most so many params: 5M. 4M..5M: at least 4M, too.")] = "",
    macs: Annotated[str, _budget("macs", "At most so many MACs.")] = "",
    flops: Annotated[str, _budget("flops", "At most so many FLOPs.")] = "",
    activations: Annotated[str, _budget("activations", "At most so many values in all volumes.")] = "",
    activation_bytes: Annotated[str, _budget("activation-bytes", "At most so many bytes: 64MB, 64MiB.")] = "",
    saved_bytes: Annotated[str, _budget("saved-bytes", "What training keeps for the backward pass.")] = "",
    peak_bytes: Annotated[str, _budget("peak-bytes", "The most bytes of volumes at once at inference.")] = "",
    memory: Annotated[str, _budget("memory", "Bytes of params, buffers and all volumes together.")] = "",
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="Of all values and params.")] = "float32",
    symbolic: Symbolic = "",
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = "",
    form: Annotated[SolveFormat, typer.Option("--format", "-f", help="json: for scripts.")] = SolveFormat.text,
) -> None:
    """Find all sizes that give an output, or stay within budgets. Exact: what isn't listed doesn't do it.

    The unknowns: what `--symbolic` or `--set HPARAM=sym` leaves open, and `--set HPARAM=64..512` within a range; for
    `--output`, if nothing is open, the input's axes.

    Examples:
    ```
    archcalc solve vgg16 --output 7x7
    archcalc solve resnet50 --output 7x7 --layer conv5
    archcalc solve alphago_policy --params 5M --set k=sym
    archcalc solve alphago_policy --params 5M --macs 1G --set k=1..512
    archcalc solve resnet50 --saved-bytes 16GB --symbolic N
    ```
    """
    budgets = {
        "params": params, "macs": macs, "flops": flops, "activations": activations,
        "activation_bytes": activation_bytes, "saved_bytes": saved_bytes, "peak_bytes": peak_bytes, "memory": memory,
    }  # fmt: skip
    asked = {column: text for column, text in budgets.items() if text}
    if not output and not asked:
        raise UsageError("what is to be solved for?", "--output 7x7, --params 5M, --macs 1G …")
    if layer and not output:
        raise UsageError("--layer goes with --output")
    answer = _answer(name, output, layer, asked, (symbolic, sets, sizes), dtype)
    write(_json(answer) if form is SolveFormat.json else _text(answer))
    if not answer["found"]:
        raise typer.Exit(1)


def _answer(
    name: str, output: str, layer: str, asked: Mapping[str, str], given: tuple[str, list[str], str], dtype: str
) -> dict[str, Any]:
    """Build with symbols, and solve."""
    from archcalc.formulas.amounts import alternatives
    from archcalc.formulas.solve import output_conditions, solved_for, total_of
    from archcalc.symbolic import Integers

    symbolic, sets, sizes = given
    architecture = load(name)
    fixed, ranges = alternatives(architecture, sets)
    found = _opened(architecture, [*symbol_names(symbolic), *ranges], fixed, sizes, wanted=bool(output))
    report = analyze(found.graph, batch_of(symbolic), dtype)
    totals = {column: total_of(report, column) for column in asked}
    conditions, goals = _limits(totals, asked)
    if output:
        where, equalities = output_conditions(report, output, layer)
        conditions, goals = [*equalities, *conditions], [f"output of {where} = {output}", *goals]
    conditions = [*found.graph.conditions, *conditions]
    symbols = sorted({symbol.name for condition in conditions for symbol in condition.symbols})
    domains = {**{symbol: Integers.between() for symbol in symbols}, **_domains(ranges)}
    solution = solved_for(conditions, domains)
    return {
        "name": architecture.name, "goals": goals, "solution": solution, "totals": totals, "fixed": found.fixed,
        "needs": list(found.graph.conditions),
        "found": bool(solution.rows) if solution.together else all(solution.alone.values()),
    }  # fmt: skip


def _opened(architecture: Architecture, names: list[str], fixed: dict[str, str], sizes: str, wanted: bool) -> Opened:
    """The graph with its unknowns; if nobody names one and an output is wanted, the input's axes."""
    from archcalc.formulas.symbols import opened

    axes = next(iter(architecture.spec.inputs.values()))
    open_sizes = read_sizes(sizes, list(axes), architecture.name) if sizes else {}
    symbols = "sym" in fixed.values() or any(not isinstance(size, int) for size in open_sizes.values())
    if not names and not symbols:
        if not wanted:
            raise UsageError("nothing is left open", "--set HPARAM=sym, or --symbolic H,W")
        names = [axis for axis in axes if axis != "C" and axis not in open_sizes]
    return opened(architecture, names, fixed, open_sizes)


def _limits(totals: Mapping[str, Any], asked: Mapping[str, str]) -> tuple[list[Any], list[str]]:
    """The budgets as conditions and as texts."""
    from archcalc.formulas.amounts import budget
    from archcalc.symbolic import Condition

    conditions, goals = [], []
    for column, text in asked.items():
        least, most = budget(text, f"--{column.replace('_', '-')}")
        conditions.append(Condition(totals[column], "<=", most))
        if least is not None:
            conditions.append(Condition(totals[column], ">=", least))
        goals.append(f"{column} <= {most:,}" if least is None else f"{least:,} <= {column} <= {most:,}")
    return conditions, goals


def _domains(ranges: Mapping[str, Sequence[Any]]) -> dict[str, Integers]:
    """The values that `--set` allows."""
    from archcalc.symbolic import Integers

    found = {}
    for name, values in ranges.items():
        if isinstance(values, range):
            found[name] = Integers.between(values[0], values[-1])
        elif all(str(value).isdecimal() for value in values):
            found[name] = Integers.of(map(int, values))
        else:
            raise UsageError(f"can't solve for {name}: its values are no integers")
    return found


def _text(answer: Mapping[str, Any]) -> Iterator[str]:
    solution: Solution = answer["solution"]
    yield f"{answer['name']}: {'; '.join(answer['goals'])}"
    if answer["fixed"]:
        yield f"kept as numbers: {', '.join(answer['fixed'])}"
    if not answer["found"]:
        yield "no sizes do that"
        return
    for name, found in solution.alone.items():
        if name not in solution.together:
            yield f"{name}: {found}"
    for row in solution.rows[:ROWS]:
        outer = (
            f"{name} {low}" if low == high else f"{name} {low}..{high}" for name, (low, high) in _pairs(solution, row)
        )
        yield f"{', '.join(outer)}: {solution.together[-1]} {row.last}"
    if len(solution.rows) > ROWS:
        yield f"… {len(solution.rows) - ROWS:,} more rows: --format json has them"
    yield from _largest(answer)


def _pairs(solution: Solution, row: Any) -> Iterator[tuple[str, tuple[int, int]]]:
    return zip(solution.together[:-1], row.ranges, strict=True)


def _largest(answer: Mapping[str, Any]) -> Iterator[str]:
    """The largest value of each symbol, and with a single one what the budgets then come to."""
    from archcalc.formulas.general import put_in

    solution: Solution = answer["solution"]
    largest = {name: value for name, value in solution.largest.items() if value is not None}
    if not answer["totals"] or not largest:
        return
    apart = ", each on its own" if solution.together else ""
    yield "largest " + ", ".join(f"{name} {value:,}" for name, value in largest.items()) + apart
    if len(solution.largest) == 1 and not solution.together:
        for column, total in answer["totals"].items():
            value = put_in(total, largest)
            yield f"  there {column} = {value:,}" if isinstance(value, int) else f"  there {column} = {value}"


def _json(answer: Mapping[str, Any]) -> Iterator[str]:
    import json

    solution: Solution = answer["solution"]
    yield json.dumps(
        {
            "archcalc": 1,
            "name": answer["name"],
            "goals": answer["goals"],
            "conditions": [str(condition) for condition in answer["needs"]],
            "alone": {
                name: _segments(found) for name, found in solution.alone.items() if name not in solution.together
            },
            "together": list(solution.together),
            "rows": [
                {
                    **{name: list(ends) for name, ends in _pairs(solution, row)},
                    solution.together[-1]: _segments(row.last),
                }
                for row in solution.rows
            ],
            "largest": dict(solution.largest),
        },
        indent=1,
    )


def _segments(found: Integers) -> list[dict[str, Any]]:
    """Ranges: from `first` to `last` (null: no end) those whose remainder by `period` is in `residues`."""
    return [
        {"first": s.first, "last": s.last, "period": s.period, "residues": sorted(s.residues)} for s in found.segments
    ]
