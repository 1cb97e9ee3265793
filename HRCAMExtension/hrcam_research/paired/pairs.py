"""Pairs generated on the fly: the same image with a lesion, and without, which nothing else tells apart."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from hrcam.errors import InputError
from hrcam.scan.intensity import find_scale
from hrcam.scan.statistics import intensity_statistics
from hrcam_train.data import Example
from hrcam_train.prepare_cases import PreparedCase
from torch.utils.data import Dataset

from hrcam_research.paired.config import PairedConfig
from hrcam_research.simulate.case import simulate_case
from hrcam_research.simulate.head import Head, find_heads, phantom_head, read_head
from hrcam_research.simulate.lesion import LesionSpec, random_lesion
from hrcam_research.simulate.neuromelanin import clear_loss, simulate_midbrain

Array = npt.NDArray[np.float32]
Heads = list[Callable[[], Head]]

TRAINING, VALIDATION, _PHANTOM = 0, 1, 2
"""First number of a seed, so that no two streams meet."""

_WARM_HEADS = 32
_CLEAR_MM, _CLEAR_CONTRAST = 8.0, (0.5, 1.2)
_CLEAR_KINDS = ("smooth", "lobulated", "spiculated", "ring")


class PairExamples(Dataset[Example]):
    """`pairs_per_epoch` fresh pairs an epoch, whole; the same seed, epoch and index give the same pair."""

    def __init__(self, config: PairedConfig, heads: Heads) -> None:
        self.config, self.heads = config, heads
        self.epoch = 0
        count = config.data.simulation.pairs_per_epoch
        self.sizes = [tuple(config.input.size)] * count
        self._pair = pair_labels(config)
        self.labels = self._pair.tolist() * count

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Example:
        seed = (TRAINING, self.config.seed, self.epoch, index)
        pair, _, _ = draw_pair(self.config, self.heads, seed)
        return torch.from_numpy(pair), self._pair.clone()

    def set_epoch(self, epoch: int) -> None:
        """Draw other pairs from now on."""
        self.epoch = epoch


def pair_labels(config: PairedConfig) -> torch.Tensor:
    """Class indices of (with lesion, without)."""
    return torch.tensor([config.sick, 1 - config.sick])


def split_heads(config: PairedConfig) -> tuple[Heads, Heads]:
    """(training, validation) heads: no head is in both. Midbrains need none, their anatomy is drawn anew each time.

    Raises
    ------
    InputError : fewer than two heads.
    """
    simulation = config.data.simulation
    if simulation.kind == "nigral_loss":
        return [], []
    if config.data.path:
        paths = find_heads(Path(config.data.path))
        heads: Heads = [lambda path=path: _read(path) for path in paths]  # type: ignore[misc]
    else:
        heads = [lambda n=n: _phantom(config.seed, n) for n in range(simulation.phantoms)]  # type: ignore[misc]
    if len(heads) < 2:
        raise InputError(f"{config.data.path} has one head.", "Give at least two, so that one validates.")
    order = np.random.default_rng(config.seed).permutation(len(heads))
    held_out = max(1, round(config.data.validation_fraction * len(heads)))
    return [heads[n] for n in order[held_out:]], [heads[n] for n in order[:held_out]]


def validation_pairs(config: PairedConfig, heads: Heads) -> list[PreparedCase]:
    """The fixed pairs that validate, two cases each; the patient is the head."""
    cases = []
    labels = pair_labels(config).tolist()
    for index in range(config.data.simulation.validation_pairs):
        pair, _, head = draw_pair(config, heads, (VALIDATION, config.seed, 0, index))
        for image, label in zip(pair, labels, strict=True):
            statistics = intensity_statistics(image)
            name = f"{head}-{index}-{config.class_names[label]}"
            half = image[None].astype(np.float16)
            cases.append(PreparedCase(name, head, label, half, np.array([label]), statistics=statistics))
    return cases


def draw_pair(
    config: PairedConfig, heads: Heads, seed: tuple[int, ...], clear: bool = False
) -> tuple[Array, npt.NDArray[np.bool_], str]:
    """2×*size (with lesion, without), normalized by one scale; where the lesion is; and the head's name.

    One scale for both: with its own, a bright lesion would darken all else, and the pair would differ everywhere.
    `clear`: a large lesion of strong contrast, or advanced loss.
    """
    simulation, size = config.data.simulation, config.input.size
    if simulation.kind == "nigral_loss":
        loss = clear_loss(np.random.default_rng(seed)) if clear else None
        midbrain = simulate_midbrain(
            seed, parkinson=True, loss=loss, size=size, spacing_mm=config.input.spacings, paired=True
        )
        image, counterpart, mask, name = midbrain.image, midbrain.counterpart, midbrain.mask, "-".join(map(str, seed))
    else:
        rng = np.random.default_rng(seed)
        head = heads[int(rng.integers(len(heads)))]()
        plane = str(rng.choice(config.input.planes)) if config.dimension == 2 else None
        style = str(rng.choice(simulation.styles))
        stripped = draws_stripped(config, rng)
        case = simulate_case(
            head, seed, dims=config.dimension, size=size[0], spacing_mm=config.input.spacings[0], plane=plane,
            style=style, spec=_lesion(config, rng, clear), paired=True, stripped=stripped,
            least_change=simulation.least_change,
        )  # fmt: skip
        image, counterpart, mask, name = case.image, case.counterpart, case.mask, head.name
    assert counterpart is not None
    scale = find_scale(image, config.input.intensity.model_dump())
    return np.stack([scale.apply(image), scale.apply(counterpart)]), mask, name


def _lesion(config: PairedConfig, rng: np.random.Generator, clear: bool) -> LesionSpec:
    simulation = config.data.simulation
    if not clear:
        return random_lesion(rng, diameter_mm=simulation.diameter_mm, contrast=simulation.contrast)
    smallest, largest = simulation.diameter_mm
    sizes = (min(max(smallest, _CLEAR_MM), largest), largest)
    return random_lesion(rng, diameter_mm=sizes, kinds=_CLEAR_KINDS, contrast=_CLEAR_CONTRAST)


@lru_cache(_WARM_HEADS)
def _read(path: Path) -> Head:
    return read_head(path)


@lru_cache(_WARM_HEADS)
def _phantom(seed: int, number: int) -> Head:
    return phantom_head(np.random.default_rng((_PHANTOM, seed, number)), name=f"phantom-{number}")


def draws_stripped(config: PairedConfig, rng: np.random.Generator) -> bool:
    """Whether the next head comes without skull and skin."""
    share = config.data.simulation.stripped
    return bool(share) and rng.random() < share
