"""Simulated lesions in heads that no training saw, and the real lesions of multiple sclerosis as a look beyond.

The heads are real ones (`healthy_t1`, of which no bundled weight may have learnt) and templates; pairs are drawn by
`simulate` from seeds that begin with a number that training never uses. Nothing here is about patients, but for
the lesions of `ms`, for which no model was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hrcam.bundle.bundle import Bundle
from hrcam.scan.intensity import normalize
from sklearn.metrics import roc_auc_score

from hrcam_research.evaluate import classification, data
from hrcam_research.evaluate.case import Case, Pixels
from hrcam_research.simulate.case import simulate_case
from hrcam_research.simulate.head import PLANES, Head, find_heads, read_head
from hrcam_research.simulate.lesion import KINDS, LesionSpec, random_lesion

if TYPE_CHECKING:
    from hrcam.cam.model import HRCAM

    from hrcam_research.evaluate.localization import Progress

LABEL = "lesion"
SOURCES = {"healthy_t1": "*_SS.nii.gz", "templates": "*.nii.gz"}
"""Folder of heads to the names of its T1 volumes."""

PAIRS = {2: {"healthy_t1": 96, "templates": 32}, 3: {"healthy_t1": 24, "templates": 8}}
"""Of each source, by the model's dimension."""

DIAMETER_MM, CONTRAST, LEAST_CHANGE = (6.0, 30.0), (0.4, 1.2), 0.3
"""Lesions that can be seen, as those that the bundled models were made for."""

_SEED = 6
"""First number of the seeds: training draws from 0, validation from 1, midbrains from 5."""


@dataclass(frozen=True)
class LesionSet:
    """Pairs of one source: images with a lesion, and their counterparts without."""

    name: str
    cases: list[Case]
    normals: list[Case]
    note: str


def lesion_sets(bundle: Bundle, folder: Path) -> list[LesionSet]:
    """What the data folder allows: simulated lesions in each of `SOURCES`, then the real ones of `ms`."""
    found = []
    for source in SOURCES:
        cases, counterparts = draw_pairs(bundle, folder, source, PAIRS[bundle.dimension][source])
        note = "lesions simulated, the heads never trained on; images without are their counterparts"
        found.append(LesionSet(f"{source}, simulated lesions", cases, counterparts, note))
    if (folder / "ms").is_dir():
        cases, normals = _multiple_sclerosis(bundle, folder / "ms")
        found.append(LesionSet("ms, FLAIR", cases, normals, "real lesions in a contrast that no training showed"))
    return [one for one in found if one.cases]


def draw_pairs(
    bundle: Bundle, folder: Path, source: str, count: int, seed: int = _SEED
) -> tuple[list[Case], list[Case]]:
    """Images with a lesion and their counterparts without, in the heads of one of `SOURCES`; none where it has none."""
    paths = [path for path in _heads(folder / source) if path.match(SOURCES[source])]
    number = list(SOURCES).index(source)
    return _Pairs(bundle, paths, (seed, number)).cases(count) if paths else ([], [])


def evaluate_lesions(
    bundle: Bundle, model: HRCAM, sets: Sequence[tuple[str, Sequence[Case], Sequence[Case]]], batch_size: int = 4,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Answers on each set of (name, cases, normals); keys as those of `evaluate_classification`."""
    sick = bundle.class_names.index(LABEL)
    figures: dict[str, Any] = {}
    calibration: dict[str, Any] = {}
    for number, (name, cases, normals) in enumerate(sets):
        if not cases or not normals:
            continue
        everything = [*cases, *normals]
        labels = np.array([bundle.class_names.index(case.label) for case in everything])
        logits = classification.class_logits(model, everything, batch_size)
        probabilities = classification.softmax(logits, bundle.temperature)
        figures[f"AUC, {name}"] = float(roc_auc_score(labels == sick, logits[:, sick] - logits[:, 1 - sick]))
        figures[f"balanced accuracy, {name}"] = classification.balanced_accuracy(labels, probabilities)
        measured = classification.calibration(labels, probabilities)
        figures[f"expected calibration error, {name}"] = measured["ece"]
        calibration = calibration or measured
        if progress:
            progress("Classification", (number + 1) / len(sets))
    notes = [
        f"Simulated: {DIAMETER_MM[0]:g} to {DIAMETER_MM[1]:g} mm, {CONTRAST[0]:.0%} to {CONTRAST[1]:.0%} brighter or "
        f"darker than the tissue around, changing the image by at least {LEAST_CHANGE:.0%} of the brain's median.",
        "An image and its counterpart differ in the lesion alone: what tells them apart is the lesion.",
    ]
    return {"figures": figures, "notes": notes, "calibration": calibration}


def _heads(folder: Path) -> list[Path]:
    return find_heads(folder) if folder.is_dir() else []


@lru_cache(maxsize=2)
def _read(path: Path) -> Head:
    return read_head(path)


class _Pairs:
    """Pairs drawn on the bundle's own grid, normalized as a user's scan is; each is drawn once and kept."""

    def __init__(self, bundle: Bundle, paths: Sequence[Path], seed: tuple[int, int]) -> None:
        self.bundle, self.paths, self.seed = bundle, paths, seed
        self._kept: dict[int, tuple[Pixels, Pixels]] = {}

    def cases(self, count: int) -> tuple[list[Case], list[Case]]:
        """All images with a lesion, and their counterparts; the patient is the head, the grade the kind of lesion."""
        healthy = next(kind.name for kind in self.bundle.classes if not kind.pathology)
        cases, counterparts = [], []
        for number in range(count):
            patient = self._path(number, count).name.split(".")[0]
            known: dict[str, Any] = {
                "plane": (self._plane(number) or "")[:2],
                "spacing": data.spacing_of(self.bundle),
                "grade": self._lesion(number).kind,
            }
            read = [partial(self._pixels, number, count, which) for which in (0, 1)]
            cases.append(Case(f"{patient}-{number}", patient, LABEL, read[0], traced=True, **known))
            counterparts.append(Case(f"{patient}-{number}-counterpart", patient, healthy, read[1], **known))
        return cases, counterparts

    def _path(self, number: int, count: int) -> Path:
        """Pairs of one head follow one another, so that it is read once."""
        return self.paths[number * len(self.paths) // count]

    def _plane(self, number: int) -> str | None:
        return PLANES[number % len(PLANES)] if self.bundle.dimension == 2 else None

    def _lesion(self, number: int) -> LesionSpec:
        rng = np.random.default_rng((*self.seed, number, 1))
        kind = KINDS[number % len(KINDS)]
        return random_lesion(rng, diameter_mm=DIAMETER_MM, contrast=CONTRAST, kinds=(kind,))

    def _pixels(self, number: int, count: int, which: int) -> Pixels:
        if number not in self._kept:
            inputs = self.bundle.metadata["input"]
            case = simulate_case(
                _read(self._path(number, count)), (*self.seed, number), dims=self.bundle.dimension,
                size=int(inputs["size"][0]), spacing_mm=data.spacing_of(self.bundle)[0], plane=self._plane(number),
                spec=self._lesion(number), least_change=LEAST_CHANGE, paired=True,
            )  # fmt: skip
            assert case.counterpart is not None
            image, counterpart = (
                normalize(array, inputs["intensity"])[None] for array in (case.image, case.counterpart)
            )
            self._kept[number] = Pixels(image, {"masks": case.mask}), Pixels(counterpart, {})
        return self._kept[number][which]


def _multiple_sclerosis(bundle: Bundle, folder: Path) -> tuple[list[Case], list[Case]]:
    healthy = next(kind.name for kind in bundle.classes if not kind.pathology)
    if bundle.dimension == 2:
        slices = data.volume_slices(folder, bundle, LABEL, healthy, scan="_FLAIR", mask="_GOLD")
        return [case for case in slices if case.traced], [case for case in slices if not case.traced]
    known: dict[str, Any] = {"spacing": data.spacing_of(bundle), "traced": True}
    cases = [
        Case(path.name, path.name.split("_")[0], LABEL, partial(data.read_pair, path, {"masks": mask}, bundle), **known)
        for path in sorted(folder.glob("*_FLAIR.nii.gz"))
        for mask in [path.with_name(path.name.replace("_FLAIR", "_GOLD"))]
    ]
    return cases, []
