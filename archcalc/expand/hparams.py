"""A spec and a choice of variant and values → the names that its layers can use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from fractions import Fraction
from functools import partial
from typing import Any, TypeAlias

from archcalc.data import dataclass
from archcalc.errors import ArchcalcError, ExpressionError, LocalError, UsageError, suggestion
from archcalc.language.arithmetic import Dims, Items, UnknownName, Word, number
from archcalc.language.check import WORDS
from archcalc.language.expression import Environment, Name, Reported
from archcalc.language.grammar import parse_expression
from archcalc.language.model import Block, Hparam, Spec, Use, Value
from archcalc.language.tree import Diagnostics
from archcalc.symbolic import Dim, dim, exact, exceeds, indivisible, is_zero

Given: TypeAlias = "Dim | bool | Fraction | str | Sequence[Given] | Mapping[str, Given]"
"""What an hparam or an argument of a layer may be given from outside: an exact value, a list of them, or a text in the
spec language; for a layer's name, values by argument."""

Sizes: TypeAlias = "Mapping[str, Dim | Mapping[str, Dim]]"
"""The sizes of inputs, by axis, or by an input's name and then by axis."""

_SEVERAL = re.compile(r"[^\[(]*,|.*\.\..*:")
"""A text with several values: 16,32,64 or 8..128:8."""


class OutOfBounds(UsageError):
    """A value from outside breaks its hparam's `min` or `multiple_of`, or its layer can't take it."""


def is_override(name: str) -> bool:
    """Whether a name under which a value is given is an argument of layers, `conv1.stride`; no hparam has a dot."""
    return "." in name


class UnknownHparam(UsageError):
    """A spec has no hparam of this name."""

    def __init__(self, message: str, hint: str, name: str) -> None:
        super().__init__(message, hint)
        self.name = name


@dataclass(frozen=True, eq=False)
class Module:
    """One spec with its values in place: what its blocks and layers see."""

    spec: Spec
    variant: str
    env: Environment
    user: Module | None = None
    """Of a used spec: the module that uses it."""
    read: set[str] = field(default_factory=set)
    """The hparams that something has read so far."""


@dataclass(frozen=True, eq=False)
class Callee:
    """A block or a used spec, as a value: what a step calls, and the module whose names it sees."""

    target: Block | Use
    module: Module

    def __str__(self) -> str:
        return self.target.name


def make_module(
    spec: Spec,
    variant: str,
    sets: Mapping[str, Any],
    diagnostics: Diagnostics,
    user: Module | None = None,
    lent: Mapping[str, Value] | None = None,
) -> Module:
    """Put values in place: the spec's own, the variant's over them, and `sets` over both.

    Of a used spec, `lent` are what its user gives hparams of it, in the user's own names.

    `sets` holds values, or texts in the spec language such as "2*64" or "sym", or what a spec says (`at:`); those of
    layers are passed over.
    Raises: UsageError: `sets` names no hparam, or its text can't be read.
    """
    names: dict[str, Any] = {name: table.rows for name, table in spec.tables.items()}
    module = Module(spec, variant, Environment(names, tensors={}), user)
    names.update({name: Callee(block, module) for name, block in spec.blocks.items()})
    names.update({name: Callee(use, module) for name, use in spec.uses.items()})
    for name in sets:
        if name not in spec.hparams and not is_override(name):
            hint = suggestion(name, spec.hparams)
            if name in (axes := spec.axes):
                source, axis = axes[name]
                ahead = "" if name == axis else f"{source}="
                hint = f"sizes have a place of their own: --input {ahead}{axis}=64"
            raise UnknownHparam(f"{spec.name} has no hparam '{name}'", hint, name)
    assigned, lent = spec.assigned(variant), lent or {}
    for name, hparam in spec.hparams.items():
        circle = f"hparam '{name}' depends on itself"
        if name in sets:
            compute = partial(_given, hparam, sets[name], module.env)
            names[name] = _once(name, module, compute, UsageError(circle))
        elif name in lent and user is not None:
            compute = partial(_in_place, hparam, lent[name], user, module, diagnostics)
            names[name] = _once(name, module, compute, ExpressionError(circle, code="E044"))
        else:
            compute = partial(_in_place, hparam, assigned.get(name, hparam.value), module, module, diagnostics)
            names[name] = _once(name, module, compute, ExpressionError(circle, code="E044"))
    for name, hparam in spec.hparams.items():  # a bound holds even where nothing reads the value
        if name in sets or hparam.minimum is not None or hparam.multiple_of is not None:
            was_read = name in module.read
            with suppress(Reported):
                names[name]()
            if not was_read:
                module.read.discard(name)
    return module


def _once(name: str, module: Module, compute: Callable[[], Any], circle: ArchcalcError) -> Callable[[], Any]:
    """A thunk, so that hparams may refer to each other in any order; what it computes may be the error to raise."""
    found: list[Any] = []
    busy = False

    def evaluate() -> Any:
        nonlocal busy
        module.read.add(name)
        if busy:
            raise circle
        if not found:
            busy = True
            try:
                found.append(compute())
            finally:
                busy = False
        if isinstance(found[0], Reported):
            raise found[0]
        return found[0]

    return evaluate


def _in_place(hparam: Hparam, value: Value, giver: Module, module: Module, diagnostics: Diagnostics) -> Any:
    """The value that a spec gives an hparam of a module, its own or a used one; what is wrong with it is reported."""
    try:
        result = _value(value, hparam.name, giver, module)
        _check_bounds(hparam, result, module.env)
    except Reported:
        raise
    except LocalError as error:
        mark = value.at(value.expr.offset)
        diagnostics.report(giver.spec.source, error.code, error.message, mark, hint=error.hint)
        return Reported()
    return result


def _value(value: Value, name: str, giver: Module, module: Module) -> Any:
    if isinstance(value.expr, Name) and value.expr.name == "sym":
        if module.user:  # nobody could give it a number, and the using spec may have a symbol of this name
            hint = "use a variant that gives it a value, or give it one: 'at: {" + name + ": …}'"
            raise ExpressionError(f"hparam '{name}' of a used spec must have a value", code="E106", hint=hint)
        return dim(name)
    return value.expr.evaluate(giver.env)


def _check_bounds(hparam: Hparam, value: Any, env: Environment) -> None:
    """Whether a value keeps the bounds of its hparam; of a list, every entry does.

    Raises: ExpressionError: it doesn't, or is not a number.
    """
    least = None if hparam.minimum is None else number(hparam.minimum.expr.evaluate(env))
    factor = None if hparam.multiple_of is None else number(hparam.multiple_of.expr.evaluate(env))
    if factor is not None and is_zero(factor):
        raise ExpressionError(f"{hparam.name}: nothing is a multiple of 0", code="E046")
    for entry in _entries(value) if (least, factor) != (None, None) else ():
        if least is not None and exceeds(least, number(entry)):
            raise ExpressionError(f"{hparam.name} = {value} is less than its min, {least}", code="E046")
        if factor is not None and indivisible(number(entry), factor):
            raise ExpressionError(f"{hparam.name} = {value} is not a multiple of {factor}", code="E046")


def _entries(value: Any) -> Iterator[Any]:
    """The numbers of a list, those of lists inside it included; of a range those that decide about bounds."""
    if isinstance(value, range):
        yield from {*value[:2], *value[-1:]}
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _entries(entry)
    else:
        yield value


def _given(hparam: Hparam, given: Any, env: Environment) -> Any:
    """A value from outside: a Python value as it is, a text through the language's own parser."""
    try:
        if isinstance(given, (str, Value)):
            expr = parse_expression(given) if isinstance(given, str) else given.expr
            is_symbol = isinstance(expr, Name) and expr.name == "sym"
            given = dim(hparam.name) if is_symbol else expr.evaluate(env)
            if isinstance(given, Word) and given not in WORDS:
                raise UnknownName(given, env.visible())
        else:
            given = from_outside(given, hparam.name)
        _check_bounds(hparam, given, env)
    except Reported:
        raise
    except LocalError as error:
        if error.code == "E046":  # its message names the hparam
            raise OutOfBounds(error.message, error.hint) from None
        several = isinstance(given, str) and _SEVERAL.match(given)
        hint = f"several values are for sweep: archcalc sweep … --set {hparam.name}={given}" if several else error.hint
        raise UsageError(f"{hparam.name}: {error.message}", hint) from None
    return given


def from_outside(value: Any, name: str) -> Any:
    """A Python value as the language's: exact numbers, truth values, and lists of them.

    Raises: UsageError: it's something else; a float isn't exact, its text is.
    """
    if isinstance(value, (bool, Fraction, range)):
        return value
    if isinstance(value, (list, tuple)):
        kind = Items if isinstance(value, list) else Dims
        return kind(from_outside(part, name) for part in value)
    if isinstance(value, float):
        raise UsageError(f"{name}: {value!r} is not exact", f"give it as a text, {name}='{value!r}'")
    return exact(value, name)
