"""The network for sequences: local votes, averaged where they count."""

from __future__ import annotations

from torch import Tensor, nn

SEQUENCES = ("T1", "T1-CE", "FLAIR", "T2", "PD", "CT", "DWI")
"""What it tells apart, in the order of its outputs."""

_WIDTHS = (16, 24, 40, 64)


class SequenceNetwork(nn.Module):
    """Four strides of two convolutions, then at each place a vote for every sequence and how much it counts."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for number, width in enumerate(_WIDTHS):
            first = 3 if number else 5
            layers += [
                nn.Conv2d(before, width, first, stride=2, padding=first // 2, bias=False), nn.BatchNorm2d(width),
                nn.ReLU(inplace=True), nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]  # fmt: skip
            before = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(before, len(SEQUENCES) + 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×7 of slices N×1×H×W, whose intensities are ranks; see `slices.equalized`."""
        votes = self.head(self.body(images)).flatten(2)
        weights = votes[:, -1:].softmax(dim=2)
        return (votes[:, :-1] * weights).sum(dim=2)
