"""Faithfulness, randomization and completeness of the main methods on a few cases: what costs many forward passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hrcam_research.evaluate.case import MOST_PIXELS, Case, batches, spread
from hrcam_research.evaluate.faithfulness import deletion_insertion, randomized, road, similarity
from hrcam_research.evaluate.hrcam_maps import PUBLISHED
from hrcam_research.evaluate.localization import Progress
from hrcam_research.evaluate.map_maker import MapMaker
from hrcam_research.evaluate.statistics import bootstrap_mean

CASES = 12
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
CHANCE = "random order"
_MAIN_RIVALS = ("cam/own", "gradcam/last", "gradcam++/mean", "layercam/mean", "hirescam/mean", "refinecam/layercam",
                "monai-gradcam/last")  # fmt: skip


def main_methods(maker: MapMaker) -> list[str]:
    """The published form, the default and the rivals that are told apart most, of those that the maker has."""
    names = maker.names(slow=False)
    return [name for name in dict.fromkeys((PUBLISHED, maker.default, *_MAIN_RIVALS)) if name in names]


def chosen_cases(cases: Sequence[Case], count: int) -> list[Case]:
    """So many cases, spread over classes and patients."""
    return [cases[at] for at in spread([case.label for case in cases], [case.patient for case in cases], count)]


def fits_faithfulness(case: Case) -> bool:
    """Whether images are small enough: one large volume has hundreds of forward passes and linear systems to go."""
    return case.read().image.size <= MOST_PIXELS


def evaluate_faithfulness(
    maker: MapMaker,
    cases: Sequence[Case],
    class_names: Sequence[str],
    progress: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """Per method deletion, insertion and ROAD with intervals by patient, beside an order of pixels by chance."""
    names = main_methods(maker)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in [*names, CHANCE]}
    for number, batch in enumerate(batches(cases, 1)):
        (at, pixels), *_ = batch
        label = list(class_names).index(cases[at].label)
        maps = {
            name: made[0].numpy() for name, made in maker.make(maker.stack(batch), _one(label, maker), names).items()
        }
        maps[CHANCE] = np.random.default_rng(at).random(pixels.image.shape[1:])
        for name, values in maps.items():
            deletion, insertion = deletion_insertion(maker.model, pixels.image, values, label)
            found[name].append((deletion, insertion, road(maker.model, pixels.image, values, label)))
        if progress:
            progress("Faithfulness", (number + 1) / len(cases))
    patients = [case.patient for case in cases]
    keys = ("deletion", "insertion", "road")
    return {
        name: {
            key: bootstrap_mean(column, patients).to_json()
            for key, column in zip(keys, np.array(values).T, strict=True)
        }
        for name, values in found.items()
    }


def evaluate_randomization(
    maker: MapMaker,
    cases: Sequence[Case],
    class_names: Sequence[str],
    progress: Progress | None = None,
) -> dict[str, dict[str, float]]:
    """Per method and share of randomized layers, the mean |rank correlation| of the maps before and after.

    A method whose maps stay alike when the network has forgotten everything shows the image, not the network.
    """
    names = main_methods(maker)
    found: dict[str, dict[str, float]] = {name: {} for name in names}
    for share in SHARES:
        other = MapMaker(randomized(maker.model, share), names)
        values: dict[str, list[float]] = {name: [] for name in names}
        for batch in batches(cases, 1):
            label = _one(list(class_names).index(cases[batch[0][0]].label), maker)
            before, after = (each.make(maker.stack(batch), label, names) for each in (maker, other))
            for name in names:
                values[name].append(similarity(before[name].numpy(), after[name].numpy()))
        for name in names:
            found[name][f"{share:.0%}"] = float(np.mean(values[name]))
        if progress:
            progress("Randomization", (SHARES.index(share) + 1) / len(SHARES))
    return found


def _one(label: int, maker: MapMaker) -> torch.Tensor:
    return torch.tensor([label], device=maker.device)
