"""What all commands have in common: nothing of what was typed is dropped in silence."""

from __future__ import annotations

from collections import Counter
from typing import Any

from typer.core import TyperCommand

from archcalc.errors import UsageError


class Command(TyperCommand):
    """A command that refuses what it would otherwise pass over: an option given twice, an empty value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments.

        Raises: UsageError: an option that has one value is given twice, or a value is empty.
        """
        if not ctx.resilient_parsing:  # while a shell completes a line, much is missing
            values, _, order = self.make_parser(ctx).parse_args(args=list(args))
            _refuse_repeated(order)
            _refuse_empty(self.get_params(ctx), values)
        return super().parse_args(ctx, args)


def _refuse_repeated(order: list[Any]) -> None:
    """Of several values typer takes the last; a flag that is given twice says nothing new."""
    for option, count in Counter(each for each in order if each.param_type_name == "option").items():
        says_one_thing = option.is_flag and not option.secondary_opts
        if count > 1 and not option.multiple and not says_one_thing:
            name = "/".join((option.opts[0], *option.secondary_opts))
            raise UsageError(f"{name} is given {'twice' if count == 2 else f'{count} times'}", "give it once")


def _refuse_empty(parameters: list[Any], values: dict[str, Any]) -> None:
    """An empty text would be read as one that isn't given; a variable of the shell without a value makes one."""
    for parameter in parameters:
        value = values.get(parameter.name)
        if value == "" or (isinstance(value, (list, tuple)) and "" in value):
            is_option = parameter.param_type_name == "option"
            name = parameter.opts[0] if is_option else parameter.metavar.strip("[]…")
            raise UsageError(f"{name} is empty", "leave it out, or give it a value")
