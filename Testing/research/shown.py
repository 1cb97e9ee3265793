"""What a model shows of lesions, and of scans without any: regions, and what leaving out small ones costs and gains.

``python Testing/research/shown.py brain-lesion --simulated SET --data ../shared/data --minimum 0 .05 .1`` reads the
volumes of a set that ``hrcam simulate --dims 3`` made, of the scan sets of `hrcam evaluate`, or of both, as the button
does, and prints rows for docs/RESEARCH.md. ``--plane``, ``--limit``, ``--mean`` (planes are averaged, nothing must
agree) and ``--border-weight`` (0: regions end by their peaks alone) try other ways.
"""

import argparse
import csv
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
from hrcam.bundle.bundle import load_bundle
from hrcam.localize import Options, localize
from hrcam.run.marking import large_enough
from hrcam.run.regions import number_regions
from hrcam.scan.volume import read_volume
from hrcam_research.evaluate.scans import find_scan_sets
from rich.progress import track
from sklearn.metrics import average_precision_score

HEADER = ("set", "smallest region, ml", "found and shown", "strongest region in the lesion", "regions a scan",
          "false ones", "Dice as shown", "marked without a lesion", "AP of the volume", "peak in it")  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """One scan: its regions as (volume, volume inside the outline) in ml, strongest first, and its map's figures.

    Attributes
    ----------
    lesion_ml : volume of the outline; 0 without one.
    ap, pointing : of all voxels of the map; None without an outline.
    """

    regions: tuple[tuple[float, float], ...]
    lesion_ml: float
    ap: float | None = None
    pointing: bool | None = None

    def above(self, minimum_ml):
        """The same with what would be marked if smaller regions were left out."""
        kept = large_enough([volume for volume, _ in self.regions], minimum_ml)
        return replace(self, regions=tuple(compress(self.regions, kept)))

    @property
    def dice(self):
        """Of all that is marked with the outline."""
        marked, inside = np.sum(self.regions or [(0.0, 0.0)], axis=0)
        return float(2 * inside / (marked + self.lesion_ml))


def read(path, outline, bundle, options):
    """Localize a scan and measure what is shown of the lesion that ``outline`` (a path, or None) traces."""
    result = localize(path, bundle, options)
    mask = np.zeros(result.map.shape, bool) if outline is None else read_volume(outline).array > 0
    numbers = number_regions(result.labels, result.geometry, result.regions)
    inside = np.bincount(numbers[mask], minlength=len(result.regions) + 1) * result.geometry.voxel_volume_ml
    regions = tuple((one.volume_ml, float(inside[one.label])) for one in result.regions)
    if not mask.any():
        return Shown(regions, 0.0)
    peak = np.unravel_index(int(result.map.argmax()), result.map.shape)
    ap = average_precision_score(mask.ravel(), result.map.ravel())
    return Shown(regions, float(mask.sum() * result.geometry.voxel_volume_ml), float(ap), bool(mask[peak]))


def row(name, minimum_ml, scans):
    """A line of the table."""
    every = [one.above(minimum_ml) for one in scans]
    ill, well = [one for one in every if one.lesion_ml], [one for one in every if not one.lesion_ml]
    found = [one for one in ill if any(inside for _, inside in one.regions)]
    strongest = [one for one in ill if one.regions and one.regions[0][1] > 0]
    false = np.mean([sum(inside == 0 for _, inside in one.regions) for one in ill]) if ill else np.nan
    figures = [f"{len(found)} of {len(ill)}", f"{len(strongest)} of {len(ill)}"]
    figures += [f"{value:.2f}" for value in (np.mean([len(one.regions) for one in every]), false)]
    figures += [f"{np.mean([one.dice for one in ill]) if ill else np.nan:.3f}"]
    figures += [f"{sum(bool(one.regions) for one in well)} of {len(well)}"]
    figures += [f"{np.mean([one.ap for one in ill]) if ill else np.nan:.3f}", f"{sum(one.pointing for one in ill)}"]
    return f"| {name} | {minimum_ml:g} | " + " | ".join(figures) + " |"


def simulated(folder):
    """Images and masks of a set; the masks of healthy ones are empty."""
    with (folder / "cases.csv").open(newline="", encoding="utf-8") as stream:
        return [(folder / one["path"], folder / one["mask"]) for one in csv.DictReader(stream)]


def with_border_weight(bundle, weight):
    """The bundle with another weight of brightness; 0: without the rule."""
    others = {key: value for key, value in bundle.metadata.items() if key != "borders"}
    told = {"borders": {**bundle.metadata["borders"], "weight": weight}} if weight else {}
    return replace(bundle, metadata=others | told)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name or folder of a bundle")
    parser.add_argument("--simulated", type=Path, nargs="*", default=[], help="folders made by hrcam simulate, 3D")
    parser.add_argument("--data", type=Path, help="folder of the scan sets of hrcam evaluate")
    parser.add_argument("--set", nargs="*", help="of these sets, those whose names begin so")
    parser.add_argument("--plane", default="auto")
    parser.add_argument("--mean", action="store_true", help="average planes, without anything that they must agree on")
    parser.add_argument("--limit", type=float, help="of agreement, logits, instead of the model's own")
    parser.add_argument("--border-weight", type=float, help="of brightness, instead of the model's own")
    parser.add_argument("--minimum", type=float, nargs="*", default=[0.0, 0.02, 0.05, 0.1, 0.2, 0.5])
    given = parser.parse_args()
    bundle = load_bundle(given.model)
    if given.mean:
        bundle = replace(bundle, metadata={k: v for k, v in bundle.metadata.items() if k != "agreement"})
    if given.limit:
        told = {**bundle.metadata["agreement"], "limit": given.limit}
        bundle = replace(bundle, metadata={**bundle.metadata, "agreement": told})
    if given.border_weight is not None:
        bundle = with_border_weight(bundle, given.border_weight)
    sets = {folder.name: simulated(folder) for folder in given.simulated}
    for one in find_scan_sets(given.data) if given.data else []:
        if not given.set or one.name.startswith(tuple(given.set)):
            sets[one.name] = [(scan.path, scan.outline) for scan in one.scans]
    print("| " + " | ".join(HEADER) + " |\n" + "| --- " * len(HEADER) + "|")
    options = Options(plane=given.plane, device="cpu", minimum_region_ml=0.0, scans=max(map(len, sets.values())))
    for name, scans in sets.items():
        found = [read(path, outline, bundle, options) for path, outline in track(scans, description=name)]
        for minimum in given.minimum:
            print(row(name, minimum, found), flush=True)


if __name__ == "__main__":
    main()
