"""Pairs generated on the fly: an image with a lesion, and without. Nothing but the lesion can tell them apart.

With `data.simulation.patch`, stage one sees crops around the place where a pair differs (`twin_lesson`): a network that
sees whole images and one label may report a lesion far from where it is (docs/RESEARCH.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from hrcam.errors import InputError
from hrcam.scan.intensity import find_scale
from hrcam.scan.sampling import FOREGROUND_VALUE
from hrcam.scan.statistics import intensity_statistics
from hrcam_research.simulate.case import simulate_case
from hrcam_research.simulate.head import ALL_OF_THE_HEAD, WITHIN_THE_BRAIN, Head, find_heads, phantom_head, read_head
from hrcam_research.simulate.lesion import LesionSpec, random_lesion
from hrcam_research.simulate.neuromelanin import clear_loss, simulate_midbrain
from torch.utils.data import Dataset

from hrcam_train.config import TrainConfig
from hrcam_train.data import Example
from hrcam_train.planes import config_of_slices
from hrcam_train.prepare_cases import PreparedCase

Array = npt.NDArray[np.float32]
Heads = list[Callable[[], Head]]

_TRAIN, _VALIDATION, _PHANTOM = 0, 1, 2
"""First number of a seed, so that no two streams meet."""

_WARM_HEADS = 32
_TRIES, _AIR, _LEAST_HEAD = 8, 0.2, 0.05
"""A slice from anywhere is drawn so often, until so much of it is brighter than that share of its brightest pixel."""

_WHOLE_PACE = 0.5
"""Of the learning rate on crops, where whole images follow these."""

_DIFFERENT = 0.5
_CLEAR_OF_TEN = 3
_CLEAR_MM, _CLEAR_CONTRAST = 8.0, (0.5, 1.2)
_CLEAR_KINDS = ("smooth", "lobulated", "spiculated", "ring")


class PairExamples(Dataset[Example]):
    """`pairs_per_epoch` fresh pairs an epoch, whole; the same seed, epoch and index give the same pair."""

    def __init__(self, config: TrainConfig, heads: Heads) -> None:
        self.config, self.heads = config, heads
        self.epoch = 0
        count = config.data.simulation.pairs_per_epoch
        self.sizes = [tuple(config.input.size)] * count
        self._pair = pair_labels(config)
        self.labels = self._pair.tolist() * count

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Example:
        seed = (_TRAIN, self.config.seed, self.epoch, index)
        pair, _, _ = draw_pair(self.config, self.heads, seed)
        return torch.from_numpy(pair), self._pair.clone()

    def set_epoch(self, epoch: int) -> None:
        """Draw other pairs from now on."""
        self.epoch = epoch


class PatchExamples(Dataset[Example]):
    """Crops of fresh pairs. An example: `patches` times one around the lesion, and the same without it; then
    `elsewhere` crops of healthy head, and `anywhere` crops of other slices of heads."""

    def __init__(self, config: TrainConfig, heads: Heads, validate: bool = False) -> None:
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
        stream = (_VALIDATION, self.config.seed, 1) if self.validate else (_TRAIN, self.config.seed, self.epoch)
        seed = (*stream, index)
        (image, twin), _, _ = draw_pair(self.config, self.heads, seed, clear=self._clear(index))
        rng, patches = np.random.default_rng((*seed, 1)), []
        for _ in range(self.config.data.simulation.patches):
            here = _around(np.abs(image - twin), self.sizes[0], rng)
            patches += [image[here], twin[here]]
        for _ in range(self.config.data.simulation.elsewhere):
            patches.append(twin[_within(twin, self.sizes[0], rng)])
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
class Twins:
    """What stage one learns from where it learns from crops: of the images themselves, or of slices of volumes.

    `lessons` are (training, validation) in turn: crops, then whole images with `whole_epochs`. `whole` are the pairs
    that training cuts its crops from.
    """

    lessons: list[tuple[PatchExamples, PatchExamples]]
    whole: PairExamples

    @property
    def config(self) -> TrainConfig:
        """Settings of all but what is special to a lesson, whose examples hold its own."""
        return self.whole.config


def draw_twins(config: TrainConfig, training: Heads, validation: Heads) -> Twins:
    """Crops of pairs in heads for training, and in others for validation."""
    config = config_of_slices(config)
    settings = [config, *([_on_whole_images(config)] if config.data.simulation.whole_epochs else [])]
    lessons = [(PatchExamples(one, training), PatchExamples(one, validation, validate=True)) for one in settings]
    return Twins(lessons, PairExamples(config, training))


def _on_whole_images(config: TrainConfig) -> TrainConfig:
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


def _healthy_crops(config: TrainConfig) -> int:
    simulation = config.data.simulation
    slices = config.dimension == 2 and simulation.kind == "lesion"
    return simulation.elsewhere + (simulation.anywhere if slices else 0)


def _healthy_slice(config: TrainConfig, heads: Heads, seed: tuple[int, ...]) -> Array:
    """A slice without lesion through any part of a head, normalised by itself."""
    simulation, rng = config.data.simulation, np.random.default_rng(seed)
    head = heads[int(rng.integers(len(heads)))]()
    stripped = _draws_stripped(config, rng)
    for attempt in range(_TRIES):
        case = simulate_case(
            head, (*seed, attempt), dims=2, size=config.input.size[0], spacing_mm=config.input.spacings[0],
            plane=str(rng.choice(config.input.planes)), style=str(rng.choice(simulation.styles)), lesion=False,
            stripped=stripped, reach=WITHIN_THE_BRAIN if stripped else ALL_OF_THE_HEAD,
        )  # fmt: skip
        if np.count_nonzero(case.image > _AIR * case.image.max()) > _LEAST_HEAD * case.image.size:
            break
    return find_scale(case.image, config.input.intensity.model_dump()).apply(case.image)


def _draws_stripped(config: TrainConfig, rng: np.random.Generator) -> bool:
    share = config.data.simulation.stripped
    return bool(share) and rng.random() < share


def _around(difference: Array, sides: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, ...]:
    """A crop that holds a voxel in which twins differ, anywhere but at its very edge."""
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


def pair_labels(config: TrainConfig) -> torch.Tensor:
    """Class indices of (with lesion, without)."""
    return torch.tensor([config.sick, 1 - config.sick])


def split_heads(config: TrainConfig) -> tuple[Heads, Heads]:
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


def validation_pairs(config: TrainConfig, heads: Heads) -> list[PreparedCase]:
    """The fixed pairs that validate, two cases each; the patient is the head."""
    cases = []
    labels = pair_labels(config).tolist()
    for index in range(config.data.simulation.validation_pairs):
        pair, _, head = draw_pair(config, heads, (_VALIDATION, config.seed, 0, index))
        for image, label in zip(pair, labels, strict=True):
            statistics = intensity_statistics(image)
            name = f"{head}-{index}-{config.class_names[label]}"
            half = image[None].astype(np.float16)
            cases.append(PreparedCase(name, head, label, half, np.array([label]), statistics=statistics))
    return cases


def draw_pair(
    config: TrainConfig, heads: Heads, seed: tuple[int, ...], clear: bool = False
) -> tuple[Array, npt.NDArray[np.bool_], str]:
    """2×*size (with lesion, without), normalised by one scale; where the lesion is; and the head's name.

    One scale for both: with its own, a bright lesion would darken all else, and the pair would differ everywhere.
    `clear`: a large lesion of strong contrast, or advanced loss.
    """
    simulation, size = config.data.simulation, config.input.size
    if simulation.kind == "nigral_loss":
        loss = clear_loss(np.random.default_rng(seed)) if clear else None
        midbrain = simulate_midbrain(
            seed, parkinson=True, loss=loss, size=size, spacing_mm=config.input.spacings, paired=True
        )
        image, twin, mask, name = midbrain.image, midbrain.twin, midbrain.mask, "-".join(map(str, seed))
    else:
        rng = np.random.default_rng(seed)
        head = heads[int(rng.integers(len(heads)))]()
        plane = str(rng.choice(config.input.planes)) if config.dimension == 2 else None
        style = str(rng.choice(simulation.styles))
        stripped = _draws_stripped(config, rng)
        case = simulate_case(
            head, seed, dims=config.dimension, size=size[0], spacing_mm=config.input.spacings[0], plane=plane,
            style=style, spec=_lesion(config, rng, clear), paired=True, stripped=stripped,
            least_change=simulation.least_change,
        )  # fmt: skip
        image, twin, mask, name = case.image, case.twin, case.mask, head.name
    assert twin is not None
    scale = find_scale(image, config.input.intensity.model_dump())
    return np.stack([scale.apply(image), scale.apply(twin)]), mask, name


def _lesion(config: TrainConfig, rng: np.random.Generator, clear: bool) -> LesionSpec:
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
