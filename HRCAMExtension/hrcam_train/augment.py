"""Random changes of prepared images that a scanner, a patient or a sequence could have made.

Every transform is a pure function `(images, rng, …) -> images` for batches N×C×H×W or N×C×D×H×W (float32), on the
device of `images`; the input is left untouched. All randomness comes from `rng`, a `torch.Generator` on the CPU.

Each item of a batch draws its own parameters, and **all channels of an item share them, noise included**: a scan and
its unlesioned counterpart (or its mask, for the geometric ones) go in as two channels and come out still a pair.
"""

from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

Rng = torch.Generator


class AugmentOptions(BaseModel):
    """How strongly images are changed; 0 turns a transform off.

    Lengths are fractions of the field of view, intensities fractions of the image's own range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: list[int] = Field(default=[-1], description="axes that may be mirrored, -1 = the last (left-right)")
    rotate_degrees: float = Field(default=15.0, ge=0, le=180)
    scale: float = Field(default=0.15, ge=0, lt=1)
    shear: float = Field(default=0.05, ge=0, lt=1)
    translate: float = Field(default=0.05, ge=0, lt=1)
    gamma: float = Field(default=0.3, ge=0, le=2, description="largest |log gamma|")
    gain: float = Field(default=0.2, ge=0, lt=1)
    bias_field: float = Field(default=0.4, ge=0, le=2, description="largest |log gain| of a smooth field")
    noise: float = Field(default=0.05, ge=0, le=1, description="largest standard deviation")
    resolution: float = Field(default=2.0, ge=1, le=8, description="largest loss of resolution, all axes")
    thick_slices: float = Field(default=4.0, ge=1, le=16, description="largest loss of resolution along one axis")
    probability: float = Field(default=0.5, ge=0, le=1, description="of each transform but flip (0.5) and affine (1)")


def augment(images: Tensor, rng: Rng, options: AugmentOptions | None = None) -> Tensor:
    """All transforms in the order in which an image comes to be: anatomy, contrast, coil, resolution, noise."""
    o = options or AugmentOptions()
    p = o.probability
    images = flip(images, rng, o.flip)
    images = affine(images, rng, o.rotate_degrees, o.scale, o.shear, o.translate)
    images = gamma(images, rng, o.gamma, p)
    images = bias_field(images, rng, o.bias_field, p)
    images = resolution(images, rng, o.resolution, p / 2)
    images = thick_slices(images, rng, o.thick_slices, p / 2)
    images = gain(images, rng, o.gain, p)
    return noise(images, rng, o.noise, p)


def uniform(rng: Rng, low: float, high: float, shape: Sequence[int]) -> Tensor:
    """Uniform numbers in [low, high)."""
    return torch.rand(tuple(shape), generator=rng) * (high - low) + low


def flip(images: Tensor, rng: Rng, axes: Sequence[int] = (-1,), probability: float = 0.5) -> Tensor:
    """Mirror along each of `axes` independently."""
    for axis in axes:
        images = torch.where(_chosen(images, rng, probability), images.flip(axis), images)
    return images


def affine(
    images: Tensor,
    rng: Rng,
    degrees: float = 15.0,
    scale: float = 0.15,
    shear: float = 0.05,
    translate: float = 0.05,
) -> Tensor:
    """Rotate, scale, shear and shift; what comes in from outside is 0.

    In 3D the rotation is about each axis. Voxels are taken as isotropic: a non-square field of view is not distorted.
    """
    if degrees == scale == shear == translate == 0:
        return images
    n, size = len(images), images.shape[2:]
    d = len(size)
    matrix = torch.diag_embed(torch.exp(uniform(rng, -scale, scale, (n, d))))
    matrix = matrix + uniform(rng, -shear, shear, (n, d, d)) * (1 - torch.eye(d))
    for a in range(d):
        for b in range(a + 1, d):
            matrix = matrix @ _rotation(d, a, b, torch.deg2rad(uniform(rng, -degrees, degrees, (n,))))
    extent = torch.tensor(size[::-1], dtype=torch.float32)  # affine_grid counts x first, each axis from -1 to 1
    matrix = matrix * extent[None, None, :] / extent[None, :, None]
    shift = uniform(rng, -2 * translate, 2 * translate, (n, d, 1))
    theta = torch.cat([matrix, shift], 2).to(images)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def gamma(images: Tensor, rng: Rng, strength: float = 0.3, probability: float = 0.5) -> Tensor:
    """`x ** g` on each item's own range, `g = exp(±strength)`: another contrast between the same tissues."""
    if strength == 0:
        return images
    low, extent = _range(images)
    exponent = torch.exp(_per_item(images, uniform(rng, -strength, strength, (len(images),))))
    changed = ((images - low) / extent).clamp(min=0) ** exponent * extent + low
    return torch.where(_chosen(images, rng, probability), changed, images)


def gain(images: Tensor, rng: Rng, strength: float = 0.2, probability: float = 0.5) -> Tensor:
    """Scale all intensities by `1 ± strength`: a normalization that hit other percentiles."""
    factor = _per_item(images, uniform(rng, 1 - strength, 1 + strength, (len(images),)))
    return torch.where(_chosen(images, rng, probability), images * factor, images)


def bias_field(images: Tensor, rng: Rng, strength: float = 0.4, probability: float = 0.5, cells: int = 4) -> Tensor:
    """Multiply by a smooth positive field, the receiving coil's uneven sensitivity."""
    if strength == 0:
        return images
    size = images.shape[2:]
    coarse = uniform(rng, -1, 1, (len(images), 1, *[cells] * len(size)))
    field = functional.interpolate(coarse, size=size, mode=_linear(images), align_corners=True)
    amount = _per_item(field, uniform(rng, 0, strength, (len(images),)))
    return torch.where(_chosen(images, rng, probability), images * torch.exp(field * amount).to(images), images)


def noise(images: Tensor, rng: Rng, strength: float = 0.05, probability: float = 0.5) -> Tensor:
    """Add Gaussian noise of up to `strength` of each item's range, the same to all its channels."""
    if strength == 0:
        return images
    _, extent = _range(images)
    sigma = _per_item(images, uniform(rng, 0, strength, (len(images),))) * extent
    grain = torch.randn((len(images), 1, *images.shape[2:]), generator=rng).to(images)
    return torch.where(_chosen(images, rng, probability), images + sigma * grain, images)


def resolution(images: Tensor, rng: Rng, largest: float = 2.0, probability: float = 0.25) -> Tensor:
    """Lose up to `largest` times the resolution along all axes: a coarser scan, resampled."""
    return _coarsen(images, rng, largest, probability, one_axis=False)


def thick_slices(images: Tensor, rng: Rng, largest: float = 4.0, probability: float = 0.25) -> Tensor:
    """Lose up to `largest` times the resolution along one axis: a slice cut across a scan's thick slices."""
    return _coarsen(images, rng, largest, probability, one_axis=True)


def _coarsen(images: Tensor, rng: Rng, largest: float, probability: float, one_axis: bool) -> Tensor:
    chosen = _chosen(images, rng, probability if largest > 1 else 0).flatten()
    size = images.shape[2:]
    items = list(images.split(1))
    for item in torch.nonzero(chosen).flatten().tolist():
        factor = float(uniform(rng, 1, largest, (1,)))
        kept = int(torch.randint(len(size), (1,), generator=rng))
        coarse = [max(1, round(n / factor)) if not one_axis or axis == kept else n for axis, n in enumerate(size)]
        averaged = functional.interpolate(items[item], size=coarse, mode="area")
        items[item] = functional.interpolate(averaged, size=size, mode=_linear(images), align_corners=False)
    return torch.cat(items)


def _chosen(images: Tensor, rng: Rng, probability: float) -> Tensor:
    return _per_item(images, torch.rand(len(images), generator=rng) < probability)


def _per_item(images: Tensor, values: Tensor) -> Tensor:
    return values.to(images.device).reshape(-1, *[1] * (images.ndim - 1))


def _range(images: Tensor) -> tuple[Tensor, Tensor]:
    low, high = images.flatten(1).aminmax(dim=1)
    return _per_item(images, low), _per_item(images, (high - low).clamp(min=1e-6))


def _linear(images: Tensor) -> str:
    return "bilinear" if images.ndim == 4 else "trilinear"


def _rotation(d: int, a: int, b: int, angle: Tensor) -> Tensor:
    matrix = torch.eye(d).repeat(len(angle), 1, 1)
    matrix[:, a, a] = matrix[:, b, b] = torch.cos(angle)
    matrix[:, a, b], matrix[:, b, a] = -torch.sin(angle), torch.sin(angle)
    return matrix
