"""Fusion: one map at the image's resolution from one evidence map per level."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ModelError
from .appearance import weigh_by_appearance

GUIDE_RADIUS = 1
"""Pixels of the finest level: how far a window of `fuse_guided` reaches. What that level resolves it knows better."""

GUIDE_SMOOTHNESS = 0.1
"""Of the image's variance: fainter edges than this are no edges to `fuse_guided`."""

_PIXEL = 1
"""Windows of so many pixels to each side take the noise of single ones out of the guide, which is no edge."""

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def upsample(level_map: Tensor, size: Sequence[int]) -> Tensor:
    """Resize B×C×*native maps to B×C×*size, linearly and with half-pixel centers (``align_corners=False``).

    Half-pixel centers keep the mean where `size` is a multiple of the native size, which is what makes the fused map
    complete (see `fuse`). Where `size` is smaller along every axis, areas are averaged for the same reason.
    """
    native = tuple(level_map.shape[2:])
    target = tuple(int(n) for n in size)
    if native == target:
        return level_map
    if all(t <= n for t, n in zip(target, native, strict=True)):
        return F.interpolate(level_map, size=target, mode="area")
    return F.interpolate(level_map, size=target, mode=_MODES[len(target)], align_corners=False)


def fuse_sum(level_maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
    """Add the up-sampled levels: the published HR-CAM (Shinde et al. 2019), ``M_c = Σ_l U_l(Σ_k w_{c,l,k} f_{l,k})``.

    Complete: ``mean(M_c) + b_c = z_c`` exactly where each level's size divides `size`.
    """
    total = upsample(level_maps[0], size)
    for level_map in level_maps[1:]:
        total = total + upsample(level_map, size)
    return total


def fuse_guided(level_maps: Sequence[Tensor], size: Sequence[int], images: Tensor) -> Tensor:
    """Let the evidence end where the image has its edges: the sum of the levels through a guided filter.

    In every window of `GUIDE_RADIUS` pixels of the finest level to each side, the map is the linear function of the
    image that is closest to the sum (He, Sun, Tang: Guided image filtering, TPAMI 2013). The functions are found at
    that level's resolution (He and Sun: Fast guided filter, arXiv:1505.00996) and applied at the image's own, so that
    this costs next to nothing. It is linear in the evidence, whose unit stays the logit, and it asks no gradient.

    Complete at any size: what the filter takes from a map's mean is given back evenly, hence ``mean(M_c) + b_c = z_c``.
    """
    total = fuse_sum(level_maps, level_maps[0].shape[2:])
    gray = _gray(images).to(total)
    brightness = _whole_mean(gray)
    # Rounding errors are no contrast: the evidence of an image without any is bounded by nothing.
    floor = (torch.finfo(total.dtype).eps * brightness**2).clamp(min=torch.finfo(total.dtype).tiny)
    gray = gray - brightness
    guide = upsample(gray, total.shape[2:])
    mean_guide, mean_total = _box(guide, GUIDE_RADIUS), _box(total, GUIDE_RADIUS)
    variance = _box(guide * guide, GUIDE_RADIUS) - mean_guide**2
    covariance = _box(guide * total, GUIDE_RADIUS) - mean_guide * mean_total
    slope = covariance / (variance + GUIDE_SMOOTHNESS * _whole_mean(guide**2) + floor)
    offset = mean_total - slope * mean_guide
    slope, offset = (upsample(_box(each, GUIDE_RADIUS), size) for each in (slope, offset))
    refined = torch.addcmul(offset, slope, upsample(_box(gray, _PIXEL), size))
    wanted = torch.stack([_whole_mean(level) for level in level_maps]).sum(0)
    return refined + (wanted - _whole_mean(refined))


def fuse_appearance(level_maps: Sequence[Tensor], size: Sequence[int], images: Tensor) -> Tensor:
    """`fuse_guided`, then weighed by what the image looks like in and around the evidence: `weigh_by_appearance`.

    Levels are coarser than the borders of lesions, and the guided filter follows edges within a few pixels alone: what
    is as bright as the surroundings still holds evidence. The surroundings are a pixel of the finest level wide.
    Complete at any size, like `fuse_guided`; not linear in the evidence.
    """
    maps = fuse_guided(level_maps, size, images)
    gray = upsample(_box(_gray(images).to(maps), _PIXEL), size)
    reach = max(1, *(round(n / native) for n, native in zip(size, level_maps[0].shape[2:], strict=True)))
    return weigh_by_appearance(maps, gray, reach)


def _gray(images: Tensor) -> Tensor:
    """The mean of the images' channels, B×1×*size."""
    return images if images.shape[1] == 1 else images.mean(1, keepdim=True)


def _whole_mean(x: Tensor) -> Tensor:
    """Mean over all spatial axes, which stay with length 1."""
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


def _box(x: Tensor, radius: int) -> Tensor:
    """Mean over windows of 2 · radius + 1 along each spatial axis; at the border over what lies inside.

    For windows as small as these, adding shifted copies is several times faster than PyTorch's pooling.
    """
    for axis in range(2, x.ndim):
        n = x.shape[axis]
        places = torch.arange(n, device=x.device)
        inside = 1 + places.clamp(max=radius) + places.flip(0).clamp(max=radius)
        total = x.clone()
        for shift in range(1, min(radius, n - 1) + 1):
            total.narrow(axis, shift, n - shift).add_(x.narrow(axis, 0, n - shift))
            total.narrow(axis, 0, n - shift).add_(x.narrow(axis, shift, n - shift))
        x = total / inside.to(x.dtype).view([-1 if a == axis else 1 for a in range(x.ndim)])
    return x


FUSIONS = ("sum", "guided", "appearance")
"""The published form, the one bounded by the image's edges, and the one that also asks what the image looks like."""


def check_fusion(name: str) -> str:
    """Return `name` where such a fusion exists, raise `ModelError` otherwise."""
    if name not in FUSIONS:
        raise ModelError(f"There is no fusion {name!r}.", f"Choose one of: {', '.join(FUSIONS)}.")
    return name


def fuse(
    level_maps: Sequence[Tensor], size: Sequence[int], fusion: str = "sum", images: Tensor | None = None
) -> Tensor:
    """Fuse evidence maps of several levels into one map of the given size.

    Parameters
    ----------
    level_maps : B×C×*native each, fine → coarse, in logit units.
    size : the target's spatial size, same axis order as the maps.
    fusion : one of `FUSIONS`.
    images : what the network saw, B×channels×*any size; not needed by "sum".

    Returns
    -------
    B×C×*size, logit units, same dtype and device.

    Raises
    ------
    ModelError : unknown fusion, no level, a size of the wrong length, or no images where they are needed.
    """
    check_fusion(fusion)
    if not level_maps:
        raise ModelError("There is no level to fuse.", "Give one evidence map per level.")
    if len(size) != level_maps[0].ndim - 2 or min(size) < 1:
        raise ModelError(
            f"Size {tuple(size)} does not fit maps of shape {tuple(level_maps[0].shape)}.",
            f"Give {level_maps[0].ndim - 2} positive numbers.",
        )
    if fusion == "sum":
        return fuse_sum(level_maps, size)
    if images is None or images.ndim != level_maps[0].ndim or len(images) != len(level_maps[0]):
        raise ModelError(f"The fusion {fusion!r} needs the images that the maps were made of.", "Give them as images.")
    return {"guided": fuse_guided, "appearance": fuse_appearance}[fusion](level_maps, size, images)
