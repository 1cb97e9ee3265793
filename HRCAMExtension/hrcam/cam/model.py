"""HR-CAM around any CNN: multi-level pooled features, one dense head, class evidence at the image's resolution.

Shinde, Chougule, Saini, Ingalhalikar: HR-CAM: Precise Localization of Pathology Using Multi-level Learning in CNNs,
MICCAI 2019, arXiv:1909.12919.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelError
from .feature_maps import run_hooked
from .fusion import check_fusion, fuse
from .levels.example_run import unwrap
from .levels.find import Level, find_levels, resolve_levels
from .levels.place import Placement, find_places, lay


@dataclass(frozen=True)
class Evidence:
    """Class evidence of a batch, in logit units, float32 (float64 for a float64 network).

    Attributes
    ----------
    logits : B×K, all classes.
    maps : B×C'×*size, fused; C' is K, or 1 where one class a case was asked for.
    levels : per level B×C'×*native size, fine → coarse; empty unless ``per_level=True``.
    """

    logits: Tensor
    maps: Tensor
    levels: list[Tensor] = field(default_factory=list)


class HRCAM(nn.Module):
    """A CNN seen at the last feature map of each resolution, with one linear head on all of them.

    With ``f_l`` the feature maps and ``g`` their concatenated global averages, ``z_c = w_c·g + b_c`` and
    ``M_c = Σ_l U_l(Σ_k w_{c,l,k} f_{l,k})``. Channels are summed first, at each level's own resolution; sum and
    up-sampling commute, so this is exact and costs a few percent of the forward pass.

    Parameters
    ----------
    cnn : any classifier on B×C×H×W or B×C×D×H×W. Its own classification layers are not used.
    num_classes : K.
    levels : "auto" (see `levels.find_levels`), or module names or modules.
    example : an input the CNN accepts; needed only where none can be guessed.
    fusion : one of `fusion.FUSIONS`; "sum" is the published form.

    Raises
    ------
    ModelError : the network cannot be wrapped; the message names the candidates.

    Notes
    -----
    Hooks live only during a call and answer only to the calling thread: an instance can be copied, pickled and used
    from several threads. Under training, call ``hrcam.cnn.eval()`` to keep a frozen CNN's batch norms still (stage
    two).

    Examples
    --------
    >>> from torch import nn
    >>> cnn = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1),
    ...                     nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))
    >>> hrcam = HRCAM(cnn, num_classes=2).eval()
    >>> [level.name for level in hrcam.levels]
    ['1', '4']
    >>> hrcam.evidence(torch.zeros(1, 1, 32, 48), classes=1).maps.shape
    torch.Size([1, 1, 32, 48])
    """

    def __init__(
        self,
        cnn: nn.Module,
        num_classes: int,
        levels: Literal["auto"] | Sequence[str | nn.Module] = "auto",
        example: Tensor | None = None,
        fusion: str = "sum",
    ) -> None:
        super().__init__()
        classes = _count(num_classes)
        self.cnn = unwrap(cnn)
        self.fusion = check_fusion(fusion)
        self.levels: tuple[Level, ...] = (
            find_levels(self.cnn, example) if levels == "auto" else resolve_levels(self.cnn, levels, example)
        )
        parameter = next(self.cnn.parameters(), torch.empty(0))
        self.head = nn.Linear(
            sum(level.channels for level in self.levels), classes, device=parameter.device, dtype=parameter.dtype
        )
        self._placements: dict[tuple[int, ...], list[Placement]] = {}

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""
        return self.head.out_features

    @property
    def num_dims(self) -> int:
        """2 for images, 3 for volumes."""
        return len(self.levels[0].size)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, B×K, of images B×C×*size. One forward pass; gradients flow where enabled."""
        return self._classify(self.pooled(x))

    def pooled(self, x: Tensor) -> Tensor:
        """Return g, the levels' global average pools side by side, B×ΣC in the order of `levels`."""
        self._check_input(x)
        return torch.cat(run_hooked(self.cnn, self._names(), x, lambda _, f: _average(f)), dim=1)

    def native_maps(self, x: Tensor, classes: int | Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Return logits (B×K) and the evidence of each level at its own resolution (B×C'×*native, fine → coarse).

        ``logits[:, c] = Σ_l mean(map_l[:, c]) + b_c`` exactly. Gradients flow where enabled. The maps cover the image
        evenly: where a level's feature map does not, its evidence is laid on the image (see `levels.place.lay`).

        Raises
        ------
        ModelError : at this size of `x` the evidence of a level cannot be placed on the image.
        """
        self._check_input(x)
        placements = self.placements(x)
        chosen = self._choose(classes, len(x))
        weights = self.head.weight.split([level.channels for level in self.levels], dim=1)

        def reduce(index: int, features: Tensor) -> tuple[Tensor, Tensor]:
            weight = weights[index].to(features.dtype)
            return _average(features), _weigh(features, weight if chosen is None else weight[chosen].unsqueeze(1))

        reduced = run_hooked(self.cnn, self._names(), x, reduce)
        laid = [lay(level, place) for (_, level), place in zip(reduced, placements, strict=True)]
        return self._classify(torch.cat([pooled for pooled, _ in reduced], dim=1)), laid

    def placements(self, x: Tensor) -> list[Placement]:
        """How the levels lie on images of the size of `x`, B×C×*size: found at its first use, and kept.

        Raises
        ------
        ModelError : the network places a level's map in a way that cannot be made good.
        """
        size = tuple(int(n) for n in x.shape[2:])
        if size not in self._placements:
            strides = [level.stride for level in self.levels]
            found = find_places(self.cnn, self._names(), x.to(self.head.weight), strides)
            for level, place in zip(self.levels, found, strict=True):
                if place.fault:
                    raise ModelError(
                        f"In an input of {'×'.join(map(str, size))}, {level.name!r} shows the image {place.fault}, so "
                        "its evidence cannot be placed on it.",
                        "Give an input of the size that the network was made for.",
                    )
            self._placements[size] = found
        return self._placements[size]

    def evidence(
        self,
        x: Tensor,
        classes: int | Tensor | None = None,
        size: Sequence[int] | None = None,
        per_level: bool = False,
    ) -> Evidence:
        """Return logits and class maps in one forward pass, without gradients.

        Parameters
        ----------
        x : B×C×*size.
        classes : None for all K, a class's index for all cases, or a LongTensor of B indices, one a case.
        size : spatial size of the maps; None for that of `x`.
        per_level : also return each level's map at its native size.

        Raises
        ------
        ModelError : `x`, `classes` or `size` do not fit the network.
        """
        with torch.inference_mode():
            logits, level_maps = self.native_maps(x, classes)
            maps = fuse(level_maps, x.shape[2:] if size is None else size, self.fusion, x)
        return Evidence(logits, maps, level_maps if per_level else [])

    def _names(self) -> list[str]:
        return [level.name for level in self.levels]

    def _classify(self, pooled: Tensor) -> Tensor:
        # In at least float32 and outside autocast: logits are sums of thousands of terms, and cost nothing.
        with torch.autocast(pooled.device.type, enabled=False):
            return F.linear(pooled, self.head.weight.to(pooled.dtype), self.head.bias.to(pooled.dtype))

    def _check_input(self, x: Tensor) -> None:
        if x.ndim != self.num_dims + 2:
            axes = "B×C×H×W" if self.num_dims == 2 else "B×C×D×H×W"
            raise ModelError(f"The input has shape {tuple(x.shape)}.", f"This network takes {axes}.")

    def _choose(self, classes: int | Tensor | None, batch: int) -> Tensor | None:
        """Return None (all classes) or a LongTensor of one class a case, checked."""
        if classes is None:
            return None
        chosen = torch.as_tensor(classes, device=self.head.weight.device)
        if chosen.dtype == torch.bool or chosen.is_floating_point() or chosen.is_complex() or chosen.ndim > 1:
            raise ModelError(f"classes is {classes!r}.", "Give None, an index, or a LongTensor with one index a case.")
        if chosen.ndim == 1 and len(chosen) != batch:
            raise ModelError(f"classes has {len(chosen)} entries for a batch of {batch}.", "Give one index a case.")
        if chosen.numel() and not (int(chosen.min()) >= 0 and int(chosen.max()) < self.num_classes):
            raise ModelError(f"classes is {classes!r}.", f"Indices run from 0 to {self.num_classes - 1}.")
        return chosen.long().expand(batch)


def _count(num_classes: Any) -> int:
    """Return the number of classes, an integer of any kind; raise `ModelError` for anything else."""
    if not isinstance(num_classes, bool) and hasattr(num_classes, "__index__") and index(num_classes) > 0:
        return index(num_classes)
    raise ModelError(f"num_classes is {num_classes!r}.", "Give the number of classes, a positive integer.")


def _average(features: Tensor) -> Tensor:
    """B×C×*size → B×C, accumulated in at least float32."""
    axes = tuple(range(2, features.ndim))  # not flattened, which copies maps whose channels are last
    return features.mean(axes, dtype=torch.promote_types(features.dtype, torch.float32))


def _weigh(features: Tensor, weight: Tensor) -> Tensor:
    """Sum channels: B×C×*size with weights K×C, or B×1×C for one class a case → B×K×*size or B×1×*size."""
    with torch.autocast(features.device.type, enabled=False):
        if weight.ndim == 2 and features.stride(1) == 1:  # channels are last: flattened, they would be copied
            summed = torch.matmul(features.movedim(1, -1), weight.T).movedim(-1, 1)
        else:
            summed = torch.matmul(weight, features.flatten(2)).unflatten(2, features.shape[2:])
    return summed.to(torch.promote_types(features.dtype, torch.float32))
