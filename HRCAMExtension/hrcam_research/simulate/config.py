"""The configuration of a simulated data set: everything that decides its content, and nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hrcam.errors import InputError
from hrcam.version import __version__

from .case import LEAST_CHANGE
from .head import find_heads
from .tissues import STYLES

CONFIG_FORMAT = 1
PHANTOM_HEADS = 20


@dataclass(frozen=True)
class SimulationConfig:
    """What to simulate. Equal settings give equal files, whatever the number of jobs.

    Attributes
    ----------
    kind : ``lesion`` or ``neuromelanin``.
    dims : 2 or 3; neuromelanin volumes are 3D.
    count : number of images, half of them healthy.
    seed : of everything.
    size, spacing_mm : along every axis; None for the kind's own. Neuromelanin volumes have their own grid.
    diameter_mm : smallest and largest lesion.
    contrast : least and greatest, as a fraction of the local tissue's intensity.
    least_change : of the image in the lesion, as a fraction of the brain's median; see `simulate_case`.
    style : tissue contrast of label-map heads (t1, t1ce, any); None for a mixture.
    paired : each healthy image is the counterpart of a pathological one: same head, same noise.
    file_format : ``png`` (16 bit, 2D) or ``nifti``.
    heads : files of heads; empty for phantoms (``lesion``).
    validation : fraction of heads (neuromelanin: of subjects) in the split ``validation``.
    """

    kind: str = "lesion"
    dims: int = 2
    count: int = 8000
    seed: int = 0
    size: int | None = None
    spacing_mm: float | None = None
    diameter_mm: tuple[float, float] = (2.0, 30.0)
    contrast: tuple[float, float] = (0.12, 1.2)
    least_change: float = LEAST_CHANGE
    style: str | None = None
    paired: bool = False
    file_format: str = "png"
    heads: tuple[Path, ...] = ()
    validation: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what cannot be made."""
        if self.kind not in ("lesion", "neuromelanin"):
            raise InputError(f"There is no simulation '{self.kind}'.", "Choose lesion or neuromelanin.")
        if self.dims not in (2, 3) or (self.kind == "neuromelanin" and self.dims != 3):
            raise InputError(f"{self.kind} cannot be simulated in {self.dims}D.", "Lesions: 2 or 3; neuromelanin: 3.")
        if self.count < 1 or self.seed < 0:
            raise InputError("The count must be at least 1 and the seed at least 0.", "Correct --count or --seed.")
        if not 0 < self.diameter_mm[0] <= self.diameter_mm[1]:
            raise InputError(f"Lesion diameters {self.diameter_mm} are no range.", "Give the smaller first, above 0.")
        if not 0 < self.contrast[0] <= self.contrast[1] or not 0 <= self.least_change <= 1:
            hint = "Contrast: the smaller first, above 0; the change: from 0 to 1."
            raise InputError(f"Contrasts {self.contrast} or a change of {self.least_change} are impossible.", hint)
        if self.size is not None and self.size < 32:
            raise InputError(f"An image of {self.size} voxels an axis is too small.", "Give --size 32 or more.")
        if self.spacing_mm is not None and not self.spacing_mm > 0:
            raise InputError("The spacing must be above 0 mm.", "Correct --spacing.")
        if self.style is not None and self.style not in STYLES:
            raise InputError(f"Contrast style '{self.style}' is unknown.", f"Choose one of {', '.join(STYLES)}.")
        if self.file_format not in ("png", "nifti") or (self.file_format == "png" and self.dims == 3):
            raise InputError(f"A {self.dims}D image cannot be written as {self.file_format}.", "Use --format nifti.")
        if not 0 <= self.validation < 1:
            raise InputError("The validation fraction must be from 0 to below 1.", "Correct --validation.")
        if self.kind == "neuromelanin" and (self.heads or self.size or self.spacing_mm or self.style):
            hint = "Leave out --heads, --from, --size, --spacing and --style."
            raise InputError("Neuromelanin volumes are drawn whole, on their own grid.", hint)

    @property
    def labels(self) -> tuple[str, str]:
        """Names of the pathological and the healthy class."""
        return ("lesion", "healthy") if self.kind == "lesion" else ("parkinson", "control")

    def head_names(self) -> list[str]:
        """Names of the heads that images are drawn from."""
        if self.heads:
            return [path.name.split(".")[0] for path in self.heads]
        return [f"phantom_{n:02d}" for n in range(PHANTOM_HEADS)]

    def key(self, image: int) -> int:
        """Number that seeds an image; counterparts share it."""
        return image // 2 if self.paired else image

    def pathological(self, image: int) -> bool:
        """Whether an image shows pathology: every second one does."""
        return image % 2 == 0

    def head_of(self, image: int) -> int:
        """Index of the head that an image is drawn from."""
        # Two successive images share a head, so that each head serves both classes alike.
        return (image // 2) % len(self.head_names())

    def subject(self, image: int) -> str:
        """Who an image shows: a head, or a simulated subject."""
        if self.kind == "lesion":
            return self.head_names()[self.head_of(image)]
        return f"subject_{self.key(image):06d}"

    def splits(self) -> dict[str, str]:
        """Split of each subject; none is in two. A single subject is in ``train``."""
        subjects = sorted({self.subject(n) for n in range(self.count)})
        held = min(round(self.validation * len(subjects)), len(subjects) - 1)
        order = np.random.default_rng((self.seed, 1)).permutation(len(subjects))
        return {subjects[n]: "validation" if rank < held else "train" for rank, n in enumerate(order)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; heads by file name, so that a set does not depend on where they lie."""
        names = [path.name for path in self.heads]
        return {"format": CONFIG_FORMAT, "hrcam": __version__, **asdict(self), "heads": names,
                "diameter_mm": list(self.diameter_mm), "contrast": list(self.contrast),
                "labels": list(self.labels)}  # fmt: skip


def heads_from(folder: Path | None, file: Path | None) -> tuple[Path, ...]:
    """Head files of ``--heads`` or ``--from``; none for phantoms.

    Raises
    ------
    InputError : both given, or nothing there, or two files of the same name.
    """
    if folder and file:
        raise InputError("--heads and --from cannot be given together.", "Give one of them.")
    if file:
        if not file.is_file():
            raise InputError(f"There is no file {file}.", "Give --from a T1 volume.")
        return (file.resolve(),)
    if not folder:
        return ()
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Give --heads a folder of volumes, or leave it out.")
    paths = tuple(path.resolve() for path in find_heads(folder))
    names = [path.name.split(".")[0] for path in paths]
    if len(set(names)) < len(names):
        raise InputError(f"Two volumes in {folder} have the same name.", "Rename one: names tell the heads apart.")
    return paths
