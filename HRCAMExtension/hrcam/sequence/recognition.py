"""A scan's sequence by its image."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from ..scan.volume import Volume
from .slices import equalized, slices_of

if TYPE_CHECKING:
    from .network import SequenceNetwork

WEIGHTS = "weights.safetensors"

_LEAST = -4.0
"""No slice says less of a sequence, so that one slice alone rules nothing out."""


@dataclass(frozen=True)
class Recognition:
    """What the slices say together.

    Parameters
    ----------
    evidence : of each of `hrcam.sequence.network.SEQUENCES`, the mean over slices of its log probability.
    """

    evidence: Mapping[str, float]

    @property
    def likeliest(self) -> str:
        """The sequence with most evidence."""
        return max(self.evidence, key=lambda name: self.evidence[name])

    def against(self, accepted: Collection[str]) -> float:
        """How far the evidence of all other sequences exceeds that of the accepted ones, as a log ratio."""
        sums = [np.logaddexp.reduce([one for name, one in self.evidence.items() if (name in accepted) == among])
                for among in (True, False)]
        return float(sums[1] - sums[0])


def recognize(volume: Volume) -> Recognition:
    """Recognize the sequence of a scan of a head; other organs are taken for some sequence all the same.

    Raises
    ------
    InputError : nothing but background, or an absurd spacing.
    """
    import torch

    from .network import SEQUENCES

    images = torch.from_numpy(np.stack([equalized(one) for one in slices_of(volume)]))[:, None]
    with torch.inference_mode():
        said = _network()(images).log_softmax(dim=1).clamp(min=_LEAST).mean(dim=0)
    return Recognition(dict(zip(SEQUENCES, said.tolist(), strict=True)))


@lru_cache(maxsize=1)
def _network() -> SequenceNetwork:
    from safetensors.torch import load

    from .network import SequenceNetwork

    network = SequenceNetwork()
    network.load_state_dict(load(resources.files(__package__).joinpath(WEIGHTS).read_bytes()))
    return network.float().eval().requires_grad_(False)
