"""A call's arguments → a layer. Equal layers are one object, so that what follows from them is computed once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archcalc.errors import ExpressionError, LocalError
from archcalc.expand.hparams import Module
from archcalc.language.arithmetic import Reference, UnknownName, Word
from archcalc.language.calls import ArgumentError, assign, usage
from archcalc.language.expression import Environment, Expr, Literal, Name, Several
from archcalc.language.items import CallUnit, Given, Template
from archcalc.layers import REGISTRY, Argument, Layer


class Layers:
    """Makes layers from calls, each different one once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Layer] = {}
        self._constant: dict[tuple[int, int], Layer] = {}

    def make(self, kind: str, call: CallUnit, module: Module, env: Environment) -> Layer:
        """The layer that a call means; its tensor arguments are paths, for the caller to look up.

        Raises: ArgumentError: an argument is unknown, missing, or not of its type.
        """
        key = (id(call), id(module))
        if (known := self._constant.get(key)) is not None and known.kind == kind:
            return known
        arguments = REGISTRY[kind].arguments()
        given = assign(kind, call, tuple(arguments))
        defaults = module.spec.defaults.get(kind, {})
        values = {}
        for name, argument in arguments.items():
            if name in given:
                values[name] = _convert(kind, argument, given[name], env)
            elif (value := defaults.get(name) or defaults.get(argument.short)) is not None:
                values[name] = _by_default(kind, argument, Given(name, value.expr, 0), module.env)
            elif argument.required:
                missing = argument.type.label or name
                raise ArgumentError(LocalError(f"{kind}: {missing} is missing", code="E083", hint=usage(kind)), None)
        layer = REGISTRY[kind](**values)
        layer = self._known.setdefault((kind, *values.items()), layer)
        if all(_is_constant(argument.value) for argument in call.arguments):
            self._constant[key] = layer
        return layer


def _is_constant(value: Expr | Template) -> bool:
    return isinstance(value, Expr) and all(isinstance(part, (Literal, Several)) for part in value.walk())


def _by_default(kind: str, argument: Argument, given: Given, env: Environment) -> Any:
    """A field's value that the spec gives for all layers of the kind.

    Raises: ArgumentError: the value is not of the argument's type; of the call, which doesn't give it.
    """
    try:
        return _convert(kind, argument, given, env)
    except ArgumentError as error:
        raise ArgumentError(error, None) from error


def _convert(kind: str, argument: Argument, given: Given, env: Environment) -> Any:
    """The field's value.

    Raises: ArgumentError: the value is not of the argument's type.
    """
    try:
        value = given.value
        if isinstance(value, Template):
            raw: Any = Reference(value.render(env))
        elif isinstance(value, Name) and value.name in argument.type.words:
            raw = Word(value.name)  # even where a size is called as the axis that is meant here
        else:
            raw = value.evaluate(env)
        if isinstance(raw, Reference) and argument.type.name not in ("Tensor", "Tie"):
            raise ExpressionError("takes no tensor", code="E086")
        if isinstance(raw, Word) and raw not in argument.type.words and not argument.type.any_word:
            raise UnknownName(raw, env.visible() | set(argument.type.words))
        return argument.type.convert(raw)
    except ExpressionError as error:
        message = error.message
        if message.startswith(("= ", "takes ")):
            message = f"{kind}: {argument.type.label or argument.name} {message}"
        raise ArgumentError(LocalError(message, code=error.code, hint=error.hint), given) from error


def references(layer: Layer) -> Mapping[str, str]:
    """The tensor arguments that a layer was given: name and path."""
    return {
        name: getattr(layer, name)
        for name, argument in layer.arguments().items()
        if argument.type.name in ("Tensor", "Tie") and getattr(layer, name) is not None
    }
