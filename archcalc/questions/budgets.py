"""Budgets as people give them: 5M, 16GB, bands such as 4M..5M or 200.., and the same as numbers and pairs."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor
from typing import Any, TypeAlias

from archcalc.errors import LocalError, UsageError
from archcalc.language.budgets import Written, is_budget
from archcalc.language.expression import Environment
from archcalc.language.grammar import parse_expression
from archcalc.symbolic import exact

Budget: TypeAlias = "int | str | tuple[int | str | None, int | str | None]"
"""The most, 5_000_000 or "5M", also as "<5M" or "<=5M"; or a band, (4_000_000, "5M") or "4M..5M", one end of which may
be open: None, "4M..", ">=4M"."""

Band: TypeAlias = "tuple[int | None, int | None]"
"""The least and the most; None: any."""

_BILLIONS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)B")  # as models are called: 7B
_BYTES = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*([kKMGT]?)(?:(?<=[KMGT])(i))?B")
_BYTES_WITHIN = re.compile(rf"(?<![\w.]){_BYTES.pattern}(?!\w)")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}
_OF_COUNTS = "5M, or 4M..5M"
_OF_BYTES = "16GB (powers of 1000) or 16GiB (of 1024), or 8GB..16GB"


def budget(name: str, given: Budget, in_bytes: bool = False) -> Band:
    """What a budget of the quantity called `name` allows: a count, or bytes, of which a text says the unit.

    Raises: UsageError: it can't be read, has the wrong unit, is negative, or leaves nothing.

    >>> budget("params", "5M"), budget("params", (4_000_000, "5M")), budget("params", "4M..")
    ((None, 5000000), (4000000, 5000000), (4000000, None))
    >>> budget("params", "<5M"), budget("params", "<= 5M"), budget("params", ">4M")
    ((None, 4999999), (None, 5000000), (4000001, None))
    >>> budget("peak_bytes", "64MiB", in_bytes=True)
    (None, 67108864)
    """
    example = _OF_BYTES if in_bytes else _OF_COUNTS
    ends = _ends(name, given, example)
    return _band(name, given, ends if len(ends) == 2 else (None, *ends), _bytes if in_bytes else _count, example)


def interval(name: str, given: Budget, example: str) -> Band:
    """The same of a count where a single number is meant exactly; `example` shows how to give it.

    >>> interval("field of conv5", 11, "11 or 200.."), interval("field of conv5", "200..", "11 or 200..")
    ((11, 11), (200, None))
    """
    ends = _ends(name, given, example)
    return _band(name, given, ends if len(ends) == 2 else (*ends, *ends), _count, example)


def without_units(text: str) -> tuple[str, dict[int, str]]:
    """An expression with its amounts of bytes as plain numbers, and by their offsets in it the amounts as typed.

    >>> without_units("saved_bytes < 1.5kB or saved_bytes > 2 MiB")
    ('saved_bytes < 1500 or saved_bytes > 2097152', {14: '1.5kB', 36: '2 MiB'})
    """
    written, typed, end = "", {}, 0
    for match in _BYTES_WITHIN.finditer(text):
        written += text[end : match.start()]
        typed[len(written)], end = match[0], match.end()
        whole, billionths = divmod(int(_in_bytes(match) * 10**9), 10**9)
        written += f"{whole}.{billionths:09d}".rstrip("0").rstrip(".")
    return written + text[end:], typed


def _ends(name: str, given: Any, example: str) -> tuple[Any, ...]:
    """One value, or the two ends of a band."""
    if isinstance(given, (tuple, list)):
        if len(given) != 2:
            raise UsageError(f"{name}: a band has two ends, not {given!r:.60}", example)
        return tuple(given)
    if isinstance(given, str) and is_budget(given):
        try:
            written = Written.of(given)
        except LocalError as error:
            raise UsageError(f"can't read {name} '{given}': {error.message}", example) from None
        return tuple(given[slice(*end)].strip() if end else None for end in (written.low, written.high))
    return (given,)


def _is_strict(given: Any) -> bool:
    """Whether the end of a band isn't within it: <5M."""
    return isinstance(given, str) and is_budget(given) and Written.of(given).strict


def _band(
    name: str, given: Any, ends: tuple[Any, ...], read: Callable[[str, str, str], Fraction], example: str
) -> Band:
    low, high = (_number(name, end, read, example) for end in ends)
    strict = _is_strict(given)
    least = None if low is None else floor(low) + 1 if strict else ceil(low)
    most = None if high is None else ceil(high) - 1 if strict else floor(high)
    empty = least is not None and most is not None and least > most
    if (least is None and most is None) or (most is not None and most < 0) or (least or 0) < 0 or empty:
        raise UsageError(f"nothing lies within {name} {_shown(given)}", example)
    return least, most


def _number(name: str, end: Any, read: Callable[[str, str, str], Fraction], example: str) -> Fraction | int | None:
    if end is None:
        return None
    if isinstance(end, str):
        return read(name, end, example)
    try:
        number = exact(end, name)
    except UsageError as error:
        raise UsageError(str(error.args[0]), example) from None
    if not isinstance(number, int):
        raise UsageError(f"{name} takes an exact integer, not {number}", example)
    return number


def _shown(given: Any) -> str:
    return f"'{given}'" if isinstance(given, str) else repr(given)


def _bytes(name: str, text: str, example: str) -> Fraction:
    match = _BYTES.fullmatch(text.strip())
    if not match:
        number = re.fullmatch(r"\d+(?:\.\d+)?\s*[KMGT]?", text.strip())
        wrong = f"{name} '{text.strip()}' has no unit of bytes" if number else f"can't read {name} '{text}'"
        raise UsageError(wrong, example)
    return _in_bytes(match)


def _in_bytes(match: re.Match[str]) -> Fraction:
    unit: int = (1024 if match[3] else 1000) ** _POWERS[match[2]]
    return Fraction(match[1]) * unit


def _count(name: str, text: str, example: str) -> Fraction:
    if billions := _BILLIONS.fullmatch(text.strip()):
        return Fraction(billions[1]) * 10**9
    if _BYTES.fullmatch(text.strip()):
        raise UsageError(f"{name} is a count, '{text.strip()}' is in bytes", example)
    try:
        value = parse_expression(text).evaluate(Environment({}))
    except LocalError as error:
        raise UsageError(f"can't read {name} '{text}': {error.message}", example) from None
    if isinstance(value, bool) or not isinstance(value, (int, Fraction)):
        raise UsageError(f"can't read {name} '{text}'", example)
    return Fraction(value)
