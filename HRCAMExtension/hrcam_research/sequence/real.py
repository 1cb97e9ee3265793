"""Real slices of known sequence that may teach.

`t1ce_slices` is T1-CE. `no_tumor` is T1 of one source, but for the slices that `no_tumor_sequences.csv` names: they are
from many, their sequences were told by eye, those that it calls unsure teach nothing, and the CT slices of a few
patients are held for evaluation.
"""

from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from hrcam.scan.volume import read_volume
from hrcam.sequence.network import SEQUENCES
from hrcam.sequence.slices import SIZE, slices_of

from ..evaluate.data import read_table

_NAMED = "no_tumor_sequences.csv"
_SHARES = {"FLAIR": 0.34, "T1": 0.17, "CT": 0.08, "T1-CE": 0.04}
_ONE_SOURCE_SHARE, _TUMOR_SHARE = 0.09, 0.28


class Known(NamedTuple):
    """An image of `no_tumor`, its sequence, and whether it is one of the many sources'."""

    path: Path
    sequence: str
    named: bool


class Slices(NamedTuple):
    """Slices of one sequence, N×SIZE×SIZE in [0, 1.5]; its index in `SEQUENCES`; how often they are drawn."""

    pixels: npt.NDArray[np.float16]
    sequence: int
    share: float


def real_slices(data: Path) -> list[Slices]:
    """All that may teach, one entry for each source and sequence."""
    known = no_tumor(data, "train")
    found = [
        Slices(_read([one.path for one in known if one.named and one.sequence == sequence]),
               SEQUENCES.index(sequence), share)
        for sequence, share in _SHARES.items()
    ]
    one_source = _read([one.path for one in known if not one.named])
    found.append(Slices(one_source, SEQUENCES.index("T1"), _ONE_SOURCE_SHARE))
    return [*found, Slices(_read(tumor_slices(data, "train")), SEQUENCES.index("T1-CE"), _TUMOR_SHARE)]


def no_tumor(data: Path, use: str) -> list[Known]:
    """Images of `no_tumor` for one use, "train" or "held".

    Raises
    ------
    InputError : the folder or its table is missing.
    """
    text = resources.files(__package__).joinpath(_NAMED).read_text(encoding="utf-8")
    named = {row["image"]: row for row in csv.DictReader(text.splitlines())}
    usual = {"sequence": "T1", "use": "train"}
    paths = [data / "no_tumor" / row["image"] for row in read_table(data / "no_tumor")]
    rows = [(path, named.get(path.name, usual)) for path in paths]
    return [Known(path, row["sequence"], path.name in named) for path, row in rows if row["use"] == use]


def tumor_slices(data: Path, split: str) -> list[Path]:
    """Images of `t1ce_slices` of one split, "train" or "val"."""
    folder = data / "t1ce_slices"
    return [folder / row["image"] for row in read_table(folder) if row["split"] == split]


def _read(paths: list[Path]) -> npt.NDArray[np.float16]:
    """Pictures state no spacing: each fills the size, as `hrcam.sequence` sees it."""
    return np.stack([slices_of(read_volume(path))[0, :SIZE, :SIZE] for path in paths]).astype(np.float16)
