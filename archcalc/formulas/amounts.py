"""What people type for numbers: budgets such as 5M, 4M..5M or 64MiB, and several values for one hyperparameter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from archcalc.errors import LocalError, UsageError
from archcalc.expand.hparams import Reported, make_module
from archcalc.spec.arithmetic import MAX_RANGE, Word
from archcalc.spec.expression import Binary, Environment
from archcalc.spec.grammar import parse_expression
from archcalc.spec.tree import Diagnostics
from archcalc.zoo import Architecture

_BYTES = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*([KMGT]?)(i?)B")
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def budget(text: str, option: str) -> tuple[int | None, int]:
    """The least (None: any) and the most that a budget allows.

    Raises: UsageError: it can't be read.

    >>> budget("5M", "--params"), budget("4M..5M", "--params"), budget("64MiB", "--memory")
    ((None, 5000000), (4000000, 5000000), (None, 67108864))
    """
    low, dots, high = text.partition("..")
    least = _amount(low, option) if dots else None
    most = _amount(high if dots else low, option)
    return (None if least is None else -(-least // 1)), most // 1


def _amount(text: str, option: str) -> Any:
    match = _BYTES.fullmatch(text.strip())
    if match:
        return Fraction(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2]]
    try:
        value = parse_expression(text).evaluate(Environment({}))
    except LocalError as error:
        raise UsageError(f"can't read {option} '{text}': {error.message}", f"{option} 5M, {option} 4M..5M") from None
    if isinstance(value, bool) or not isinstance(value, (int, Fraction)):
        raise UsageError(f"can't read {option} '{text}'", f"{option} 5M, {option} 4M..5M")
    return value


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
        if len(parts) > 1:
            if sum(map(len, parts)) > MAX_RANGE:
                raise UsageError(f"{name} has too many values", "give one range")
            several[name] = list(dict.fromkeys(value for part in parts for value in part))
        elif isinstance(parts[0], range) or len(parts[0]) > 1:
            several[name] = parts[0]
        else:
            fixed[name] = values[0]
    return fixed, several


def _several(architecture: Architecture, name: str, text: str) -> Sequence[Any]:
    """The values that one option gives."""
    try:
        expr = parse_expression(text)
        if isinstance(expr, Binary) and expr.operation == "..":
            return _range(expr, text)
    except LocalError as error:
        raise UsageError(f"{name}: {error.message}", error.hint) from None
    if not text.startswith("["):
        return [text]
    items = _items(text)
    if _is_list(architecture, name) and not all(item.startswith("[") for item in items):
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


def _is_list(architecture: Architecture, name: str) -> bool:
    """Whether the hparam's own value is a list."""
    if name not in architecture.spec.hparams:
        return False
    module = make_module(architecture.spec, architecture.variant, {}, Diagnostics())
    try:
        value = module.env.find(name)
        return isinstance(value() if callable(value) else value, (list, tuple))
    except Reported:
        return False
