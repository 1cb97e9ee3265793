"""T1 volumes of phantom heads, as files that lesions are simulated in."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name
from hrcam_research.simulate.head import phantom_head
from hrcam_research.simulate.tissues import draw_intensities


def write_t1_head(path: Path, seed: int) -> sitk.Image:
    """Write a head of 64³ voxels, and its folder where there is none."""
    head = phantom_head(np.random.default_rng(seed), size=64)
    image = sitk.GetImageFromArray(draw_intensities(np.random.default_rng(seed), "t1")[0][head.values])
    image.SetSpacing(head.spacing_mm)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return image
