"""Names of classes, attributes, arguments and variables in the code that is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from archcalc.identifiers import Namespace

IMPORTED = frozenset({"torch", "nn", "F", "Tensor", "Sequence", "Any", "annotations"})
"""What the program imports."""


def _members() -> frozenset[str]:
    from torch import nn

    return frozenset(dir(nn.Module()))


MEMBERS = _members()
"""Attributes that every module has."""


def attributes(names: Sequence[str]) -> list[str]:
    """The names of a scope's parts, in order, as attributes of its class."""
    given = Namespace(MEMBERS)
    return [given.name(name, "step") for name in names]


def variables() -> Namespace:
    """What gives out the names of volumes in `forward`; `x` is the one that is handed on from layer to layer."""
    return Namespace(IMPORTED | {"x"})


def class_names(helpers: Iterable[str]) -> Namespace:
    """What gives out the names of classes."""
    return Namespace(IMPORTED, helpers, joint="")


def class_title(text: str) -> str:
    """Words as the name of a class: BasicBlock."""
    words = re.split(r"[^A-Za-z0-9]+", text)
    name = "".join(word[:1].upper() + word[1:] for word in words) or "Scope"
    return name if name[0].isalpha() else f"Net{name}"


def title(path: str) -> str:
    """What to call the class of a scope: its last name that is more than a number."""
    names = [re.sub(r"\d+$", "", name) or name for name in path.split("/") if not name.isdigit()]
    return f"{names[-1]}_block" if names else "block"


def argument(name: str, attribute: str, given: Namespace, in_use: Iterable[str]) -> str:
    """A name for a class's argument: as the layer calls it, or with the layer's name in front."""
    return given.name(f"{attribute}_{name}" if name in in_use else name)


def counting(varying: list[tuple[int, ...]], count: int) -> str:
    """What a comprehension counts through."""
    if not varying:
        return f"_ in range({count})"
    if len(varying) > 1:
        return f"c, d in {list(zip(*varying, strict=True))}"
    (values,) = varying
    step = values[1] - values[0]
    if step > 0 and all(b - a == step for a, b in pairwise(values)):
        return f"c in range({values[0]}, {values[-1] + step}, {step})"
    return f"c in {values}"
