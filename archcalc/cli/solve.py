"""`archcalc solve`: the sizes that give an output, or that stay within budgets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archcalc import text
from archcalc.cli.command import Command
from archcalc.cli.graphs import refuse_contradictions, sizes_of, symbol_names, warn_of_order, warn_of_unread
from archcalc.cli.options import Input, Name, Set, Symbolic, form_option, no_spec
from archcalc.cli.output import text_format, write, write_table
from archcalc.cli.run import note
from archcalc.errors import UsageError
from archcalc.quantities import QUANTITIES, Quantity, Total, names
from archcalc.shape import BATCH
from archcalc.tables import Column, Kind, Table
from archcalc.zoo import Architecture, load

if TYPE_CHECKING:
    from archcalc.formulas.solve import Answer, Unknowns
    from archcalc.symbolic import Integers

CONDITIONS = 4
"""Conditions that are shown where nothing fulfils them."""
ROWS = 40
"""Lines of a listing for people; other formats have all."""


def _with_budgets(command: Callable[..., None]) -> Callable[..., None]:
    """Put an option for each quantity that may have a budget in place of `**budgets`, for typer to see."""
    signature = inspect.signature(command, eval_str=True)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    first = [each.name for each in own].index("batch")
    options = [_budget(QUANTITIES[name]) for name in names(Total.SUM, Total.LARGEST)]
    command.__signature__ = signature.replace(parameters=[*own[:first], *options, *own[first:]])  # type: ignore[attr-defined]
    return command


def _budget(quantity: Quantity) -> inspect.Parameter:
    """`--saved-bytes AMOUNT`, with what the quantity means as its help."""
    option = typer.Option(
        f"--{quantity.name.replace('_', '-')}", metavar="AMOUNT", help=quantity.sentence,
        show_default=False,
    )  # fmt: skip
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(quantity.name, keyword, default="", annotation=Annotated[str, option])


app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
@_with_budgets
def solve(
    name: Name,
    output: Annotated[
        str,
        typer.Option("--output", metavar="SIZES", help="The output to reach: 7x7, 512x7x7, H=7.", show_default=False),
    ] = "",
    layer: Annotated[str, typer.Option(metavar="PATH", help="Whose output.", show_default=False)] = "",
    memory: Annotated[str, typer.Option("--memory", hidden=True)] = "",
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Examples at once. Open: --symbolic N.")] = 1,
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="Of all values and params.")] = "float32",
    symbolic: Symbolic = "",
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    form: Annotated[str | None, form_option("text", default="text")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "-o", metavar="FILE", callback=no_spec, help="Write to a file instead of stdout.", show_default=False
        ),
    ] = None,
    **budgets: str,
) -> None:
    """Find all sizes that give an output, or stay within budgets. Exact: what isn't listed doesn't do it.

    A budget (AMOUNT) is the most, 5M or 16GB, or a band, 4M..5M. The unknowns: what `--symbolic` or `--set HPARAM=sym`
    leaves open, and `--set HPARAM=64..512` within a range; N is the batch; for `--output`, if nothing is open, the
    input's axes. Exit code 1: no sizes do it.

    Examples:
    ```
    archcalc solve vgg16 --output 7x7
    archcalc solve resnet50 --output 7x7 --layer conv5
    archcalc solve alphago_policy --params 5M --set k=sym
    archcalc solve alphago_policy --params 5M --macs 1G --set k=1..512
    archcalc solve resnet50 --saved-bytes 16GB --symbolic N
    ```
    """
    from archcalc.formulas.solve import Question, answered

    chosen = text_format(form, file)
    if memory:
        kinds = "--activation-bytes (volumes), --total-bytes (params, buffers, volumes), --saved-bytes, --peak-bytes"
        raise UsageError("which memory?", kinds)
    asked = {column: amount for column, amount in budgets.items() if amount}
    if not output and not asked:
        raise UsageError("what is to be solved for?", "--output 7x7, --params 5M, --macs 1G …")
    if layer and not output:
        raise UsageError("--layer goes with --output")
    architecture = load(name)
    unknowns = _unknowns(architecture, symbolic, sets, sizes, batch, wanted=bool(output))
    question = Question({column: _limits(column, amount) for column, amount in asked.items()}, output, layer, dtype)
    answer = answered(architecture, question, unknowns)
    goals = [_goal(column, *ends) for column, ends in question.budgets.items()]
    goals = [*([f"output of {answer.where or layer} = {output}"] if output else []), *goals]
    warn_of_unread(architecture, unknowns.sets, unknowns.sizes)
    warn_of_order(architecture, unknowns.sets, unknowns.sizes, sizes)
    if chosen == "text":
        write(_text(architecture.name, goals, answer), file)
    else:
        write_table(_table(architecture.name, goals, answer), chosen, file)
    if answer.refused:
        note(_refused(answer))
    if not answer.solution:
        raise typer.Exit(1)


def _unknowns(
    architecture: Architecture, symbolic: str, sets: Sequence[str], sizes: Sequence[str], batch: int, wanted: bool
) -> Unknowns:
    """What is open; if nobody names anything and an output is wanted, the inputs' axes."""
    from archcalc.formulas.amounts import alternatives, is_list, positive_among, sizes_among
    from archcalc.formulas.solve import Unknowns
    from archcalc.formulas.symbols import placed

    fixed, several = alternatives(architecture, sets)
    for name in several:
        if is_list(architecture, name):
            raise UsageError(
                f"'{name}' is a list, and a range is for one number", f"--symbolic {name} opens each entry"
            )
    ranges = {name: positive_among(name, values) for name, values in several.items()}
    names = [*symbol_names(symbolic), *(name for name, value in fixed.items() if value == "sym")]
    given = {name: value for name, value in fixed.items() if value != "sym"}
    hparams, axis_sizes, _ = placed(architecture, given)
    numbers = {name: sizes_among(name, [value])[0] for name, value in given.items() if name not in hparams}
    input_sizes = sizes_of(architecture, sizes)
    refuse_contradictions({**fixed, **several}, input_sizes, symbol_names(symbolic))
    open_sizes = {**input_sizes, **{name: numbers[name] for name in axis_sizes}}
    if BATCH in {*names, *ranges, *numbers} and batch != 1:
        raise UsageError("the batch is given twice, as --batch and as N")
    symbols = any(not isinstance(size, int) for size in open_sizes.values())
    if not names and not ranges and not symbols:
        if not wanted:
            raise UsageError("nothing is left open", "--set HPARAM=sym, --symbolic H,W, or N for the batch")
        axes = architecture.spec.axes
        names = [name for name, (_, axis) in axes.items() if axis != "C" and name not in open_sizes]
    names = [name for name in dict.fromkeys(names) if name not in ranges]
    return Unknowns(names, ranges, hparams, open_sizes, numbers.get(BATCH, batch))


def _limits(column: str, amount: str) -> tuple[int | None, int | None]:
    from archcalc.formulas.budgets import budget

    return budget(column, amount, in_bytes=QUANTITIES[column].in_bytes)


def _goal(column: str, least: int | None, most: int | None) -> str:
    if most is None:
        return f"{column} >= {least:,}"
    return f"{column} <= {most:,}" if least is None else f"{least:,} <= {column} <= {most:,}"


def _text(name: str, goals: Sequence[str], answer: Answer) -> Iterator[str]:
    solution = answer.solution
    yield f"{name}: {'; '.join(goals)}"
    yield from _settled(answer)
    if not solution:
        yield from _none(answer)
        return
    for symbol, found in solution.alone.items():
        yield f"{symbol}: {found}"
    for row in solution.rows[:ROWS]:
        *outer, (last, numbers) = zip(solution.together, row.sets, strict=True)
        yield f"{', '.join(f'{symbol} {found}' for symbol, found in outer)}: {last} {numbers}"
    if len(solution.rows) > ROWS:
        yield f"… {len(solution.rows) - ROWS:,} more rows: --format plain has them"
    yield from _largest(answer)


def _settled(answer: Answer) -> Iterator[str]:
    """What doesn't depend on the unknowns."""
    if answer.fixed:
        yield f"kept as numbers: {', '.join(answer.fixed)}"
    names = [*answer.solution.alone, *answer.solution.together]
    for column, total in answer.totals.items():
        if not answer.tried and not _is_open(total):
            yield f"{column} = {total:,}, whatever {' and '.join(names) or 'the sizes'} may be"


def _table(name: str, goals: Sequence[str], answer: Answer) -> Table:
    """A column for each unknown; any of a row's sizes go together."""
    solution = answer.solution
    alone = list(map(str, solution.alone.values()))
    symbols = [*solution.alone, *solution.together] if solution else []
    notes = [*_settled(answer), *(_largest(answer) if solution else _none(answer))]
    return Table(
        [Column(symbol, Kind.TEXT if symbol == symbols[-1] else Kind.WORD) for symbol in symbols],
        lambda: ([*alone, *map(str, sets)] for sets in _together(answer)),
        name,
        "; ".join(goals),
        notes=[note.strip() for note in notes],
        json=lambda: _json(name, goals, answer),
    )


def _together(answer: Answer) -> Iterable[Sequence[Integers]]:
    """What the unknowns that depend on one another may be; of those that don't there's one row."""
    solution = answer.solution
    return (row.sets for row in solution.rows) if solution.together else [()] if solution else []


def _none(answer: Answer) -> Iterator[str]:
    """That there is no solution, and what any would have to fulfil besides."""
    yield "none: no sizes do that"
    if answer.conditions:
        shown = "; ".join(map(str, answer.conditions[:CONDITIONS]))
        yield f"the network needs {shown}{'; …' if len(answer.conditions) > CONDITIONS else ''}"


def _is_open(total: Any) -> bool:
    return bool(getattr(total, "free_symbols", False))


def _refused(answer: Answer) -> str:
    """How many values of what was tried can't be built or have no such layer, and why."""
    count, names = sum(answer.refused.values()), ", ".join(answer.tried)
    reason = max(answer.refused, key=lambda reason: answer.refused[reason])
    others = f" and {len(answer.refused) - 1} other reasons" if len(answer.refused) > 1 else ""
    return f"left out, {count:,} value{'s' * (count > 1)} of {names}: {reason}{others}"


def _largest(answer: Answer) -> Iterator[str]:
    """The largest value of each unknown, and with a single one what the budgets then come to."""
    from archcalc.formulas.general import put_in

    solution = answer.solution
    largest = {name: value for name, value in solution.largest.items() if value is not None}
    if not answer.totals or not largest:
        return
    apart = ", each on its own" if solution.together else ""
    yield "largest " + ", ".join(f"{name} {value:,}" for name, value in largest.items()) + apart
    if len(solution.largest) == 1 and not solution.together:
        for column, total in answer.totals.items():
            value = put_in(total, largest)
            if _is_open(total):
                yield f"  there {column} = {value:,}" if isinstance(value, int) else f"  there {column} = {value}"


def _json(name: str, goals: Sequence[str], answer: Answer) -> Iterator[str]:
    """One object, a line for each row: there may be very many."""
    solution = answer.solution
    found: Mapping[str, Any] = {
        "archcalc": 1,
        "name": name,
        "goals": goals,
        "conditions": [str(condition) for condition in answer.conditions],
        "found": bool(solution),
        "alone": {symbol: _segments(numbers) for symbol, numbers in solution.alone.items()},
        "together": list(solution.together),
        "largest": solution.largest,
    }
    yield "{"
    yield from (f" {text.json(key)}: {text.json(value)}," for key, value in found.items())
    yield ' "rows": ['
    for number, row in enumerate(solution.rows, 1):
        sets = {symbol: _segments(numbers) for symbol, numbers in zip(solution.together, row.sets, strict=True)}
        yield f"  {text.json(sets)}{',' if number < len(solution.rows) else ''}"
    yield " ]"
    yield "}"


def _segments(found: Integers) -> list[dict[str, Any]]:
    """Ranges: from `first` to `last` (null: no end) those whose remainder by `period` is in `residues`."""
    return [
        {"first": s.first, "last": s.last, "period": s.period, "residues": sorted(s.residues)} for s in found.segments
    ]
