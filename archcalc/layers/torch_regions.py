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


class Proposals(nn.Module):
    """The boxes of the anchors with the best scores, each around its own position; without suppression of overlaps.

    The first half of the score channels speaks against an object, the second for it; anchors are as large as the map.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, scores: Tensor, boxes: Tensor) -> Tensor:
        batch, _, height, width = scores.shape
        against, for_ = scores.flatten(1).chunk(2, dim=1)
        best = (for_ - against).topk(self.count).indices
        anchor, place = best.div(height * width, rounding_mode="floor"), best % (height * width)
        numbers = torch.stack([(4 * anchor + i) * height * width + place for i in range(4)], dim=-1)
        dx, dy, dw, dh = boxes.flatten(1).gather(1, numbers.flatten(1)).reshape(batch, -1, 4).unbind(-1)
        x = ((place % width + 0.5) / width).to(boxes.dtype) + dx
        y = ((place.div(width, rounding_mode="floor") + 0.5) / height).to(boxes.dtype) + dy
        half_width, half_height = dw.clamp(max=4).exp() / 2, dh.clamp(max=4).exp() / 2
        return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=-1).clamp(0, 1)
