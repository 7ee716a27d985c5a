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

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


class OverRegions(Layer):
    """Something of each region of a map; a region is x₁, y₁, x₂, y₂ in fractions of the map's sides."""

    output_size: Extent
    rois: Tensor

    sizes_only = (1,)

    def output_shape(self, x: Shape, rois: Shape) -> Shape:
        _check_map(x)
        if tuple(rois) != ("R", "C") or differ(rois.C, 4):
            raise ShapeError(f"rois must be R regions of C=4 numbers; they are {rois}", code="E210")
        return x.with_(R=rois["R"], **per_axis(self.output_size, x.spatial, "output size"))

    def reads(self, x: Shape, rois: Shape) -> Sequence[Reads]:
        return ALL, ALL

    def bins(self, x: Shape) -> tuple[int, int]:
        """The output's height and width."""
        height, width = map(known, per_axis(self.output_size, x.spatial, "output size").values())
        return height, width


@layer("roipool")
class RoIPool(OverRegions):
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

    def kept(self, needs: Sequence[bool], x: Shape, rois: Shape) -> Kept:
        return input_and_places(self.output_shape(x, rois).numel)

    def working(self, x: Shape, rois: Shape) -> Moments:
        """All regions and the places of the last one's maxima; then all regions, and again, joined."""
        regions = self.output_shape(x, rois)
        last = Extra(regions.without("R").numel, Width.index, per_example=False)
        return (Extra(regions.numel), last), (Extra(2 * regions.numel),)

    def program(self, at: Sheet, *inputs: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, x: Shape, rois: Shape) -> nn.Module:
        from archcalc.layers.torch_regions import RoIPool as Module

        return Module(self.bins(x))


@layer("roialign")
class RoIAlign(OverRegions):
    """The mean of interpolated values in each bin of each region, `sampling` of them along each side of a bin.

    Places are not rounded, and the centre of the map's first position is at 0, as in torchvision by default.
    Shapes: x (C, H, W), rois (R, C=4), output (R, C, *output_size).
    Source: He et al. 2017 (Mask R-CNN), section 3; torchvision.ops.roi_align, aligned=False.

    >>> RoIAlign(14, rois="rois").output_shape(Shape(C=256, H=200, W=272), Shape(R=100, C=4))
    Shape(R=100, C=256, H=14, W=14)
    """

    also = ("roi_align",)

    output_size: Extent
    rois: Tensor
    sampling: Dim = 2

    uncounted = "interpolation"

    def output_shape(self, x: Shape, rois: Shape) -> Shape:
        if exceeds(1, self.sampling):
            raise ShapeError(f"sampling must be at least 1, not {self.sampling}", code="E211")
        return super().output_shape(x, rois)

    def _samples(self, x: Shape, rois: Shape) -> Shape:
        """The values of one region before their means are taken."""
        y = self.output_shape(x, rois).without("R")
        return y.with_(H=self.sampling * y["H"], W=self.sampling * y["W"])

    def kept(self, needs: Sequence[bool], x: Shape, rois: Shape) -> Kept:
        """The map; of each region the places that were looked at, and the values there."""
        samples = self._samples(x, rois)
        return Kept(inputs=(0,), extras=(Extra(rois["R"] * (samples.numel + 2 * samples["H"] * samples["W"])),))

    def working(self, x: Shape, rois: Shape) -> Moments:
        """All regions, but for the last one its places and values; then its mean, and its values; then all, twice."""
        regions, samples = self.output_shape(x, rois), self._samples(x, rois)
        places = 2 * samples["H"] * samples["W"]
        looked_up = samples.numel + places - regions.without("R").numel
        return (
            (Extra(regions.numel), Extra(looked_up, per_example=False)),
            (Extra(regions.numel), Extra(samples.numel, per_example=False)),
            (Extra(2 * regions.numel),),
        )

    def program(self, at: Sheet, *inputs: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, x: Shape, rois: Shape) -> nn.Module:
        from archcalc.layers.torch_regions import RoIAlign as Module

        return Module(self.bins(x), known(self.sampling))


@layer("proposals")
class Proposals(Layer):
    """The regions with the best scores, decoded from a region proposal network's two maps.

    Shapes: scores (2·A, H, W), those against an object and those for it, or, not paired, (A, H, W), boxes (4·A, H, W)
    for A anchors, output (R=num_proposals, C=4).
    Source: Ren et al. 2015, section 3.1; not paired: torchvision.models.detection.rpn.
    """

    num_proposals: Dim
    box: Tensor
    paired: bool = True

    uncounted = "box decoding and non-maximum suppression"
    sizes_only = (0,)

    def needs_dense(self, x: Shape) -> bool:
        return True

    def output_shape(self, scores: Shape, boxes: Shape) -> Shape:
        _check_map(scores)
        each = 2 if self.paired else 1
        if (
            unequal_axes(scores, boxes, ["H", "W"])
            or differ(each * boxes.C, 4 * scores.C)
            or differ(scores.C % each, 0)
        ):
            wanted = f"{'2·' if self.paired else ''}A scores"
            raise ShapeError(
                f"needs {wanted} and 4·A box numbers for A anchors; they are {scores} and {boxes}", code="E208"
            )
        candidates = floor_div(scores.numel, each)
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
        differences = floor_div(scores.numel, 2) if self.paired else 0
        choosing = (Extra(differences + chosen), Extra(chosen, Width.index))
        return choosing, (Extra(16 * chosen), Extra(7 * chosen, Width.index))

    def program(self, at: Sheet, *inputs: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, scores: Shape, boxes: Shape) -> nn.Module:
        from archcalc.layers.torch_regions import Proposals as Module

        return Module(known(self.num_proposals), self.paired)


def _check_map(x: Shape) -> None:
    if tuple(x) != ("C", "H", "W"):
        raise ShapeError(f"needs a map (C, H, W); the input is {x}", code="E210")
