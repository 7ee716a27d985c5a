"""Several values for one name: ranges, lists, and repeated options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from archcalc.errors import LocalError, UsageError
from archcalc.expand.hparams import Reported, make_module
from archcalc.spec.arithmetic import MAX_RANGE, Word
from archcalc.spec.expression import Binary, Environment, Several
from archcalc.spec.grammar import parse_expression
from archcalc.spec.tree import Diagnostics
from archcalc.zoo import Architecture

MAX_DIGITS = 18
"""Of a size: as many as `--input` takes."""


MAX_LISTED = 100_000
"""Values of one name that are listed one by one; a single range isn't."""


def positive_among(name: str, values: Sequence[Any]) -> Sequence[int]:
    """The values of an unknown as positive integers; a range stays one.

    Raises: UsageError: one is a word, or less than 1.
    """
    try:
        return sizes_among(name, values)
    except UsageError as error:
        instead = f"archcalc sweep tries any values: --set {name}=… --where 'params<5M'"
        raise UsageError(f"can't solve for {name}: {error.args[0]}", instead) from None


def sizes_among(name: str, values: Sequence[Any]) -> Sequence[int]:
    """The values of an axis or of the batch as integers; a range stays one.

    Raises: UsageError: one isn't a positive integer of a size that can be.
    """
    if isinstance(values, range):
        if values[0] < 1 or len(str(values[-1])) > MAX_DIGITS:
            raise UsageError(f"{name} = {values[0]}..{values[-1]}: sizes are at least 1", f"--set {name}=1..100")
        return values
    found = []
    for value in values:
        text = str(value).strip()
        if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS and int(text) > 0):
            raise UsageError(f"{name} = {text[:40]} is not a size", f"positive integers: --set {name}=1..100")
        found.append(int(text))
    return found


def alternatives(architecture: Architecture, given: Iterable[str]) -> tuple[dict[str, str], dict[str, Sequence[Any]]]:
    """`HPARAM=VALUE` options → those with one value, and those with several: ranges, lists, and repeated options.

    A list of lists gives several values to an hparam that is a list itself. Values stay texts in the spec language,
    except for the integers of a range.
    """
    texts: dict[str, list[str]] = {}
    for option in given:
        name, equals, value = option.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UsageError(f"can't read --set '{option}'", "--set HPARAM=VALUE")
        texts.setdefault(name.strip(), []).append(value.strip())
    fixed: dict[str, str] = {}
    several: dict[str, Sequence[Any]] = {}
    for name, values in texts.items():
        parts = [_several(architecture, name, text) for text in values]
        if len(parts) > 1 and sum(map(len, parts)) > MAX_LISTED:
            raise UsageError(f"{name} has more than {MAX_LISTED:,} values", "give one range")
        if len(parts) == 1 and isinstance(parts[0], range):
            several[name] = parts[0]
        elif len(parts) == 1 and len(parts[0]) == 1:
            fixed[name] = values[0]
        else:
            several[name] = _once(value for part in parts for value in part)
    return fixed, several


def _once(values: Iterable[Any]) -> list[Any]:
    """Each value once, as it's first written: 2 of a range, and 2, 02 and 4/2 of lists, are the same."""
    first: dict[Any, Any] = {}
    for value in dict.fromkeys(values):
        first.setdefault(_meaning(value), value)
    return list(first.values())


def _meaning(value: Any) -> Any:
    """What a text in the spec language says, to compare it; as it's written if that depends on other names."""
    if not isinstance(value, str):
        return value
    if value.isascii() and value.isdecimal() and len(value) <= MAX_DIGITS:
        return int(value)
    try:
        found = parse_expression(value).evaluate(Environment({}))
    except LocalError:
        return value
    return found if isinstance(found, int) and not isinstance(found, bool) else ("evaluated", repr(found))


def _several(architecture: Architecture, name: str, text: str) -> Sequence[Any]:
    """The values that one option gives."""
    try:
        expr = parse_expression(text)
        if isinstance(expr, Binary) and expr.operation == "..":
            return _range(expr, text)
    except LocalError as error:
        raise UsageError(f"{name}: {error.message}", error.hint) from None
    if not isinstance(expr, Several) or expr.dims:  # [8, 16]*2 is one value
        return [text]
    items = _items(text)
    if is_list(architecture, name) and not all(item.startswith("[") for item in items):
        return [text]
    return items


def _range(expr: Binary, text: str) -> range:
    environment = Environment({})
    first, last = expr.left.evaluate(environment), expr.right.evaluate(environment)
    if any(isinstance(end, (bool, Word)) or not isinstance(end, int) for end in (first, last)) or first > last:
        raise UsageError(f"can't read the range '{text}'", "FIRST..LAST, two integers")
    if last - first >= 1000 * MAX_RANGE:
        raise UsageError(f"the range '{text}' is too long")
    return range(first, last + 1)


def _items(text: str) -> list[str]:
    """The items of a list's text, split at its own commas."""
    items, depth, start = [], 0, 1
    for place, letter in enumerate(text):
        depth += (letter in "[(") - (letter in "])")
        if (depth == 1 and letter == ",") or (depth == 0 and letter == "]"):
            items.append(text[start:place].strip())
            start = place + 1
    return [item for item in items if item]


def is_list(architecture: Architecture, name: str) -> bool:
    """Whether the hparam's own value is a list."""
    if name not in architecture.spec.hparams:
        return False
    module = make_module(architecture.spec, architecture.variant, {}, Diagnostics())
    try:
        value = module.env.find(name)
        return isinstance(value() if callable(value) else value, (list, tuple))
    except Reported:
        return False


def combinations(values: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """All combinations in order, like itertools.product, but of ranges that are too long to be listed."""
    if not values:
        yield ()
        return
    for value in values[0]:
        for rest in combinations(values[1:]):
            yield (value, *rest)
