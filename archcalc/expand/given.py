"""Values by name, as callers give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archcalc.errors import UsageError


def mapping_of(given: Mapping[str, Any] | None, what: str) -> dict[str, Any]:
    """Values by name, and `what` they are; None stands for no values.

    Raises: UsageError: it isn't a mapping, or a name isn't a text.
    """
    if not isinstance(given, (Mapping, type(None))) or not all(isinstance(name, str) for name in given or ()):
        example = "{'H': 256, 'W': 256}" if what == "sizes" else "{'classes': 10}"
        raise UsageError(f"{what} are values by name, not {given!r:.60}", f"{what}={example}")
    return dict(given or {})


_OPTIONS = {"set": "hparams", "sets": "hparams", "input": "sizes", "inputs": "sizes"}
"""What is meant by the names of options that parameters don't share."""


def refuse_options(named: Mapping[str, Any]) -> None:
    """See that nothing is given under the name of a command's option.

    Raises: UsageError: something is.
    """
    for name, meant in _OPTIONS.items():
        if isinstance(named.get(name), Mapping):
            raise UsageError(f"values by name are called {meant}, not {name}", f"{meant}={dict(named[name])!r:.60}")


def together(hparams: Mapping[str, Any] | None, named: Mapping[str, Any]) -> dict[str, Any]:
    """The hparams that are given in a mapping, and those that are given by their names.

    Raises: UsageError: one is given twice, it isn't a mapping, or something else is meant.
    """
    refuse_options(named)
    found = mapping_of(hparams, "hparams")
    for name in named:
        if name in found:
            raise UsageError(f"'{name}' is given twice", "leave one of them out")
    return {**found, **named}
