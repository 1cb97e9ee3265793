"""The other half of the head: feature maps reflected at the line that halves an image."""

import torch
from torch import Tensor
from torch.nn import functional as F

_FOREGROUND = 0.1
"""Of an image in [0, 1]: what is brighter belongs to the head."""

_LEAST = 1e-3


def mirror_reflection(x: Tensor) -> Tensor:
    """Find the line that halves each image's head from top to bottom, as a reflection.

    The line is fitted, by least squares, to the middles of the head's rows, each weighed by its width; it may be tilted
    and lie anywhere.

    Parameters
    ----------
    x : images B×C×H×W in [0, 1], background near 0.

    Returns
    -------
    B×2×3, for `reflect`; in coordinates from -1 to 1 as `torch.nn.functional.affine_grid` takes them.
    """
    height, width = x.shape[2:]
    inside = (x.detach().float().mean(1) > _FOREGROUND).float()
    columns = torch.linspace(0.5 - width / 2, width / 2 - 0.5, width, device=x.device)
    rows = torch.linspace(0.5 - height / 2, height / 2 - 0.5, height, device=x.device)
    weight = inside.sum(2)  # B×H
    middle = (inside * columns).sum(2) / weight.clamp(min=1)
    total = weight.sum(1).clamp(min=1)
    row = (weight * rows).sum(1) / total
    offset = (weight * middle).sum(1) / total
    spread = (weight * (rows - row[:, None]) ** 2).sum(1).clamp(min=_LEAST)
    slope = (weight * (rows - row[:, None]) * (middle - offset[:, None])).sum(1) / spread
    slope = slope.clamp(-0.5, 0.5)
    # Reflection at the line x = offset + slope (y - row), of direction (slope, 1): p -> 2 d (d·(p - c)) - (p - c) + c.
    norm = 1 + slope**2
    xx, xy, yy = 2 * slope**2 / norm - 1, 2 * slope / norm, 2 / norm - 1
    shift_x = offset - xx * offset - xy * row
    shift_y = row - xy * offset - yy * row
    x_row = torch.stack([xx, xy * height / width, shift_x * 2 / width], 1)
    y_row = torch.stack([xy * width / height, yy, shift_y * 2 / height], 1)
    return torch.stack([x_row, y_row], 1)


def reflect(features: Tensor, reflection: Tensor) -> Tensor:
    """Reflect feature maps B×C×h×w of any resolution; 0 where the mirror image lies outside.

    Channels stay last where they were, which the sampling alone forgets: what follows would copy both halves.
    """
    with torch.autocast(features.device.type, enabled=False):
        grid = _grid(reflection, features)
        found = F.grid_sample(features.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    last = features.is_contiguous(memory_format=torch.channels_last)
    return found.contiguous(memory_format=torch.channels_last) if last else found


def _grid(reflection: Tensor, features: Tensor) -> Tensor:
    """As `affine_grid` with half-pixel centers, which OpenVINO does not know: B×h×w×2."""
    height, width = features.shape[2:]
    x, y = ((2 * torch.arange(n, device=features.device, dtype=torch.float32) + 1) / n - 1 for n in (width, height))
    across, down = x.expand(height, width), y[:, None].expand(height, width)
    places = torch.stack([across, down, torch.ones_like(across)], 2)
    return (places.flatten(0, 1) @ reflection.transpose(1, 2)).unflatten(1, (height, width))
