"""Real scans: the limit from which one is called "lesion", chosen by image labels, and what weights not bundled show.

Composed scans mix slices of many heads, so that each holds the false evidence of several: a limit chosen on them leaves
real lesions unmarked. Only whether a scan shows a lesion is asked, no outline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hrcam.bundle.bundle import CARD, Bundle
from hrcam.bundle.write import save_bundle
from hrcam.localize import Options, localize
from hrcam.run.result import Result
from hrcam.run.volume_rule import softmax, volume_logits
from hrcam_train.calibrate import at_even_odds
from hrcam_train.withholding import fit_withholding

from hrcam_research.evaluate.run import commit
from hrcam_research.evaluate.scan_report import FOLDER, write_rows
from hrcam_research.evaluate.scans import ScanSet, evaluate_scan

from .network import CLASSES, PATHOLOGY

_CERTAIN = 1e-12


def labeled_scans(data: Path) -> Iterator[tuple[Path, bool]]:
    """Scans of the data folder, and whether they show a lesion: `lgg` in three sequences, and `healthy_t1`."""
    for sequence in ("pre", "flair", "post"):
        for path in sorted((data / "lgg").glob(f"*_{sequence}.nii.gz")):
            yield path, True
    for path in sorted((data / "healthy_t1").glob("*_SS.nii.gz")):
        yield path, False


def choose_limit(bundle: Bundle, data: Path) -> Bundle:
    """Choose the limit of the bundle's volume rule on `labeled_scans`, and write the bundle again."""
    one_plane = Options(plane="axial")  # three planes have a rule of their own
    found = [(slice_logits(localize(path, bundle, one_plane), bundle), ill) for path, ill in labeled_scans(data)]
    told = limited([one for one, _ in found], [ill for _, ill in found], bundle.metadata["volume_rule"])
    card = (bundle.path / CARD).read_text(encoding="utf-8")
    return save_bundle(bundle.path, bundle.build(), {**bundle.metadata, **told}, card, overwrite=True)


def slice_logits(result: Result, bundle: Bundle) -> npt.NDArray[np.float64]:
    """S×2 logits of the slices that are not empty, those of "no lesion" 0."""
    chances = [one.probabilities[CLASSES[0]] for one in result.slices if one.probabilities]
    kept = np.clip(chances, _CERTAIN, 1 - _CERTAIN)
    odds = bundle.metadata["temperature"] * np.log(kept / (1 - kept))
    return np.stack([odds, np.zeros_like(odds)], 1)


def limited(scans: list[npt.NDArray[np.float64]], ill: list[bool], rule: dict[str, Any]) -> dict[str, Any]:
    """The metadata's ``volume_rule`` with another bias, and ``withholding``.

    Parameters
    ----------
    scans : S×2 slice logits of each.
    ill : whether each shows a lesion.
    rule : the volume rule as fitted on composed scans.
    """
    absent = [float(softmax(volume_logits(one, rule, PATHOLOGY))[1]) for one in scans]
    told, withholding = at_even_odds(rule, fit_withholding(absent, ill), PATHOLOGY)
    return {"volume_rule": told, "withholding": withholding}


def measure(label: str, scans: ScanSet, readers: Mapping[str, Bundle], out: Path) -> None:
    """Read each scan by the bundle of its patient, and write rows as `hrcam evaluate` does, ``label`` as version."""
    rows = [evaluate_scan(scan, readers[scan.patient]) for scan in scans.scans]
    name = next(iter(readers.values())).name
    path = out / "results" / FOLDER / f"{name}-{label}--{scans.name}.json".replace(" ", "-")
    write_rows(path, {"name": name, "version": label, "sha256": ""}, scans, rows, commit())
