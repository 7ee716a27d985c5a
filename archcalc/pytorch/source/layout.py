"""Statements that are too long for one line, written over several."""

from __future__ import annotations

import re
import textwrap

WIDTH = 110
"""Longer statements are opened at their outermost brackets."""


def wrapped(text: str, indent: int, end: str = "") -> list[str]:
    """A statement in lines, each at most `WIDTH` characters as far as there are brackets to open."""
    start = " " * indent
    opening = _outer_bracket(_without_strings(text))
    if len(text) + len(end) + indent <= WIDTH or opening is None:
        return [start + text + end]
    head, inner, tail = text[: opening + 1], text[opening + 1 : -1], text[-1]
    lines = [start + head]
    place = _comprehension(inner)
    if re.fullmatch(r"[-\d, ]+", inner):
        lines += textwrap.wrap(inner, WIDTH, initial_indent=start + "    ", subsequent_indent=start + "    ")
    elif place is not None:
        lines += [*wrapped(inner[:place].strip(), indent + 4), *wrapped(inner[place:].strip(), indent + 4)]
    else:
        for argument in _arguments(inner):
            lines += wrapped(argument, indent + 4, ",")
    return [*lines, start + tail + end]


_STRING = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


def _without_strings(text: str) -> str:
    """The text with everything inside string literals blotted out: brackets and commas there mean nothing."""
    return _STRING.sub(lambda match: "_" * len(match[0]), text)


def _outer_bracket(text: str) -> int | None:
    """Where the bracket opens that the text's last character closes."""
    if not text or text[-1] not in ")]}":
        return None
    depth = 0
    for place in range(len(text) - 1, -1, -1):
        depth += (text[place] in ")]}") - (text[place] in "([{")
        if depth == 0:
            return place
    return None


def _outside(text: str) -> list[int]:
    """The places that no bracket encloses."""
    found, depth = [], 0
    for place, character in enumerate(text):
        depth -= character in ")]}"
        if depth == 0:
            found.append(place)
        depth += character in "([{"
    return found


def _comprehension(text: str) -> int | None:
    """Where the `for` of a comprehension begins, if it is one."""
    bare = _without_strings(text)
    return next((place for place in _outside(bare) if bare.startswith(" for ", place)), None)


def _arguments(text: str) -> list[str]:
    """What stands between the commas outside brackets."""
    bare = _without_strings(text)
    commas = [place for place in _outside(bare) if bare[place] == ","]
    starts = [0, *(place + 1 for place in commas)]
    parts = (text[start:end].strip() for start, end in zip(starts, [*commas, len(text)], strict=True))
    return [part for part in parts if part]
