"""Crops of pairs around the place where they differ, from which stage one learns with `data.simulation.patch`.

A network that sees whole images and one label may report a lesion far from where it is (docs/RESEARCH.md).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from hrcam.scan.intensity import find_scale
from hrcam.scan.sampling import FOREGROUND_VALUE
from hrcam_train.data import Example
from torch.utils.data import Dataset

from hrcam_research.paired.config import PairedConfig
from hrcam_research.paired.pairs import (
    TRAINING,
    VALIDATION,
    Array,
    Heads,
    PairExamples,
    draw_pair,
    draws_stripped,
    pair_labels,
)
from hrcam_research.paired.slices import config_of_slices
from hrcam_research.simulate.case import simulate_case
from hrcam_research.simulate.head import ALL_OF_THE_HEAD, WITHIN_THE_BRAIN

_TRIES, _AIR, _LEAST_HEAD = 8, 0.2, 0.05
"""A slice from anywhere is drawn so often, until so much of it is brighter than that share of its brightest pixel."""

_WHOLE_PACE = 0.5
"""Of the learning rate on crops, where whole images follow these."""

_DIFFERENT = 0.5
_CLEAR_OF_TEN = 3


class CropExamples(Dataset[Example]):
    """Crops of fresh pairs. An example: `patches` times one around the lesion, and the same without it; then
    `elsewhere` crops of healthy head, and `anywhere` crops of other slices of heads."""

    def __init__(self, config: PairedConfig, heads: Heads, validate: bool = False) -> None:
        simulation = config.data.simulation
        assert simulation.patch is not None
        self.config, self.heads, self.validate = config, heads, validate
        self.epoch = 0
        count = simulation.validation_pairs if validate else simulation.pairs_per_epoch
        self.sizes = [tuple(min(simulation.patch, n) for n in config.input.size)] * count
        sick, healthy = pair_labels(config).tolist()
        self._labels = torch.tensor([sick, healthy] * simulation.patches + [healthy] * _healthy_crops(config))
        self.labels = self._labels.tolist() * count

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Example:
        stream = (VALIDATION, self.config.seed, 1) if self.validate else (TRAINING, self.config.seed, self.epoch)
        seed = (*stream, index)
        (image, counterpart), _, _ = draw_pair(self.config, self.heads, seed, clear=self._clear(index))
        rng, patches = np.random.default_rng((*seed, 1)), []
        for _ in range(self.config.data.simulation.patches):
            here = _around(np.abs(image - counterpart), self.sizes[0], rng)
            patches += [image[here], counterpart[here]]
        for _ in range(self.config.data.simulation.elsewhere):
            patches.append(counterpart[_within(counterpart, self.sizes[0], rng)])
        while len(patches) < len(self._labels):
            other = _healthy_slice(self.config, self.heads, (*seed, len(patches)))
            patches.append(other[_within(other, self.sizes[0], rng)])
        return torch.from_numpy(np.stack(patches)), self._labels.clone()

    def _clear(self, index: int) -> bool:
        """In the first epochs all lesions are clear ones, later three of ten; validation has those that come."""
        if self.validate or not self.config.data.simulation.clear_epochs:
            return False
        return self.epoch < self.config.data.simulation.clear_epochs or index % 10 < _CLEAR_OF_TEN

    def set_epoch(self, epoch: int) -> None:
        """Draw other pairs from now on."""
        self.epoch = epoch


@dataclass(frozen=True)
class CropStages:
    """What stage one learns from where it learns from crops: of the images themselves, or of slices of volumes.

    `stages` are (training, validation) in turn: crops, then whole images with `whole_epochs`. `whole` are the pairs
    that training cuts its crops from.
    """

    stages: list[tuple[CropExamples, CropExamples]]
    whole: PairExamples

    @property
    def config(self) -> PairedConfig:
        """Settings of all but what is special to a stage, whose examples hold its own."""
        return self.whole.config


def crop_stages(config: PairedConfig, training: Heads, validation: Heads) -> CropStages:
    """Crops of pairs in heads for training, and in others for validation."""
    config = config_of_slices(config)
    settings = [config, *([_on_whole_images(config)] if config.data.simulation.whole_epochs else [])]
    stages = [(CropExamples(one, training), CropExamples(one, validation, validate=True)) for one in settings]
    return CropStages(stages, PairExamples(config, training))


def _on_whole_images(config: PairedConfig) -> PairedConfig:
    """The same training with crops as large as the image."""
    whole = {"patch": max(config.input.size), "patches": 1, "elsewhere": 0, "anywhere": 1, "clear_epochs": 0}
    simulation = config.data.simulation.model_copy(update=whole)
    pace = {"epochs": simulation.whole_epochs, "learning_rate": _WHOLE_PACE * config.train.learning_rate}
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"simulation": simulation}),
            "train": config.train.model_copy(update=pace),
        }
    )


def _healthy_crops(config: PairedConfig) -> int:
    simulation = config.data.simulation
    slices = config.dimension == 2 and simulation.kind == "lesion"
    return simulation.elsewhere + (simulation.anywhere if slices else 0)


def _healthy_slice(config: PairedConfig, heads: Heads, seed: tuple[int, ...]) -> Array:
    """A slice without lesion through any part of a head, normalized by itself."""
    simulation, rng = config.data.simulation, np.random.default_rng(seed)
    head = heads[int(rng.integers(len(heads)))]()
    stripped = draws_stripped(config, rng)
    for attempt in range(_TRIES):
        case = simulate_case(
            head, (*seed, attempt), dims=2, size=config.input.size[0], spacing_mm=config.input.spacings[0],
            plane=str(rng.choice(config.input.planes)), style=str(rng.choice(simulation.styles)), lesion=False,
            stripped=stripped, reach=WITHIN_THE_BRAIN if stripped else ALL_OF_THE_HEAD,
        )  # fmt: skip
        if np.count_nonzero(case.image > _AIR * case.image.max()) > _LEAST_HEAD * case.image.size:
            break
    return find_scale(case.image, config.input.intensity.model_dump()).apply(case.image)


def _around(difference: Array, sides: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, ...]:
    """A crop that holds a voxel in which a pair differs, anywhere but at its very edge."""
    lesion = np.argwhere(difference > _DIFFERENT * difference.max())
    center = lesion[rng.integers(len(lesion))] if len(lesion) else np.array(difference.shape) // 2
    return _crop(center + rng.uniform(-0.4, 0.4, difference.ndim) * sides, difference.shape, sides)


def _within(image: Array, sides: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, ...]:
    """A crop around any voxel of the head."""
    head = np.flatnonzero(image > FOREGROUND_VALUE)
    chosen = head[rng.integers(len(head))] if len(head) else image.size // 2
    return _crop(np.array(np.unravel_index(chosen, image.shape)), image.shape, sides)


def _crop(center: npt.NDArray[Any], size: tuple[int, ...], sides: tuple[int, ...]) -> tuple[slice, ...]:
    starts = [int(np.clip(c - side / 2, 0, n - side)) for c, n, side in zip(center, size, sides, strict=True)]
    return tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))
