"""Calls of modules: the first one holds the weights, the later ones are the same layers and use them again."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple, Protocol

from archcalc.errors import LocalError, Mark
from archcalc.expand.nodes import Built, First, Nodes, Reached, Tensor
from archcalc.expand.overrides import Overrides
from archcalc.graph import Application
from archcalc.graph.composite import Call, Module
from archcalc.graph.shared import again, begins_unlike, layer_in, unlike


class Builder(Protocol):
    """What a call needs from the expander."""

    made: Nodes
    overrides: Overrides
    failures: int

    @property
    def in_expert(self) -> bool:
        """Whether an expert is being built, whose layers read where tokens are sent."""
        ...


class ModuleCall(NamedTuple):
    """A call of a module: in how many used specs, the module's number, where, and what enters.

    Equal declarations with equal arguments have one number.
    """

    name: str
    depth: int
    number: int
    path: str
    mark: Mark
    entered: int


class Modules:
    """Builds calls of modules; `built` are the calls of modules and blocks so far."""

    def __init__(self, builder: Builder, built: MutableMapping[tuple[Any, ...], Built]) -> None:
        self.builder, self.built = builder, built

    def call(self, call: ModuleCall, expand: Callable[[], Tensor], alone: bool) -> Tensor:
        """Build a call; `expand` builds its body, and `alone` says that it's given no other volumes.

        Raises: LocalError: on what enters it, its layers can't have the weights of the first call.
        """
        made, outside = self.builder.made, self.builder.overrides.below(call.path)
        shape, changed = made.shape(call.entered), len(made.changed)
        first = made.modules.get((call.depth, call.number))
        if first is None:
            return self._first(call, expand, outside)
        module, key = Module(call.number, call.name, False), (id(first.built.call), shape, outside)
        alone = alone and not (made.upto or first.ties or self.builder.in_expert or first.in_expert)
        if alone and (shape, outside) == (first.shape, first.outside):
            self.built.setdefault(key, first.built._replace(call=again(first.built.call)))
        if alone and (known := self._known(key)):
            return made.call(known, call.path, call.entered, module)
        output = self._later(first, module, expand)
        if alone and output is not None:
            self.built[key] = made.last(output, changed)
        return output

    def _known(self, key: tuple[Any, ...]) -> Built | None:
        return self.built.get(key)

    def _first(self, call: ModuleCall, expand: Callable[[], Tensor], outside: tuple[frozenset[str], ...]) -> Tensor:
        made, failures, changed = self.builder.made, self.builder.failures, len(self.builder.made.changed)
        start, ties = made.size, len(made.ties)
        output = expand()
        if output is not None and self.builder.failures == failures:
            built, shape, owners = made.last(output, changed), made.shape(call.entered), made.ties_out(start, ties)
            around = call.path, call.mark, shape, outside, owners, self.builder.in_expert
            made.modules[call.depth, call.number] = First(built, *around)
            made.share(Module(call.number, call.name, True))
        return output

    def _later(self, first: First, module: Module, expand: Callable[[], Tensor]) -> Tensor:
        """Build a later call anew: it enters something else, or a used spec may end in it."""
        made, failures = self.builder.made, self.builder.failures
        start, ties = made.size, len(made.ties)
        try:
            output = expand()
        except Reached:
            _check(first, made.last_call, begins_unlike(made.last_call, first.built.call))
            made.share(module)
            raise
        if output is None or self.builder.failures > failures:
            return None
        _check(first, made.last_call, unlike(made.last_call, first.built.call, set()))
        if made.ties_out(start, ties) != first.ties:
            raise _refused(first, "its layers are tied to others here")
        made.share(module)
        return output


def _check(first: First, call: Call, place: int | None) -> None:
    """See that no layer differs from that of the first call; else the first that does is at this place."""
    if place is None:
        return
    here, there = layer_in(call, place), layer_in(first.built.call, place)
    raise _refused(first, f"{_told(here)} here, {_told(there)} there")


def _refused(first: First, why: str) -> LocalError:
    details = (f"first called at line {first.mark.line}",)
    return LocalError(f"can't use the weights of '{first.path}' again: {why}", code="E076", details=details)


def _told(at: Application | None) -> str:
    """A layer and what it reads."""
    return "nothing more" if at is None else f"{at.text} on {' and '.join(shape.text() for shape in at.input_shapes)}"
