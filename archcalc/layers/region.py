"""Regions: which parts of an image to look at, and pooling of those parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Extent, Tensor, per_axis
from archcalc.layers.base import Layer, layer
from archcalc.layers.kept import Extra, Kept, Moments, Width, input_and_places
from archcalc.layers.reads import ALL, Reads
from archcalc.shape import Shape, unequal_axes
from archcalc.symbolic import Dim, differ, exceeds, floor_div, known

if TYPE_CHECKING:
    from torch import nn


@layer("roipool")
class RoIPool(Layer):
    """Max-pools each region of a map to one size; a region is x₁, y₁, x₂, y₂ in fractions of the map's sides.

    Shapes: x (C, H, W), rois (R, C=4), output (R, C, *output_size).
    Source: Girshick 2015 (Fast R-CNN), section 2.1.

    >>> RoIPool(7, rois="rois").output_shape(Shape(C=512, H=38, W=63), Shape(R=300, C=4))
    Shape(R=300, C=512, H=7, W=7)
    """

    also = ("roi_pooling",)

    output_size: Extent
    rois: Tensor

    uncounted = "comparisons"
    sizes_only = (1,)

    def output_shape(self, x: Shape, rois: Shape) -> Shape:
        _check_map(x)
        if tuple(rois) != ("R", "C") or differ(rois.C, 4):
            raise ShapeError(f"rois must be R regions of C=4 numbers; they are {rois}", code="E210")
        return x.with_(R=rois["R"], **per_axis(self.output_size, x.spatial, "output size"))

    def reads(self, x: Shape, rois: Shape) -> Sequence[Reads]:
        return ALL, ALL

    def kept(self, needs: Sequence[bool], x: Shape, rois: Shape) -> Kept:
        return input_and_places(self.output_shape(x, rois).numel)

    def working(self, x: Shape, rois: Shape) -> Moments:
        """All regions and the places of the last one's maxima; then all regions, and again, joined."""
        regions = self.output_shape(x, rois)
        last = Extra(regions.without("R").numel, Width.index, per_example=False)
        return (Extra(regions.numel), last), (Extra(2 * regions.numel),)

    def torch_module(self, x: Shape, rois: Shape) -> nn.Module:
        from archcalc.layers.torch_regions import RoIPool as Module

        height, width = map(known, per_axis(self.output_size, x.spatial, "output size").values())
        return Module((height, width))


@layer("proposals")
class Proposals(Layer):
    """The regions with the best scores, decoded from a region proposal network's two maps.

    Shapes: scores (2·A, H, W), boxes (4·A, H, W) for A anchors, output (R=num_proposals, C=4).
    Source: Ren et al. 2015, section 3.1.
    """

    num_proposals: Dim
    box: Tensor

    uncounted = "box decoding and non-maximum suppression"
    sizes_only = (0,)

    def needs_dense(self, x: Shape) -> bool:
        return True

    def output_shape(self, scores: Shape, boxes: Shape) -> Shape:
        _check_map(scores)
        if unequal_axes(scores, boxes, ["H", "W"]) or differ(boxes.C, 2 * scores.C) or differ(scores.C % 2, 0):
            raise ShapeError(
                f"needs 2·A scores and 4·A box numbers for A anchors; they are {scores} and {boxes}",
                code="E208",
            )
        candidates = floor_div(scores.numel, 2)
        if exceeds(self.num_proposals, candidates):
            raise ShapeError(f"there are {candidates} anchors for {self.num_proposals} proposals", code="E208")
        return Shape(R=self.num_proposals, C=4)

    def reads(self, scores: Shape, boxes: Shape) -> Sequence[Reads]:
        return ALL, ALL

    def kept(self, needs: Sequence[bool], scores: Shape, boxes: Shape) -> Kept:
        """The box numbers, the places of those chosen, and of each: its four numbers, two sizes, and four sides."""
        chosen = self.num_proposals
        return Kept(inputs=(1,), extras=(Extra(10 * chosen), Extra(4 * chosen, Width.index)))

    def working(self, scores: Shape, boxes: Shape) -> Moments:
        """Differences of all scores and the best of them; later four numbers, two sizes and corners of each region.

        Then there are the sides twice, and of each region its number, its anchor, its place and where four numbers are.
        """
        chosen = self.num_proposals
        choosing = (Extra(floor_div(scores.numel, 2) + chosen), Extra(chosen, Width.index))
        return choosing, (Extra(16 * chosen), Extra(7 * chosen, Width.index))

    def torch_module(self, scores: Shape, boxes: Shape) -> nn.Module:
        from archcalc.layers.torch_regions import Proposals as Module

        return Module(known(self.num_proposals))


def _check_map(x: Shape) -> None:
    if tuple(x) != ("C", "H", "W"):
        raise ShapeError(f"needs a map (C, H, W); the input is {x}", code="E210")
