"""The table of regions: level, volume, peak and place; choosing a row jumps there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from .steps import Steps

_ROWS_A_STEP = 5


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
        table.setColumnCount(5)
        table.setHorizontalHeaderLabels([_("#"), _("Level"), _("Volume (ml)"), _("Peak"), _("Location (mm)")])
        table.verticalHeader().setVisible(False)
        table.horizontalHeader().setStretchLastSection(True)
        table.connect("cellClicked(int,int)", self._clicked)
        table.connect("currentCellChanged(int,int,int,int)", self._walked)

    def showSteps(self, regions: Sequence[dict], colors: dict[str, Sequence[float]]) -> Steps:
        """Fill the table, a few rows a step; ``colors`` gives each level's colour (rgb 0–1)."""
        icons = {level: _icon(color) for level, color in colors.items()}
        self._filling = True
        try:
            self._labels = [int(region["label"]) for region in regions]
            self._table.setRowCount(0)
            self._table.setRowCount(len(regions))
            for row, region in enumerate(regions):
                self._fillRow(row, region, icons.get(region["level"]))
                if row % _ROWS_A_STEP == _ROWS_A_STEP - 1:
                    yield row / len(regions)
            for column in range(4):
                self._table.resizeColumnToContents(column)
            self._table.setCurrentCell(-1, -1)
        finally:
            self._filling = False

    def _fillRow(self, row: int, region: dict, icon: Any) -> None:
        texts = (str(region["label"]), str(region["level"]), f"{region['volume_ml']:.2f}", f"{region['peak']:.2f}",
                 anatomicalPlace(region["centroid_ras"]))
        hint = _("Mean evidence {mean:.2f}. Center R {r:.1f}, A {a:.1f}, S {s:.1f} mm; {plane} slice {index}.").format(
            mean=region["mean"], r=region["centroid_ras"][0], a=region["centroid_ras"][1],
            s=region["centroid_ras"][2], plane=region["plane"], index=region["slice_index"] + 1)
        for column, text in enumerate(texts):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(hint)
            if column == 1 and icon is not None:
                item.setIcon(icon)
            self._table.setItem(row, column, item)

    def _clicked(self, row: int, _column: int) -> None:
        self._choose(row)

    def _walked(self, row: int, _column: int, formerRow: int, _formerColumn: int) -> None:
        if row != formerRow:
            self._choose(row)

    def _choose(self, row: int) -> None:
        if not self._filling and 0 <= row < len(self._labels):
            self._onChosen(self._labels[row])


def _icon(color: Sequence[float]) -> Any:
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(*(int(255 * float(v)) for v in color)))
    return qt.QIcon(pixmap)
