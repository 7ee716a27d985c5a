"""Our dataclasses are Python's: they compare, hash, print, copy and pickle alike."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import field
from typing import Any

import pytest

from archcalc import data

MAKERS: dict[str, Callable[..., Any]] = {"ours": data.dataclass, "Python's": dataclasses.dataclass}


def classes(dataclass: Callable[..., Any], **options: bool) -> list[type]:
    """Classes of all shapes: without fields, with one, with several and their options, derived, with own methods."""

    @dataclass(frozen=True, **options)
    class Empty:
        pass

    @dataclass(frozen=True, **options)
    class One:
        a: Any = 1

    @dataclass(frozen=True, **options)
    class Several:
        a: Any = 1
        b: Any = field(default=2, compare=False)
        c: Any = field(default_factory=list, repr=False, compare=False)
        d: tuple[Any, ...] = ()

    @dataclass(frozen=True, **options)
    class Derived(Several):
        e: Any = 5

    @dataclass(frozen=True, **options)
    class Own:
        a: Any = 1

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Own)

        def __repr__(self) -> str:
            return "own"

    @dataclass(frozen=True, **options)
    class OwnHash:
        a: Any = 1

        def __hash__(self) -> int:
            return 7

    return [Empty, One, Several, Derived, Own, OwnHash]


def told(value: Callable[[], Any]) -> Any:
    """A value, or which error there is instead."""
    try:
        return value()
    except (TypeError, AttributeError) as error:
        return type(error)


@pytest.mark.parametrize("options", [{}, {"slots": True}, {"repr": False}, {"eq": False}, {"slots": True, "eq": False}])
def test_they_are_as_pythons(options: dict[str, bool]) -> None:
    """Whatever the options, for any pair of values."""
    arguments: list[tuple[Any, ...]] = [(), (2,), ("x",), ([],), (1.0,), (1, 3), (1, 3, [4]), (1, 2, [], ("y",))]
    ours, theirs = (classes(make, **options) for make in MAKERS.values())
    for mine, other in zip(ours, theirs, strict=True):
        made = [
            [one for each in arguments if not isinstance(one := told(lambda c=cls, e=each: c(*e)), type)]
            for cls in (mine, other)
        ]
        assert len(made[0]) == len(made[1]) > 0
        is_generic = [vars(cls).get("__repr__") is None for cls in (mine, other)]
        assert is_generic[0] == is_generic[1]
        for a, b in zip(*made, strict=True):
            assert is_generic[0] or repr(b) == repr(a)
            assert "eq" in options or told(lambda b=b: hash(b)) == told(lambda a=a: hash(a))
            assert [a == each for each in made[0]] == [b == each for each in made[1]]
            assert told(lambda a=a: setattr(a, "a", 1)) == told(lambda b=b: setattr(b, "a", 1))
            assert "eq" in options or copy.copy(a) == a
            assert a != b or mine.__name__ == "Own"


@data.dataclass(frozen=True, slots=True)
class Node:
    """For pickle, which wants a class of a module."""

    name: str
    inner: tuple[Any, ...] = ()
    seen: list[Any] = field(default_factory=list, compare=False)


def test_they_travel() -> None:
    """By pickle and by replace; what holds itself prints, too."""
    node = Node("a", (Node("b"),))
    assert node == pickle.loads(pickle.dumps(node))
    assert Node("c", (Node("b"),)) == dataclasses.replace(node, name="c")
    node.seen.append(node)
    assert "Node(name='a', inner=(Node(name='b', inner=(), seen=[]),), seen=[...])" == repr(node)
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.name = "d"  # type: ignore[misc]
