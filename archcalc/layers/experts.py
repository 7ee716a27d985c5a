"""Mixtures of experts: which of them a token is sent to, the way there and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Number, Score, Tensor
from archcalc.layers.base import Layer, layer
from archcalc.layers.kept import Extra, Kept, Moments, Width
from archcalc.layers.reads import Everywhere, Groups, Reads, Relation
from archcalc.shape import Shape
from archcalc.symbolic import Dim, differ, exceeds, floor_div, known

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


def _check_tokens(x: Shape, what: str) -> None:
    if {*x} - {"R"} != {"T", "C"}:
        raise ShapeError(f"needs {what} for each token (T, C); the input is {x}", code="E210")


def _tokens(x: Shape) -> Dim:
    """How many tokens there are, those of all regions together."""
    return x.T * x.get("R", 1)


@layer("topk")
class TopK(Layer):
    """Of the scores of a token's experts the greatest, as their shares; 0 for the others. Shape (T, C) stays.

    Scores are a softmax or sigmoids of what enters. `correction` adds a number for each expert to what is compared, not
    to the shares; it's set by a rule, and not learned. With `groups`, only experts of the best `top_groups` groups are
    taken, where a group is as good as its `group_best` best ones together. Then shares are divided by their sum, with
    `renormalise`, and multiplied by `factor`.
    Source: Shazeer et al. 2017; softmax of the greatest alone: Jiang et al. 2024 (Mixtral), section 2.1, which is
    `renormalise=true`; sigmoids, groups and correction: DeepSeek-AI 2024 (DeepSeek-V3), section 2.1.2.

    >>> TopK(2).output_shape(Shape(T=5, C=8))
    Shape(T=5, C=8)
    """

    also = ("top_k", "gating", "router")

    top: Dim
    score: Score = "softmax"
    renormalise: bool = False
    factor: Number = 1
    correction: bool = False
    groups: Dim | None = None
    top_groups: Dim | None = None
    group_best: Dim = 1

    uncounted = "scores and their comparison"

    def output_shape(self, x: Shape) -> Shape:
        _check_tokens(x, "a score of each expert")
        if exceeds(self.top, x.C):
            raise ShapeError(f"top={self.top} is more than the {x.C} experts that there are", code="E208")
        if (self.groups is None) != (self.top_groups is None):
            raise ShapeError("takes groups and top_groups, or neither", code="E211")
        if self.groups is not None and self.top_groups is not None:
            self._check_groups(x, self.groups, self.top_groups)
        elif self.group_best != 1:
            raise ShapeError("group_best goes with groups", code="E211")
        return x

    def _check_groups(self, x: Shape, groups: Dim, top_groups: Dim) -> None:
        if differ(x.C % groups, 0):
            raise ShapeError(f"{x.C} experts are not divisible into groups={groups}", code="E205")
        size = floor_div(x.C, groups)
        for name, value, most in (
            ("top_groups", top_groups, groups),
            ("group_best", self.group_best, size),
            ("top", self.top, top_groups * size),
        ):
            if exceeds(value, most):
                raise ShapeError(f"{name}={value} is more than the {most} that there are to choose from", code="E208")

    def buffers(self, x: Shape) -> Dim:
        return x.C if self.correction else 0

    def sentence(self, quantity: str, x: Shape) -> str:
        return "a number for each expert, set by a rule" if quantity == "buffers" else ""

    def mixes(self, x: Shape) -> Relation | None:
        """All of them, unless each share is its own score's."""
        return None if self.score == "sigmoid" and not self.renormalise else Everywhere()

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """The scores, the places of the greatest, and, to be divided, the shares and their sums."""
        chosen = _tokens(x) * self.top
        shares = (Extra(chosen + _tokens(x)),) if self.renormalise else ()
        return Kept(extras=(Extra(x.numel), Extra(chosen, Width.index), *shares))

    def working(self, x: Shape) -> Moments:
        """Scores; what is compared, and the greatest of that; shares, and zeros that they're put into."""
        scores, tokens = Extra(x.numel), _tokens(x)
        chosen = tokens * self.top
        compared: tuple[Extra, ...] = (Extra(x.numel * int(self.correction)),)
        places, shares = Extra(chosen, Width.index), Extra(chosen)
        divided = 2 * chosen + tokens * int(self.renormalise)
        moments: list[tuple[Extra, ...]] = []
        if self.groups is not None and self.top_groups is not None:
            groups, taken = tokens * self.groups, tokens * self.top_groups
            best = groups * self.group_best
            moments.append((scores, *compared, Extra(best), Extra(best, Width.index)))
            moments.append((scores, *compared, Extra(best + groups)))
            moments.append((scores, *compared, Extra(groups + taken), Extra(taken, Width.index)))
            compared = (*compared, scores, Extra(groups, Width.mask), Extra(taken, Width.index))
        moments.append((scores, *compared, shares, places))
        if self.renormalise or self.factor != 1:
            moments.append((scores, places, Extra(divided)))
        return (*moments, (scores, Extra(x.numel), places, shares))

    def program(self, at: Sheet, x: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_experts

        return torch_experts.TopK(
            known(self.top),
            self.score,
            self.renormalise,
            float(self.factor),
            known(x.C) if self.correction else None,
            None if self.groups is None else known(self.groups),
            None if self.top_groups is None else known(self.top_groups),
            known(self.group_best),
        )


class BetweenExperts(Layer):
    """What takes tokens to their experts or back: `router` has a share for each token and expert, as `topk` makes them.

    The `top` greatest shares of a token say which experts it's sent to. In memory its copies lie by expert; in volumes
    those of one token are neighbours, the greatest share first. What happens to them doesn't depend on their order.
    """

    router: Tensor
    top: Dim

    def _check_router(self, router: Shape) -> None:
        _check_tokens(router, "a share of each expert")
        if exceeds(self.top, router.C):
            raise ShapeError(f"top={self.top} is more than the {router.C} experts that there are", code="E208")

    def _check_copies(self, x: Shape, router: Shape, times: Dim) -> None:
        regions = x.get("R", 1), router.get("R", 1)
        if ("R" in x) != ("R" in router) or differ(*regions) or differ(x.T, times * router.T):
            told = f"there are shares for {router}, which don't say where {x} goes"
            raise ShapeError(told if times == 1 else f"{told}, {times} copies of each token", code="E208")

    def gates(self, x: Shape, router: Shape) -> tuple[int, ...]:
        return (1,)


@layer("dispatch")
class Dispatch(BetweenExperts):
    """A copy of each token for each expert that it's sent to. Shapes: (T, C) and (T, experts) → (T·top, C).

    Source: Lepikhin et al. 2021 (GShard), algorithm 1, without a capacity: no token is dropped.

    >>> Dispatch("router", 2).output_shape(Shape(T=5, C=64), Shape(T=5, C=8))
    Shape(T=10, C=64)
    """

    router: Tensor
    top: Dim

    sizes_only = (1,)

    def output_shape(self, x: Shape, router: Shape) -> Shape:
        _check_tokens(x, "features")
        self._check_router(router)
        self._check_copies(x, router, 1)
        return x.with_(T=self.top * x.T)

    def needs_dense(self, x: Shape) -> bool:
        return True

    def reads(self, x: Shape, router: Shape) -> Sequence[Reads | None]:
        return (Reads({"T": Groups(self.top, 1)}), None)

    def kept(self, needs: Sequence[bool], x: Shape, router: Shape) -> Kept:
        """Which token each copy is of."""
        return Kept(extras=(Extra(self.top * _tokens(x), Width.index),))

    def working(self, x: Shape, router: Shape) -> Moments:
        """Places of the greatest shares, put in order; the copies."""
        copies = self.top * _tokens(x)
        return ((Extra(3 * copies, Width.index),), (Extra(copies, Width.index), Extra(copies * x.C)))

    def program(self, at: Sheet, *inputs: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, x: Shape, router: Shape) -> nn.Module:
        from archcalc.layers import torch_experts

        return torch_experts.Dispatch(known(self.top))


@layer("combine")
class Combine(BetweenExperts):
    """The sum of what a token's experts made of it, each times its share. Shapes: (T·top, C) and (T, experts) → (T, C).

    Source: Shazeer et al. 2017, equation 1.

    >>> Combine("router", 2).output_shape(Shape(T=10, C=64), Shape(T=5, C=8))
    Shape(T=5, C=64)
    """

    router: Tensor
    top: Dim

    uncounted = "products with shares, and sums"

    def output_shape(self, x: Shape, router: Shape) -> Shape:
        _check_tokens(x, "features")
        self._check_router(router)
        self._check_copies(x, router, self.top)
        return x.with_(T=router.T)

    def needs_dense(self, x: Shape) -> bool:
        return True

    def reads(self, x: Shape, router: Shape) -> Sequence[Reads | None]:
        return (Reads({"T": Groups(1, self.top)}), Reads({"C": Everywhere()}))

    def kept(self, needs: Sequence[bool], x: Shape, router: Shape) -> Kept:
        """Of a product the factor whose other factor has a gradient; places of shares, and whose copies they are."""
        values, shares = needs
        copies = _tokens(x)
        places = Extra(copies * (1 + int(shares)), Width.index)
        return Kept(inputs=(0,) if shares else (), extras=(places, *((Extra(copies),) if values else ())))

    def working(self, x: Shape, router: Shape) -> Moments:
        """Places of shares, put in order; shares; products, and the sums of those of one token."""
        copies = _tokens(x)
        places = Extra(2 * copies, Width.index)
        ordered = (Extra(4 * copies, Width.index),)
        return (ordered, (places, Extra(copies + x.numel)), (places, Extra(x.numel + _tokens(router) * x.C)))

    def program(self, at: Sheet, *inputs: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, x: Shape, router: Shape) -> nn.Module:
        from archcalc.layers import torch_experts

        return torch_experts.Combine(known(self.top))
