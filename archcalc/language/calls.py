"""Which argument each value of a call belongs to: the rule that checking and building share."""

from __future__ import annotations

from archcalc.errors import LocalError, suggestion
from archcalc.language.items import CallUnit, Given
from archcalc.layers import REGISTRY
from archcalc.layers.base import SHORTHANDS


class ArgumentError(LocalError):
    """A call's argument is wrong; `given` says which, and `offset` where inside the call's text."""

    def __init__(self, error: LocalError, given: Given | None) -> None:
        super().__init__(error.message, code=error.code, hint=error.hint)
        self.given = given


def assign(what: str, call: CallUnit, names: tuple[str, ...]) -> dict[str, Given]:
    """Which argument each given value belongs to.

    Raises: ArgumentError: too many by position, an unknown name, or one argument twice.
    """
    found: dict[str, Given] = {}
    position = 0
    for given in call.arguments:
        if given.name:
            name = given.name if given.name in names else SHORTHANDS.get(given.name, given.name)
            if name not in names:
                shorts = {short for short, long in SHORTHANDS.items() if long in names}
                hint = suggestion(given.name, {*names, *shorts}) if names else f"'{what}' takes no arguments"
                raise ArgumentError(LocalError(f"{what} has no argument '{given.name}'", code="E084", hint=hint), given)
        elif position < len(names):
            name = names[position]
            position += 1
        else:
            count = f"at most {len(names)} argument{'s' * (len(names) > 1)}" if names else "no arguments"
            raise ArgumentError(LocalError(f"{what} takes {count}", code="E085"), given)
        if name in found:
            raise ArgumentError(LocalError(f"{what}: argument '{name}' is given twice", code="E087"), given)
        found[name] = given
    return found


def usage(kind: str) -> str:
    """How a kind is written: `conv C kernel_size [s=1] …`."""
    words = [kind]
    for name, argument in REGISTRY[kind].arguments().items():
        words.append(argument.type.label or name if argument.required else f"[{argument.short}=…]")
    return " ".join(words)
