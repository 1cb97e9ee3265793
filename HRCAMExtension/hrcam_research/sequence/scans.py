"""Scans of known sequence that the network for sequences did not learn from, and generated whole scans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hrcam.scan.volume import Volume, read_volume
from scipy import ndimage

from ..atlas.heads import LabeledHead, posed, read_labeled_heads
from ..brain_lesion.contrasts import draw_means
from ..simulate.appearance import apply_appearance, random_appearance
from ..simulate.tissues import from_labels
from .real import no_tumor, tumor_slices

_PATTERNS = (
    ("lgg", "T1", "lgg/*_pre.nii.gz"), ("lgg", "T1-CE", "lgg/*_post.nii.gz"), ("lgg", "FLAIR", "lgg/*_flair.nii.gz"),
    ("ms", "T1-CE", "ms/*_T1POST.nii.gz"), ("ms", "FLAIR", "ms/*_FLAIR.nii.gz"),
    ("healthy_t1", "T1", "healthy_t1/*_SS.nii.gz"), ("t1ce_volumes", "T1-CE", "t1ce_volumes/*_t1ce.nii.gz"),
    ("templates", "T1", "templates/*.nii.gz"),
)  # fmt: skip
_GENERATED = ("T1", "T1-CE", "FLAIR", "T2", "PD", "DWI")
_THICK_SIZE, _THICK_MM = (240, 240, 30), (1.0, 1.0, 5.0)


def known_scans(data: Path, generated: bool = True) -> Iterator[tuple[str, str, Volume]]:
    """Set, sequence and scan, for all that there are in the data folder; names tell nothing."""
    for name, sequence, pattern in _PATTERNS:
        for path in sorted(data.glob(pattern)):
            yield name, sequence, _unnamed(read_volume(path))
    if (data / "no_tumor").is_dir():
        for one in no_tumor(data, "held"):
            yield "no_tumor, held", one.sequence, _unnamed(read_volume(one.path))
    if (data / "t1ce_slices").is_dir():
        for path in tumor_slices(data, "val"):
            yield "t1ce_slices, val", "T1-CE", _unnamed(read_volume(path))
    if generated and (data / "head_labels").is_dir():
        for number, head in enumerate(read_labeled_heads(data / "head_labels")):
            for kind, sequence in enumerate(_GENERATED):
                yield "generated", sequence, draw_scan(head, sequence, (number, kind))


def draw_scan(head: LabeledHead, sequence: str, seed: tuple[int, int]) -> Volume:
    """A whole scan of one contrast, in axial slices of 5 mm, of a head in a pose of its own; without lesions."""
    rng = np.random.default_rng(seed)
    there = posed(head, rng, _THICK_SIZE, _THICK_MM)
    tissues = from_labels(there.labels)
    mean, within = draw_means(rng, sequence.replace("-", "").lower())
    grain = ndimage.gaussian_filter(rng.standard_normal(tissues.shape, np.float32), (0, 1, 1)) * np.float32(3.5)
    image = mean[tissues] + within[tissues] * grain
    spacing = there.geometry.spacing[::-1]
    scanned = apply_appearance(np.maximum(image, 0), spacing, rng, random_appearance(rng, 2))
    return Volume(np.ascontiguousarray(scanned * 200, np.float32), there.geometry, "scan")


def _unnamed(volume: Volume) -> Volume:
    return Volume(volume.array, volume.geometry, "scan", spacing_known=volume.spacing_known)
