"""The table of regions: level, volume, peak and place; choosing a row jumps there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _

from .steps import Steps
from .tables import colorIcon, fillRow, fitHeight, prepareTable

_ROWS_A_STEP = 5
_LOCATION, _PLACE = 4, 5


def anatomicalPlace(ras: Sequence[float]) -> str:
    """World RAS in words that radiologists use, mm.

    Example
    -------
    >>> anatomicalPlace((-31.2, 4.0, 57.9))
    'L 31, A 4, S 58'
    """
    letters = (("R", "L"), ("A", "P"), ("S", "I"))
    sides = ((pair[value < 0], abs(value)) for pair, value in zip(letters, ras, strict=True))
    return ", ".join(f"{side} {distance:.0f}" for side, distance in sides)


def placeWords(region: dict) -> str:
    """Side and structure in which a region lies; empty where that is not known."""
    from hrcam.run.result import Place

    place = region.get("place")
    return Place(**{**place, "mni_ras": tuple(place["mni_ras"])}).words if place else ""


def spelled(units: float) -> str:
    """Evidence in units, as the engine spells it everywhere."""
    from hrcam.run.units import spell_units

    return spell_units(units)


class RegionsTable:
    """Shows regions in a QTableWidget.

    Parameters
    ----------
    table : the widget.
    onChosen : called with the region's label (1, 2, …) when the user clicks a row or walks to it with the keyboard.
    """

    def __init__(self, table: Any, onChosen: Callable[[int], None]) -> None:
        self._table, self._onChosen = table, onChosen
        self._labels: list[int] = []
        self._filling = False
        self._unit = 1.0
        headers = [_("#"), _("Level"), _("ml"), _("Evidence"), _("Location (mm)"), _("Place")]
        prepareTable(table, headers)
        table.horizontalHeader().setStretchLastSection(True)
        table.connect("cellClicked(int,int)", self._clicked)
        table.connect("currentCellChanged(int,int,int,int)", self._walked)

    def showSteps(
        self, regions: Sequence[dict], colors: dict[str, Sequence[float]], unit: float = 1.0, keepRow: bool = False
    ) -> Steps:
        """Fill the table, a few rows a step.

        ``colors`` gives each level's color (rgb 0–1), ``unit`` the logits of evidence 1.0; with ``keepRow`` the row
        that was chosen stays so.
        """
        self._unit = unit
        icons = {level: colorIcon(color) for level, color in colors.items()}
        self._filling = True
        row = int(self._table.currentRow())
        former = self._labels[row] if 0 <= row < len(self._labels) and keepRow else None
        try:
            self._labels = [int(region["label"]) for region in regions]
            self._table.setRowCount(0)
            self._table.setRowCount(len(regions))
            for row, region in enumerate(regions):
                self._fillRow(row, region, icons.get(region["level"]))
                if row % _ROWS_A_STEP == _ROWS_A_STEP - 1:
                    yield row / len(regions)
            places = [bool(region.get("place")) for region in regions]
            self._table.setColumnHidden(_PLACE, not any(places))
            self._table.setColumnHidden(_LOCATION, bool(places) and all(places))  # it is in the hints then
            for column in range(_PLACE):
                self._table.resizeColumnToContents(column)
            fitHeight(self._table, len(regions))
            self._table.setCurrentCell(self._labels.index(former) if former in self._labels else -1, 0)
        finally:
            self._filling = False

    def text(self) -> str:
        """The table as tab-separated lines, to paste into a spreadsheet; the location in it is never left out."""
        columns = range(_PLACE if self._table.isColumnHidden(_PLACE) else self._table.columnCount)
        headers = [self._table.horizontalHeaderItem(column).text() for column in columns]
        rows = [[self._table.item(row, column).text() for column in columns] for row in range(self._table.rowCount)]
        return "\n".join("\t".join(line) for line in (headers, *rows))

    def _fillRow(self, row: int, region: dict, icon: Any) -> None:
        texts = (str(region["label"]), str(region["level"]), f"{region['volume_ml']:.2f}",
                 spelled(region["peak"] / self._unit), anatomicalPlace(region["centroid_ras"]), placeWords(region))
        hint = _("Peak {peak:.2f} logits, mean {mean:.2f}. Center R {r:.1f}, A {a:.1f}, S {s:.1f} mm; {plane} slice "
                 "{number}, counted from 1.").format(
            peak=region["peak"], mean=region["mean"], r=region["centroid_ras"][0], a=region["centroid_ras"][1],
            s=region["centroid_ras"][2], plane=region["plane"], number=region["slice_index"] + 1)
        if region.get("place"):
            x, y, z = region["place"]["mni_ras"]
            hint += " " + _("{share:.0%} of it lies in {place}; MNI {x:.0f}, {y:.0f}, {z:.0f} mm.").format(
                share=region["place"]["probability"], place=texts[_PLACE], x=x, y=y, z=z)
        fillRow(self._table, row, texts, hint, icon)

    def _clicked(self, row: int, _column: int) -> None:
        self._choose(row)

    def _walked(self, row: int, _column: int, formerRow: int, _formerColumn: int) -> None:
        if row != formerRow:
            self._choose(row)

    def _choose(self, row: int) -> None:
        if not self._filling and 0 <= row < len(self._labels):
            self._onChosen(self._labels[row])
