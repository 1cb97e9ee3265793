"""The cases of a cohort: finished results of one model, and the group that each belongs to."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name

from ..align.transforms import Matrix
from ..batch.resume import read_document
from ..errors import InputError
from ..output.writers import RESULT_SUFFIX
from ..run.result import FloatArray
from ..scan.geometry import LPS_TO_RAS, Geometry
from ..scan.io.formats import stem_of
from ..words import shown

FEWEST = 2
"""Cases a group needs: of one nothing varies."""


_COLUMNS = (("case", "group"), ("path", "label"))
"""Of a table of groups: case and group."""


@dataclass(frozen=True, eq=False)
class Member:
    """One case.

    Parameters
    ----------
    name, group : whose it is.
    document : its result's JSON.
    map_path : its evidence map.
    """

    name: str
    group: str
    document: Mapping[str, Any]
    map_path: Path

    @property
    def geometry(self) -> Geometry:
        """The grid of its map."""
        return Geometry(**self.document["geometry"])

    @property
    def template_to_scan(self) -> Matrix | None:
        """4x4, LPS mm, where the scan was brought to the template; None where it was not."""
        record = self.document["provenance"].get("place")
        named = record and all(region.get("place") for region in self.document["regions"])
        if not named:
            return None
        return np.asarray(LPS_TO_RAS @ np.asarray(record["template_to_scan_ras"], np.float64) @ LPS_TO_RAS)

    def read_map(self) -> FloatArray:
        """Its evidence, float32 KJI, logits."""
        try:
            array = sitk.GetArrayFromImage(sitk.ReadImage(str(self.map_path), sitk.sitkFloat32))
        except RuntimeError:
            raise InputError(f'The map "{shown(self.map_path)}" cannot be read.', "Run the batch again.") from None
        if array.shape != self.geometry.shape_kji:
            raise InputError(f'The map "{shown(self.map_path)}" does not lie on the grid that its result states.',
                             "Run the batch again.")
        return np.asarray(array)


def read_groups(table: Path) -> dict[str, str]:
    """Case to group from a CSV table with the columns ``case`` and ``group``.

    A table of images as ``hrcam simulate`` writes and ``hrcam train`` reads it is taken too: the case is the name of
    the file in ``path``, without its end, and its group the ``label``.

    Raises ``InputError`` where it cannot be read, or a case stands twice with different groups.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise InputError(f'The table "{shown(table)}" cannot be read.', "Give a CSV file in UTF-8.") from None
    columns = next((pair for pair in _COLUMNS if rows and set(pair) <= set(rows[0])), None)
    if columns is None:
        raise InputError(f'The table "{shown(table)}" has no columns "case" and "group".',
                         "Write one row a case: its name, as in the results, and its group.")
    groups: dict[str, str] = {}
    for row in rows:
        case, group = ((row[column] or "").strip() for column in columns)
        case = case if columns[0] == "case" else stem_of(Path(case))
        if not case or not group:
            continue
        if groups.setdefault(case, group) != group:
            raise InputError(f'The case "{case}" is in two groups.', "Correct the table.")
    return groups


def find_members(results: Path, groups: Mapping[str, str]) -> tuple[list[Member], list[str]]:
    """The results of a folder that have a group, in order of their names; and what was left out, for people.

    Raises
    ------
    InputError : no result, several models or shown classes, or a group of fewer than `FEWEST` cases.
    """
    members: list[Member] = []
    notes: list[str] = []
    ungrouped = damaged = 0
    for path in sorted(results.glob(f"*{RESULT_SUFFIX}")):
        name = path.name.removesuffix(RESULT_SUFFIX)
        document = read_document(path)
        if document is None or "map" not in document["files"]:
            damaged += 1
        elif name not in groups:
            ungrouped += 1
        else:
            members.append(Member(name, groups[name], document, path.parent / document["files"]["map"]))
    absent = len(set(groups) - {member.name for member in members})
    for count, words in ((ungrouped, "results stand in no group"), (damaged, "results are damaged or have no map"),
                         (absent, "cases of the table have no result")):
        if count:
            notes.append(f"{count} {words}; they are left out.")
    _refuse_mixture(members, results)
    return members, notes


def _refuse_mixture(members: list[Member], results: Path) -> None:
    if not members:
        raise InputError(f'"{shown(results)}" holds no result of a case that the table names.',
                         "Run hrcam batch first; names of cases are those of its files.")
    models = {member.document["provenance"]["model"]["sha256"] for member in members}
    classes = {member.document["shown_class"] for member in members}
    if len(models) > 1:
        raise InputError("The results were made by several models.", "Run the batch again with one of them.")
    if len(classes) > 1:
        raise InputError(f"The results show several classes: {', '.join(sorted(classes))}.",
                         "Run the batch again with --class: maps of different classes cannot be added.")
    small = [group for group, count in Counter(member.group for member in members).items() if count < FEWEST]
    if small:
        raise InputError(f'The group "{small[0]}" has fewer than {FEWEST} cases.', "Add some, or leave it out.")
