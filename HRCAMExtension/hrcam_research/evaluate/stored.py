"""The same scan, stored in other ways: do answer and overlay stay alike?

``python -m hrcam_research.evaluate.stored MODEL SCAN …`` resamples each scan to 1 mm, to thinner and thicker slices,
turns it, cuts it to its head, and compares class, probability and marks with those of the scan as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from hrcam.align.transforms import carried
from hrcam.bundle.bundle import Bundle, load_bundle
from hrcam.localize import Options, localize
from hrcam.run.result import Result
from hrcam.scan.geometry import Geometry
from hrcam.scan.volume import Volume, read_volume
from scipy.spatial.transform import Rotation

from hrcam_research.cut import cut_to_head
from hrcam_research.evaluate.metrics import dice
from hrcam_research.evaluate.report_text import table

_NAMES = ("1 mm", "thin", "thick", "turned by ten degrees", "cut to its head")
_HEAD = ("stored", "same class, probability within .15", "Dice of marks .7 or more", "median Dice", "10th percentile")
_PROBABILITY, _DICE = 0.15, 0.7
"""What still is the same answer: difference of probability, and Dice of what is marked."""


@dataclass(frozen=True)
class Alike:
    """How a scan that is stored in another way compares.

    Attributes
    ----------
    same_class : the predicted one.
    apart : difference of the probabilities of the class that the scan as it is was called.
    dice : of what is marked; 1 where nothing is on either.
    """

    same_class: bool
    apart: float
    dice: float

    @property
    def same_answer(self) -> bool:
        """By class and probability."""
        return self.same_class and self.apart <= _PROBABILITY

    @property
    def same_marks(self) -> bool:
        """By Dice."""
        return self.dice >= _DICE


def stored_otherwise(volume: Volume) -> Iterator[tuple[str, Volume]]:
    """Names and scans; in-plane spacing stays but where it becomes 1 mm, slices are half as thick, or half as much
    again."""
    geometry = volume.geometry
    across = geometry.acquisition_axis
    thin, thick = (tuple(s * (factor if n == across else 1) for n, s in enumerate(geometry.spacing))
                   for factor in (0.5, 1.5))  # fmt: skip
    grids = ((1.0, 1.0, 1.0), 0.0), (thin, 0.0), (thick, 0.0), (geometry.spacing, 10.0)
    for name, (spacing, degrees) in zip(_NAMES, grids, strict=False):
        yield name, resampled(volume, spacing, degrees)
    yield _NAMES[-1], cut_to_head(volume)


def resampled(volume: Volume, spacing: Sequence[float], degrees: float) -> Volume:
    """The scan on a grid of its own that covers it, turned about the patient's long axis."""
    size = np.ceil(np.array(volume.geometry.extent_mm) / spacing).astype(int).tolist()
    direction = Rotation.from_euler("z", degrees, degrees=True).as_matrix() @ volume.geometry.direction_lps
    middle = volume.geometry.points_to_ras([[(n - 1) / 2 for n in volume.geometry.size_ijk]])[0] * (-1.0, -1.0, 1.0)
    x, y, z = (middle - direction @ ((np.array(size) - 1) / 2 * spacing)).tolist()
    geometry = Geometry((size[0], size[1], size[2]), (x, y, z), (spacing[0], spacing[1], spacing[2]), direction)
    values = carried(volume.array, volume.geometry, geometry, np.eye(4), outside=float(volume.array.min()))
    return Volume(np.asarray(values, np.float32), geometry, volume.name)


def compare(first: Result, other: Result) -> Alike:
    """Two results on the same scan, whose grids may differ: on the grid of the first."""
    marks = (other.labels > 0).astype(np.uint8)
    there = carried(marks, other.geometry, first.geometry, np.eye(4), nearest=True).astype(bool)
    apart = abs(other.probabilities[first.predicted] - first.probabilities[first.predicted])
    return Alike(other.predicted == first.predicted, apart, dice(there, first.labels > 0))


def measure(path: Path, bundle: Bundle) -> dict[str, Alike]:
    """Of one scan, each way to store it."""
    volume, options = read_volume(path), Options(device="cpu")
    first = localize(volume, bundle, options)
    return {name: compare(first, localize(other, bundle, options)) for name, other in stored_otherwise(volume)}


def main(
    model: Annotated[str, typer.Argument(help="Name or folder of a model.")],
    scans: Annotated[list[Path], typer.Argument(help="Files of scans.")],
) -> None:
    """Print a row for each way to store a scan."""
    bundle = load_bundle(model)
    found = [measure(path, bundle) for path in scans]
    rows = []
    for name in _NAMES:
        some = [one[name] for one in found]
        answers, marks = sum(one.same_answer for one in some), sum(one.same_marks for one in some)
        median, low = np.percentile([one.dice for one in some], [50, 10])
        rows.append((name, f"{answers} of {len(some)}", f"{marks} of {len(some)}", f"{median:.2f}", f"{low:.2f}"))
    typer.echo("\n".join(table(_HEAD, rows)))


if __name__ == "__main__":
    typer.run(main)
