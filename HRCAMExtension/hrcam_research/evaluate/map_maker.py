"""The chosen methods of one network, and their maps of a batch of images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
from hrcam.errors import InputError

from hrcam_research.evaluate.baselines import Baselines
from hrcam_research.evaluate.case import Pixels
from hrcam_research.evaluate.hooked_network import SharedPass
from hrcam_research.evaluate.hrcam_maps import HRCAMMaps
from hrcam_research.evaluate.rivals import Family, Maps, rival_families

if TYPE_CHECKING:
    from hrcam.cam.model import HRCAM


class MapMaker:
    """The chosen methods of one network.

    Parameters
    ----------
    methods : names, or groups ("layercam" stands for every "layercam/…"); None for all.

    Raises
    ------
    InputError : a name that no method has.
    """

    def __init__(self, model: HRCAM, methods: Sequence[str] | None = None) -> None:
        self.model = model
        own = HRCAMMaps(model)
        self.default, self.coarsest = own.default, own.methods[-1].name
        self._shared = SharedPass(model)
        self._families: list[Family] = [own, *rival_families(model, self._shared), Baselines()]
        everything = tuple(method for family in self._families for method in family.methods)
        names = {method.name for method in everything} | {method.group for method in everything}
        for name in methods or ():
            if name not in names:
                choice = ", ".join(method.name for method in everything)
                raise InputError(f"There is no method named {name!r}.", f"Choose from: {choice}.")
        self.methods = tuple(m for m in everything if methods is None or m.name in methods or m.group in methods)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.model.parameters()).device

    def names(self, slow: bool) -> list[str]:
        """Names of the chosen methods that are slow, or that are not."""
        return [method.name for method in self.methods if method.slow is slow]

    def stack(self, batch: Iterable[tuple[int, Pixels]]) -> torch.Tensor:
        """Images of a batch as B×C×*size on the network's device."""
        return torch.from_numpy(np.stack([pixels.image for _, pixels in batch])).to(self.device)

    def make(self, x: torch.Tensor, classes: torch.Tensor, names: Iterable[str]) -> Maps:
        """B×*size float32 on the CPU for each named method, finite; classes is one index a case.

        Several families share one pass through the network where they can; one alone goes its own way, as its users'.
        """
        names = set(names)
        wanted = {family: names & {method.name for method in family.methods} for family in self._families}
        chosen = [family for family, here in wanted.items() if here]
        # Frozen parameters build no graph: a gradient on the input lets rivals differentiate all the same.
        images = x.detach().clone().requires_grad_(True)
        made: Maps = {}
        with self._shared.of(images) if len(chosen) > 1 else nullcontext(), torch.enable_grad():
            for family in chosen:
                found = family.maps(images, classes, wanted[family])
                made.update({name: _finite(maps.detach().float().cpu()) for name, maps in found.items()})
        return made


def _finite(maps: torch.Tensor) -> torch.Tensor:
    """Maps that hold a number which is none become 0 everywhere, so that they say nothing.

    MONAI's Grad-CAM++ takes the exponential of the logit, which overflows float32 above 88.
    """
    bad = ~maps.isfinite().flatten(1).all(1)
    return maps.masked_fill(bad.view(-1, *[1] * (maps.ndim - 1)), 0.0)
