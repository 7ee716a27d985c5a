"""VGG-16's table by torchinfo: the peer that `torchinfo_peer.py` runs. With `--meta` on tensors without data.

The network is written by hand, as a user without torchvision would write it.
"""

import sys

import torch
from torch import nn
from torchinfo import summary

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class VGG16(nn.Module):
    """Simonyan & Zisserman, ICLR 2015, column D."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, count in STAGES:
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            *(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(inplace=True), nn.Dropout()),
            *(nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout()),
            nn.Linear(4096, 1000),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The scores of each class."""
        return self.classifier(self.features(x))


def main() -> None:
    """Print the table."""
    device = "meta" if "--meta" in sys.argv else "cpu"
    with torch.device(device):
        model = VGG16()
    summary(model, input_size=(1, 3, 224, 224), device=device, col_names=("output_size", "num_params", "mult_adds"))


if __name__ == "__main__":
    main()
