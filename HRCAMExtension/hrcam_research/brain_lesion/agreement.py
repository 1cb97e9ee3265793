"""What planes must agree on before a scan is called "lesion", chosen on healthy heads and simulated lesions in them.

``python -m hrcam_research.brain_lesion.agreement BUNDLE DATA FOLDER`` chooses it for a bundle whose weights are done.
Only whether a scan shows a lesion is asked, no outline. The simulated scans are kept in the folder.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hrcam.bundle.bundle import CARD, Bundle, load_bundle
from hrcam.bundle.write import save_bundle
from hrcam.localize import Options, localize
from hrcam_train.linear_head import fit_temperature

from hrcam_research.simulate.config import SimulationConfig
from hrcam_research.simulate.dataset import make_dataset

from .network import CLASSES

PAIRS, SEED = 32, 5
"""Of simulated scans. Those of seed 4 are for measuring."""

SIZE, SPACING_MM, DIAMETER_MM = 192, 1.0, (12.5, 30.0)
"""Of simulated scans; the smallest ball has 1 ml."""

MARGIN = 1.1
"""The limit beside the strongest agreement in a healthy head: other heads may hold a little more."""


def healthy_heads(data: Path) -> tuple[Path, ...]:
    """The heads of `healthy_t1`."""
    return tuple(sorted((data / "healthy_t1").glob("*_SS.nii.gz")))


def choose_agreement(bundle: Bundle, data: Path, folder: Path) -> Bundle:
    """Choose the bundle's ``agreement`` and write the bundle again; scans are simulated into ``folder``."""
    heads = healthy_heads(data)
    config = SimulationConfig(dims=3, count=2 * PAIRS, seed=SEED, size=SIZE, spacing_mm=SPACING_MM, paired=True,
                    diameter_mm=DIAMETER_MM, file_format="nifti", heads=heads)  # fmt: skip
    make_dataset(config, folder)
    images = sorted((folder / "images").glob("*.nii.gz"))
    ill = [config.pathological(n) for n in range(len(images))]
    told = fit_agreement(strongest_agreement(bundle, images), ill, strongest_agreement(bundle, heads))
    card = (bundle.path / CARD).read_text(encoding="utf-8")
    return save_bundle(bundle.path, bundle.build(), {**bundle.metadata, "agreement": told}, card, overwrite=True)


def strongest_agreement(bundle: Bundle, scans: Sequence[Path]) -> list[float]:
    """The strongest agreement of all planes in each scan, logits: read off the probability under a known rule."""
    limit = bundle.evidence_levels[0].threshold
    asked = replace(bundle, metadata={**bundle.metadata, "agreement": {"limit": limit, "temperature": 1.0}})
    options = Options(plane="all", scans=len(scans))
    chances = [localize(path, asked, options).probabilities[CLASSES[0]] for path in scans]
    return [limit * chance / (1 - chance) for chance in chances]


def fit_agreement(simulated: Sequence[float], ill: Sequence[bool], healthy: Sequence[float]) -> dict[str, Any]:
    """The metadata's ``agreement``.

    Parameters
    ----------
    simulated, ill : strongest agreement in each simulated scan, logits, and whether it shows a lesion.
    healthy : strongest agreement in each healthy head; none of them shall be called "lesion".
    """
    limit = round(MARGIN * max(healthy), 1)
    peaks, sick = np.array([*simulated, *healthy]), np.array([*ill, *([False] * len(healthy))])
    odds = np.log(peaks / limit)
    temperature = fit_temperature(np.stack([odds, np.zeros_like(odds)], 1), np.where(sick, 0, 1))
    return {"limit": limit, "temperature": round(temperature, 3),
            "pathology_withheld": round(float((peaks < limit)[sick].mean()), 4),
            "normal_shown": round(float((peaks >= limit)[~sick].mean()), 4), "scans": len(peaks)}  # fmt: skip


if __name__ == "__main__":
    print(choose_agreement(load_bundle(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])).metadata["agreement"])
