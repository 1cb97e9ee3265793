"""Images as the network will see them, prepared once, exactly as at inference, and kept on disk in half precision."""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hrcam.atomic_files import replacing
from hrcam.errors import HRCAMError, InputError
from hrcam.scan.checks import check_volume
from hrcam.scan.geometry import PLANES
from hrcam.scan.sampling import FOREGROUND_VALUE, plan_slices, plan_volume
from hrcam.scan.statistics import intensity_statistics
from hrcam.scan.volume import Volume, read_volume

from hrcam_train.config import TrainConfig
from hrcam_train.table import LabeledCase, listed

FORMAT = 1
"""Raised when prepared files of an earlier version can no longer be used."""


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """One scan ready for the network.

    Attributes
    ----------
    name, patient : for reports and splits.
    label : class index of the whole scan.
    images : N×*size, float16, from `intensity.normalize`; N slices (2D) or 1 volume (3D). On disk where they were read.
    labels : N class indices.
    content_hash : of the scan's voxels and grid.
    statistics : of the scan, see `input_statistics`.
    """

    name: str
    patient: str
    label: int
    images: npt.NDArray[np.float16]
    labels: npt.NDArray[np.int64]
    content_hash: str = ""
    statistics: dict[str, float] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, ...]:
        """Spatial size of the images."""
        return tuple(self.images.shape[1:])


@dataclass(frozen=True)
class _Metadata:
    """What `plan_slices` reads of a bundle."""

    metadata: dict[str, Any]


def prepare_cases(
    cases: Sequence[LabeledCase],
    config: TrainConfig,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
) -> list[PreparedCase]:
    """Read, check and prepare every case, in order; what `cache` holds already is not read again.

    Raises
    ------
    InputError : scans that cannot be read or used, all of them named.
    """
    cache.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    prepared: list[PreparedCase | None] = []

    def attempt(case: LabeledCase) -> PreparedCase | HRCAMError:
        try:
            return _prepared(case, config, cache)
        except HRCAMError as error:
            return error

    with ThreadPoolExecutor(max(1, config.train.workers)) as pool:
        for number, (case, found) in enumerate(zip(cases, pool.map(attempt, cases), strict=True), start=1):
            if isinstance(found, HRCAMError):
                problems.append(f"{case.path}: {found.message}")
            else:
                prepared.append(found)
            if progress:
                progress(number, len(cases))
    if problems:
        raise InputError(
            f"{len(problems)} of {len(cases)} scans cannot be used: {listed(problems)}",
            "Repair them or take them out, then run again.",
        )
    return [case for case in prepared if case is not None]


def _prepared(case: LabeledCase, config: TrainConfig, cache: Path) -> PreparedCase:
    stem = cache / _key(case, config)
    arrays, notes = stem.with_suffix(".npy"), stem.with_suffix(".json")
    if not notes.exists():
        volume = read_volume(case.path)
        check_volume(volume)
        images, indices = _load(volume, case, config)
        slices = np.moveaxis(volume.array, 2 - volume.geometry.acquisition_axis, 0)
        found = {
            "indices": indices,
            "content_hash": volume.content_hash,
            "statistics": intensity_statistics(slices),
        }
        with replacing(arrays) as part, part.open("wb") as stream:
            np.save(stream, images)
        with replacing(notes) as part:  # last: its presence says that the images are whole
            part.write_text(json.dumps(found), encoding="utf-8")
    known = json.loads(notes.read_text(encoding="utf-8"))
    index_of = {name: index for index, name in enumerate(config.class_names)}
    names = [(case.slice_labels or {}).get(n, case.label) for n in known["indices"]]
    return PreparedCase(
        case.path.name,
        case.patient,
        index_of[case.label],
        np.load(arrays, mmap_mode="r"),
        np.array([index_of[name] for name in names], np.int64),
        known["content_hash"],
        known["statistics"],
    )


def _load(volume: Volume, case: LabeledCase, config: TrainConfig) -> tuple[npt.NDArray[np.float16], list[int]]:
    """Images N×*size and the slices' indices; those too empty, skipped or without a slice label are left out."""
    bundle = _Metadata({"input": config.input.model_dump(mode="json")})
    if config.dimension == 3:
        return plan_volume(volume, bundle).load()[:, 0].astype(np.float16), [0]
    flat = 1 in volume.geometry.size_ijk
    every = config.data.planes == "all" and not flat and case.slice_labels is None
    images, indices = [], []
    for plane in PLANES if every else ("auto",):
        plan = plan_slices(volume, bundle, plane)
        for position in range(0, plan.count, config.data.slice_step):
            index = plan.indices[position]
            if case.slice_labels is not None and index not in case.slice_labels:
                continue
            image = plan.load(slice(position, position + 1))[0, 0]
            if (image > FOREGROUND_VALUE).mean() >= config.data.minimum_foreground:
                images.append(image.astype(np.float16))
                indices.append(index)
    if not images:
        raise InputError("no slice is left: all are too empty, or none has a label.", "See data.minimum_foreground.")
    tallest = [max(image.shape[axis] for image in images) for axis in (0, 1)]
    padded = [np.pad(i, [(0, most - n) for most, n in zip(tallest, i.shape, strict=True)]) for i in images]
    return np.stack(padded), indices


def _key(case: LabeledCase, config: TrainConfig) -> str:
    """Names what an image was prepared from and how; the label is no part of it."""
    stat = case.path.stat()
    data = config.data.model_dump(include={"planes", "slice_step", "minimum_foreground"})
    facts = [
        FORMAT, str(case.path.resolve()), stat.st_size, stat.st_mtime_ns, config.dimension,
        config.input.model_dump(mode="json"), data, sorted(case.slice_labels or {}),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
