"""Mixtures of experts: a router and its choice, the way to the experts, one expert built for all, and the way back."""

from __future__ import annotations

from collections.abc import Sequence as Rows
from typing import Any, NamedTuple, Protocol

from archcalc.errors import LocalError, Mark, ShapeError
from archcalc.expand.nodes import Nodes, Tensor
from archcalc.expand.scope import Context
from archcalc.language.expression import Expr
from archcalc.language.items import CallUnit, Item, Mixture
from archcalc.layers import REGISTRY, Layer
from archcalc.shape import AXES, unequal_axes
from archcalc.symbolic import Dim, differ

ADD = CallUnit("add", (), 0)
"""What joins the experts and what all tokens go through."""


class Routing(NamedTuple):
    """Where tokens go while an expert is built: the shares, what was sent, how many experts, and how many each."""

    shares: int
    sent: int
    experts: Dim
    top: Dim


class Builder(Protocol):
    """What mixtures need from the expander."""

    made: Nodes

    def item(self, item: Item, ctx: Context, at: Tensor, own: str = "") -> Tensor:
        """Build any item."""
        ...

    def unnamed(self, name: str, branch: Item, ctx: Context, at: Tensor, mark: Mark) -> Tensor:
        """Build a part that the spec gives no name."""
        ...

    def add(self, layer: Layer, inputs: Rows[Tensor], path: str, mark: Mark, ctx: Context) -> Tensor:
        """Append a layer."""
        ...

    def join(self, call: CallUnit, branches: list[tuple[str, Tensor, Mark]], ctx: Context, mark: Mark) -> Tensor:
        """Append the layer that joins branches."""
        ...

    def value(self, expr: Expr, ctx: Context, at: Tensor) -> Any:
        """What an expression is where this tensor enters."""
        ...

    def report(self, ctx: Context, error: LocalError, mark: Mark, prefix: str = "") -> None:
        """Tell an error where it happened."""
        ...


class Mixtures:
    """Builds mixtures of experts, and knows in which one the build is."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.inside: Routing | None = None
        self._layers: dict[Layer, Layer] = {}

    def mixture(self, item: Mixture, ctx: Context, at: Tensor) -> Tensor:
        """The sum of a token's experts, and of what is shared."""
        builder = self.builder
        router = builder.unnamed("router", item.router, ctx, at, item.mark)
        shares = builder.item(item.choice, ctx, router)
        if at is None or shares is None:
            return None
        try:
            made = self._through_experts(item, ctx, at, shares)
        except LocalError as error:
            builder.report(ctx, error, item.mark, "moe")
            return None
        if item.shared is None:
            return made
        shared = builder.unnamed("shared", item.shared, ctx, at, item.mark)
        branches = [("experts", made, item.mark), ("shared", shared, item.mark)]
        return None if made is None else builder.join(ADD, branches, ctx, item.mark)

    def _through_experts(self, item: Mixture, ctx: Context, at: int, shares: int) -> Tensor:
        builder, made = self.builder, self.builder.made
        experts = builder.value(item.experts, ctx, at)
        choice = made.application(shares)
        if differ(choice.output_shape.C, experts):
            told = f"the router scores {choice.output_shape.C} experts, there are experts={experts}"
            raise ShapeError(told, code="E208")
        top, name = choice.layer.top, made.name(shares).rpartition("/")[2]  # type: ignore[attr-defined]  # it's `topk`
        dispatch, path = self._same(REGISTRY["dispatch"](name, top)), ctx.scope.fresh("dispatch")
        sent = builder.add(dispatch, (at, shares), path, item.mark, ctx)
        if sent is None:
            return None
        around, self.inside = self.inside, Routing(shares, sent, experts, top)
        try:
            returned = builder.unnamed("expert", item.expert, ctx, sent, item.mark)
        finally:
            self.inside = around
        if returned is None:
            return None
        self._check(sent, returned)
        combine, path = self._same(REGISTRY["combine"](name, top)), ctx.scope.fresh("combine")
        return builder.add(combine, (returned, shares), path, item.mark, ctx)

    def _check(self, sent: int, returned: int) -> None:
        made = self.builder.made
        if returned < sent:
            raise _reads_outside(made.name(returned))
        before, after = made.application(sent).output_shape, made.application(returned).output_shape
        if unequal_axes(before, after, AXES):
            hint = f"end it with 'fc {before.C}'" if "T" in after else ""
            told = f"an expert takes {before} and returns {after}; both must be equal"
            raise ShapeError(told, code="E212", hint=hint)

    def own(self, layer: Layer, inputs: tuple[int, ...], tied: int | None = None) -> tuple[Layer, tuple[int, ...]]:
        """A layer as an expert has it, and what it reads, if the build is in one.

        Raises: ShapeError: it can't be in an expert.
        """
        if self.inside is None:
            return layer, inputs
        from archcalc.layers.per_expert import in_expert  # few specs have experts

        shares, sent, experts, top = self.inside
        made = self.builder.made
        if outside := [tensor for tensor in inputs if tensor < sent]:
            raise _reads_outside(made.name(outside[0]))
        own = in_expert(layer, [made.application(tensor).output_shape for tensor in inputs], experts, top)
        if tied is not None and own is not layer:
            message = f"a layer of each expert can't share the weights of '{made.name(tied)}'"
            raise ShapeError(message, code="E212")
        return (layer, inputs) if own is layer else (self._same(own), (*inputs, shares))

    def _same(self, layer: Layer) -> Layer:
        """The one object that equal layers are."""
        return self._layers.setdefault(layer, layer)


def _reads_outside(name: str) -> ShapeError:
    return ShapeError(f"an expert reads '{name}' from outside, where tokens have other places", code="E212")
