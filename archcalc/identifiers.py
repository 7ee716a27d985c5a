"""Names and texts in the Python code that archcalc writes.

A name from a spec becomes an identifier that is valid, given once in its namespace, and means nothing else there. A
text from a spec becomes a string literal or a docstring, and can't end it.
"""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable

RESERVED = frozenset({*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "self"})
"""Names that mean something everywhere in Python, and the first argument of a method."""


def identifier(text: str, prefix: str = "_") -> str:
    """A valid identifier that resembles the text; `prefix` stands in front of one that begins with a digit.

    Python compares identifiers in Unicode's form NFKC, so that's the form returned. Inside a class, names that begin
    with two underscores are changed by Python; so one underscore remains of several.
    """
    normal = unicodedata.normalize("NFKC", text)
    name = "".join(character if f"_{character}".isidentifier() else "_" for character in normal)
    name = f"_{name.lstrip('_')}" if name.startswith("_") else name
    name = name if name.isidentifier() else f"{prefix}{name}"
    if name.isidentifier() and unicodedata.normalize("NFKC", name) == name:
        return name
    return "".join(character if character.isascii() else "_" for character in name)


class Namespace:
    """Gives out the names of one namespace, each once.

    What means something already (`reserved`, and what Python reserves) gets an underscore at its end, what is in use a
    number, after `joint`.
    """

    def __init__(self, reserved: Iterable[str] = (), in_use: Iterable[str] = (), joint: str = "_") -> None:
        self._reserved = RESERVED.union(reserved)
        self._in_use = set(in_use)
        self._joint = joint

    def name(self, wish: str, prefix: str = "_") -> str:
        """A name as close to the wish as the others allow; from now on it's in use."""
        found = self.unused(wish, prefix)
        self._in_use.add(found)
        return found

    def unused(self, wish: str, prefix: str = "_") -> str:
        """The same name, which stays free."""
        base = identifier(wish, prefix)
        base = f"{base}_" if base in self._reserved else base
        joint = "_" if base[-1].isdigit() else self._joint
        found, number = base, 1
        while found in self._in_use or found in self._reserved:
            number += 1
            found = f"{base}{joint}{number}"
        return found


def literal(text: str) -> str:
    """A string literal of this value, in double quotes where that needs no backslash more."""
    written = repr(text)
    return written if '"' in text or "'" in text else f'"{written[1:-1]}"'


def docstring(text: str) -> str:
    '''The text between triple quotes, whatever is in it: `"""text"""`.'''
    inner = "".join(_printable(character) for character in text)
    inner = re.sub(r"(?<!\S)::|##(?=\[)", _first_escaped, inner)
    return '"""' + re.sub(r'"(?="|\Z)', r"\"", inner) + '"""'


def _first_escaped(command: re.Match[str]) -> str:
    """A command of GitHub's, should the code be printed in a log of theirs, as the same text to Python alone."""
    return f"\\x{ord(command[0][0]):02x}{command[0][1:]}"


def _printable(character: str) -> str:
    """The character itself, unless it's a backslash or can't be seen: controls, surrogates, directions of writing.

    Python can't keep a lone surrogate in a docstring, so its escape becomes the text.
    """
    if character == "\n" or (character.isprintable() and character != "\\"):
        return character
    escape = repr(character)[1:-1]
    return f"\\{escape}" if unicodedata.category(character) == "Cs" else escape
