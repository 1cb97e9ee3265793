"""Fusion: one map at the image's resolution from one evidence map per level."""

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn import functional as F

from .errors import ModelError

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


def fuse_gated(level_maps: Sequence[Tensor], size: Sequence[int], half: float = 1.0) -> Tensor:
    """Let finer evidence pass only where coarser evidence speaks for the class.

    From coarse to fine, ``M ← M + g(M) · U_l(E_l)`` with the soft gate ``g(M) = relu(M) / (relu(M) + half)`` in [0, 1).
    `half` is the evidence, in logit units, at which half of the finer evidence passes; nothing is normalised by the
    image itself, so maps stay comparable between scans.

    Not complete: ``mean(M_c) + b_c`` differs from ``z_c`` by what the gates held back,
    ``Σ_l mean((1 − g) · U_l(E_l))``. Every result reports that difference.
    """
    total = upsample(level_maps[-1], size)
    for level_map in reversed(level_maps[:-1]):
        positive = total.relu()
        total = total + positive / (positive + half) * upsample(level_map, size)
    return total


Fusion = Callable[[Sequence[Tensor], Sequence[int]], Tensor]

FUSIONS: dict[str, Fusion] = {"sum": fuse_sum, "gated": fuse_gated}
"""Name → function of (level maps B×C×*native, fine → coarse; target size) → B×C×*size."""


def check_fusion(name: str) -> str:
    """Return `name` where such a fusion exists, raise `ModelError` otherwise."""
    if name not in FUSIONS:
        raise ModelError(f"There is no fusion {name!r}.", f"Choose one of: {', '.join(FUSIONS)}.")
    return name


def fuse(level_maps: Sequence[Tensor], size: Sequence[int], fusion: str = "sum") -> Tensor:
    """Fuse evidence maps of several levels into one map of the given size.

    Parameters
    ----------
    level_maps : B×C×*native each, fine → coarse, in logit units.
    size : the target's spatial size, same axis order as the maps.
    fusion : a key of `FUSIONS`.

    Returns
    -------
    B×C×*size, logit units, same dtype and device.

    Raises
    ------
    ModelError : unknown fusion, no level, or a size of the wrong length.
    """
    check_fusion(fusion)
    if not level_maps:
        raise ModelError("There is no level to fuse.", "Give one evidence map per level.")
    if len(size) != level_maps[0].ndim - 2 or min(size) < 1:
        raise ModelError(
            f"Size {tuple(size)} does not fit maps of shape {tuple(level_maps[0].shape)}.",
            f"Give {level_maps[0].ndim - 2} positive numbers.",
        )
    return FUSIONS[fusion](level_maps, size)
