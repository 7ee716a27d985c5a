"""PyTorch modules for regions: plain ones, to run a graph with, not to compete with tuned kernels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as PyTorch's own documentation names it


class RoIPool(nn.Module):
    """Max-pool each region of each image to the same size; regions are x₁, y₁, x₂, y₂ in fractions of the image."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor, rois: Tensor) -> Tensor:
        pooled = [self._pool(image, region) for image, regions in zip(x, rois, strict=True) for region in regions]
        return torch.stack(pooled).reshape(*rois.shape[:2], x.shape[1], *self.size)

    def _pool(self, image: Tensor, region: Tensor) -> Tensor:
        height, width = image.shape[1:]
        if region.is_meta:  # sizes only: any region will do
            return F.adaptive_max_pool2d(image, self.size)
        x1, y1, x2, y2 = region.detach().clamp(0, 1).tolist()
        left, top = min(int(x1 * width), width - 1), min(int(y1 * height), height - 1)
        right, bottom = max(-int(-x2 * width // 1), left + 1), max(-int(-y2 * height // 1), top + 1)
        return F.adaptive_max_pool2d(image[:, top:bottom, left:right], self.size)


class RoIAlign(nn.Module):
    """The mean of interpolated values in each bin of each region; regions are as for `RoIPool`."""

    def __init__(self, size: tuple[int, int], sampling: int) -> None:
        super().__init__()
        self.size, self.sampling = size, sampling

    def forward(self, x: Tensor, rois: Tensor) -> Tensor:
        pooled = [self._pool(image, region) for image, regions in zip(x, rois, strict=True) for region in regions]
        return torch.stack(pooled).reshape(*rois.shape[:2], x.shape[1], *self.size)

    def _pool(self, image: Tensor, region: Tensor) -> Tensor:
        places = self._places(image, region)
        values = F.grid_sample(image[None], places, padding_mode="border", align_corners=True)
        del places
        return F.avg_pool2d(values, self.sampling)

    def _places(self, image: Tensor, region: Tensor) -> Tensor:
        """Where values are looked up, from -1 to 1 between the first and the last position."""
        counts = [self.sampling * size for size in self.size]
        if region.is_meta:  # sizes only
            return image.new_empty(1, *counts, 2)
        x1, y1, x2, y2 = region.detach().clamp(0, 1).tolist()
        sides = []
        for start, end, size, count in zip((y1, x1), (y2, x2), image.shape[1:], counts, strict=True):
            step = max((end - start) * size, 1.0) / count
            sides.append([2 * (start * size + (i + 0.5) * step) / max(size - 1, 1) - 1 for i in range(count)])
        return torch.tensor([[[[x, y] for x in sides[1]] for y in sides[0]]], dtype=image.dtype, device=image.device)


class Proposals(nn.Module):
    """The boxes of the anchors with the best scores, each around its own position; without suppression of overlaps.

    If scores are paired, the first half of their channels speaks against an object, the second for it; anchors are as
    large as the map.
    """

    def __init__(self, count: int, paired: bool = True) -> None:
        super().__init__()
        self.count, self.paired = count, paired

    def forward(self, scores: Tensor, boxes: Tensor) -> Tensor:
        batch, _, height, width = scores.shape
        against, for_ = scores.flatten(1).chunk(2, dim=1) if self.paired else (None, scores.flatten(1))
        best = (for_ if against is None else for_ - against).topk(self.count).indices
        anchor, place = best.div(height * width, rounding_mode="floor"), best % (height * width)
        numbers = torch.stack([(4 * anchor + i) * height * width + place for i in range(4)], dim=-1)
        dx, dy, dw, dh = boxes.flatten(1).gather(1, numbers.flatten(1)).reshape(batch, -1, 4).unbind(-1)
        x = ((place % width + 0.5) / width).to(boxes.dtype) + dx
        y = ((place.div(width, rounding_mode="floor") + 0.5) / height).to(boxes.dtype) + dy
        half_width, half_height = dw.clamp(max=4).exp() / 2, dh.clamp(max=4).exp() / 2
        return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=-1).clamp(0, 1)
