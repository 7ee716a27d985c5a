"""Several values for one name: ranges, lists, and repeated options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from archcalc.errors import LocalError, UsageError
from archcalc.expand.hparams import Given, from_outside, is_override, make_module
from archcalc.language.arithmetic import Word
from archcalc.language.expression import Binary, Environment, Reported
from archcalc.language.grammar import parse_expression
from archcalc.language.tree import Diagnostics
from archcalc.symbolic import is_symbolic
from archcalc.zoo import Architecture

MAX_DIGITS = 18
"""Of a size: as many as `--input` takes."""
NONE = "none"
"""The word for a value that isn't there: what may stand for it, a number or a list, isn't known."""

MAX_VALUES = 1_000_000_000
"""Of one range."""
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
        if min(values[0], values[-1]) < 1 or len(str(max(values[0], values[-1]))) > MAX_DIGITS:
            raise UsageError(f"{name} = {values[0]}..{values[-1]}: sizes are at least 1", f"--set {name}=1..100")
        return values
    found = []
    for value in values:
        text = str(value).strip()
        if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS and int(text) > 0):
            raise UsageError(f"{name} = {text[:40]} is not a size", f"positive integers: --set {name}=1..100")
        found.append(int(text))
    return found


def alternatives(architecture: Architecture, given: Iterable[str]) -> tuple[dict[str, Any], dict[str, Sequence[Any]]]:
    """`NAME=VALUE` options → those with one value, and those with several: ranges, lists, and repeated options.

    A range is `8..128` or, in steps, `8..128:8`; a list `16,32,64`, with ranges in it or in brackets. Lists give
    several values to an hparam that is a list itself. Values stay texts in the spec language, except for the integers
    of a range.
    Raises: UsageError: an option can't be read, or has too many values.
    """
    texts: dict[str, list[str]] = {}
    for option in given:
        name, equals, value = option.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UsageError(f"can't read --set '{option}'", "--set width=96, --set conv1.stride=3")
        texts.setdefault(name.strip(), []).append(value.strip())
    fixed: dict[str, Any] = {}
    several: dict[str, Sequence[Any]] = {}
    for name, values in texts.items():
        parts = [_several(architecture, name, text) for text in values]
        if len(parts) > 1 and sum(map(len, parts)) > MAX_LISTED:
            raise UsageError(f"{name} has more than {MAX_LISTED:,} values", "give one range")
        if len(parts) == 1 and isinstance(parts[0], range):
            several[name] = parts[0]
        elif len(parts) == 1 and len(parts[0]) == 1:
            fixed[name] = parts[0][0]
        else:
            several[name] = _once(value for part in parts for value in part)
    return fixed, several


def as_options(architecture: Architecture, fixed: Mapping[str, str]) -> dict[str, str]:
    """Single values as options that say the same: where a list isn't expected, one alone has to be in a list."""
    return {
        name: f"[{text}]" if text.startswith("[") and not is_list(architecture, name) else text
        for name, text in fixed.items()
    }


def parted(architecture: Architecture, given: Mapping[str, Given]) -> tuple[dict[str, Any], dict[str, Sequence[Any]]]:
    """Values by name: those that are one value, and those that are several, as ranges and lists are however few.

    Raises: UsageError: there are none, or too many, or one isn't exact.
    """
    fixed: dict[str, Any] = {}
    several: dict[str, Sequence[Any]] = {}
    for name, value in given.items():
        if is_symbolic(value) or (isinstance(value, tuple) and is_override(name)):
            fixed[name] = value
            continue
        values = values_of(architecture, name, value)
        several_values = isinstance(value, Iterable) and not isinstance(value, (str, tuple))
        whole = not several_values or (isinstance(value, list) and values[0] == value)
        if len(values) == 1 and whole and not isinstance(values, range):
            fixed[name] = values[0]
        else:
            several[name] = values
    return fixed, several


def values_of(architecture: Architecture, name: str, given: Given) -> Sequence[Any]:
    """The values that a Python value gives a name: those of a range or a list, of a text as of an option, or the one.

    For an hparam that is a list itself, a list is one value, and a list of lists several.
    Raises: UsageError: there are none, or too many, or one isn't exact.
    """
    if isinstance(given, range) and given:
        return given
    if isinstance(given, str):
        found = _several(architecture, name, given)
    elif isinstance(given, Iterable) and not isinstance(given, (tuple, Mapping, range)):
        found = _among(architecture, name, list(islice(given, MAX_LISTED + 1)))
    elif isinstance(given, tuple) and not is_list(architecture, name):
        one, several = "x".join(map(str, given)), str(list(given))
        raise UsageError(f"{name}: a tuple is one value, {one:.60}", f"several values are a list: {several:.60}")
    else:
        found = () if isinstance(given, range) else (given,)
    if not found:
        raise UsageError(f"{name} has no values", f"{name}=[8, 16, 32], or {name}=range(8, 33, 8)")
    return found if isinstance(found, range) else _once(_plain(name, value) for value in found)


def _among(architecture: Architecture, name: str, values: list[Any]) -> Sequence[Any]:
    """The values in a list."""
    if len(values) > MAX_LISTED:
        raise UsageError(f"{name} has more than {MAX_LISTED:,} values", "give one range")
    if is_list(architecture, name) and not all(_is_list_itself(value) for value in values):
        return [values]
    return [part for value in values for part in (_listed(name, [value], value) if isinstance(value, str) else [value])]


def _is_list_itself(value: Any) -> bool:
    return isinstance(value, (str, list, tuple))  # a text is one value, whatever it says


def _plain(name: str, value: Any) -> Any:
    """A value as the language has it; a text that is an integer as that."""
    if isinstance(value, str):
        value = value.strip()
        return int(value) if value.isascii() and value.isdecimal() and len(value) <= MAX_DIGITS else value
    value = from_outside(value, name)
    if is_symbolic(value):
        raise UsageError(f"{name}: {value} is not a number", f"{name}=range(8, 33, 8)")
    return value


def _once(values: Iterable[Any]) -> list[Any]:
    """Each value once, as it's first written: 2 of a range, and 2, 02 and 4/2 of lists, are the same."""
    first: dict[Any, Any] = {}
    for value in values:
        first.setdefault(_meaning(value), value)
    return list(first.values())


def _meaning(value: Any) -> Any:
    """What a text in the spec language says, to compare it; as it's written if that depends on other names."""
    if isinstance(value, (bool, list, tuple)):
        return "evaluated", repr(value)
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
    inside = _inside(text)
    parts = _split(text if inside is None else inside.rstrip().removesuffix(","))
    try:
        if inside is None and len(parts) == 1:
            values = _range(text)
            return [text] if values is None else values
        if is_list(architecture, name) and not all(part.startswith("[") for part in parts):
            if inside is not None:
                return [text]
            hint = f"[{text}] is one value, [{parts[0]}],[{parts[1]}] are two"
            raise UsageError(f"'{name}' is a list, and '{text}' may be one or several", hint)
        if inside is not None and _own(architecture, name) == NONE and not any(part.startswith("[") for part in parts):
            hint = f"[{text}] is one value; without brackets, each is one: {','.join(parts)}"
            raise UsageError(f"'{name}' is {NONE}, and '{text}' may be one or several", hint)
        return _listed(name, parts, text)
    except LocalError as error:
        hint = "a range with steps: 8..128:8" if ":" in text else error.hint
        raise UsageError(f"{name}: {error.message}", hint) from None


def _listed(name: str, parts: Sequence[str], text: str) -> list[Any]:
    """The values of a list, each as it's written; of the ranges in it their integers."""
    found: list[Any] = []
    for part in parts:
        if not part:
            raise UsageError(f"can't read the list '{text}' for {name}: a value is missing", "16,32,64")
        values = _range(part)
        found += [part] if values is None else values[: MAX_LISTED + 1]
        if len(found) > MAX_LISTED:
            raise UsageError(f"{name} has more than {MAX_LISTED:,} values", "give one range")
    return found


def _split(text: str) -> list[str]:
    """A text at its own commas, those outside of all brackets.

    >>> _split("8, [1,2], max(3,4)")
    ['8', '[1,2]', 'max(3,4)']
    """
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    return [*parts, text[start:].strip()]


def _inside(text: str) -> str | None:
    """What is in the brackets of a list; None if they don't hold the whole text, as in [8, 16]*2."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if depth == 0:
            return text[1:-1] if text.startswith("[") and place == len(text) - 1 else None
    return None


def _range(text: str) -> range | None:
    """`8..128` or, in steps, `8..128:8` as a range, the last included if a step ends there; None if it's neither.

    Raises: UsageError: it's a range, but not one of integers that goes upwards.
    """
    ends, colon, step = text.partition(":")
    expr = parse_expression(ends if ".." in ends else text)
    if not isinstance(expr, Binary) or expr.operation != "..":
        return None
    found = [part.evaluate(Environment({})) for part in (expr.left, expr.right)]
    found.append(parse_expression(step).evaluate(Environment({})) if colon else 1)
    if any(isinstance(number, (bool, Word)) or not isinstance(number, int) for number in found):
        raise _unreadable(text)
    first, last, by = found
    if first > last or by < 1:
        raise _unreadable(text)
    if (last - first) // by >= MAX_VALUES:
        raise UsageError(f"the range '{text}' is too long")
    return range(first, last + 1, by)


def _unreadable(text: str) -> UsageError:
    return UsageError(f"can't read the range '{text}'", "FIRST..LAST or FIRST..LAST:STEP, integers that go upwards")


def is_list(architecture: Architecture, name: str) -> bool:
    """Whether the hparam's own value is a list."""
    return isinstance(_own(architecture, name), (list, tuple))


def _own(architecture: Architecture, name: str) -> Any:
    """The value that the spec gives an hparam; None if it has no such hparam, or the value is wrong."""
    if name not in architecture.spec.hparams:
        return None
    module = make_module(architecture.spec, architecture.variant, {}, Diagnostics())
    try:
        value = module.env.find(name)
        return value() if callable(value) else value
    except Reported:
        return None


def combinations(values: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """All combinations in order, like itertools.product, but of ranges that are too long to be listed."""
    if not values:
        yield ()
        return
    for value in values[0]:
        for rest in combinations(values[1:]):
            yield (value, *rest)
