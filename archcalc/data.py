"""Dataclasses that are frozen, and made quickly.

A command needs some ninety of them before it does anything, and Python generates and compiles six methods for each: a
seventh of a short command's time. What compares, hashes and prints them is the same for all, so it's written here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen, eq=True, repr=True, slots=False):
        """As `dataclasses.dataclass`, of classes that are frozen."""

        def made(cls):
            found = dataclasses.dataclass(frozen=frozen, eq=False, repr=False, slots=slots)(cls)
            if repr and "__repr__" not in vars(cls):
                found.__repr__ = _repr
            if eq:
                _compare(found)
            return found

        return made


def _compare(cls: Any) -> None:
    """Let a class compare and hash by its fields, unless it does so in its own way."""
    names = [field.name for field in dataclasses.fields(cls) if field.compare]

    def one_by_one(one: Any) -> tuple[Any, ...]:
        return tuple(getattr(one, name) for name in names)

    values: Callable[[Any], Any] = attrgetter(*names) if len(names) > 1 else one_by_one

    def equals(self: Any, other: object) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def hashed(self: Any) -> int:
        return hash(values(self))

    if vars(cls).get("__hash__") is None:  # also of a class with an `__eq__` of its own
        cls.__hash__ = hashed
    if "__eq__" not in vars(cls):
        cls.__eq__ = equals


@recursive_repr()
def _repr(self: Any) -> str:
    shown = [f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr]
    return f"{self.__class__.__qualname__}({', '.join(shown)})"
