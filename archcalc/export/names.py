"""Names of attributes, classes and arguments in the code that is written."""

from __future__ import annotations

import keyword
import re
from itertools import pairwise

from archcalc.export.tree import Branch


def attribute(name: str) -> str:
    """A name as an attribute of a class."""
    text = re.sub(r"\W", "_", name)
    text = f"step{text}" if text[:1].isdigit() else text
    reserved = keyword.iskeyword(text) or text in RESERVED
    return f"{text}_" if reserved else text


def _reserved() -> set[str]:
    from torch import nn

    return set(dir(nn.Module())) | {"nn", "torch", "F", "x"}


RESERVED = _reserved()


def title(branch: Branch) -> str:
    """What to call the class of a scope: its last name that is more than a number."""
    names = [re.sub(r"\d+$", "", name) or name for name in branch.path.split("/") if not name.isdigit()]
    return f"{names[-1]}_block" if names else "block"


def argument(name: str, attribute_: str, taken: dict[tuple[int, ...], str]) -> str:
    """A name for a class's argument that no other one has."""
    for candidate in (name, f"{attribute_}_{name}"):
        if candidate and candidate not in taken.values():
            return candidate
    number = 2
    while f"{attribute_}_{name}_{number}" in taken.values():
        number += 1
    return f"{attribute_}_{name}_{number}"


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
