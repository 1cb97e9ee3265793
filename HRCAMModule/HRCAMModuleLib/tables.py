"""What the panel's tables have in common: their look, and how a row is filled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt

ROW_HEIGHT = 22
_ROWS_SHOWN = 6
"""Further ones are scrolled to: what comes below stays on the screen."""


def prepareTable(table: Any, headers: Sequence[str]) -> None:
    """Give a QTableWidget its columns, and rows of one line without numbers."""
    table.setColumnCount(len(headers))
    table.setHorizontalHeaderLabels(headers)
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
    table.setWordWrap(False)
    table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)


def fillRow(table: Any, row: int, texts: Sequence[str], hint: str, icon: Any = None) -> None:
    """Put texts into a row, with one hint for all of them, and an icon before the second."""
    for column, text in enumerate(texts):
        item = qt.QTableWidgetItem(text)
        item.setToolTip(hint)
        if column == 1 and icon is not None:
            item.setIcon(icon)
        table.setItem(row, column, item)


def fitHeight(table: Any, rows: int) -> None:
    """Make a table as high as its rows, of which it shows a few at once."""
    shown = min(max(1, rows), _ROWS_SHOWN)
    table.setFixedHeight(table.horizontalHeader().sizeHint.height() + shown * ROW_HEIGHT + 4)


def colorIcon(color: Sequence[float]) -> Any:
    """A square of a color, rgb 0–1."""
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(*(int(255 * float(v)) for v in color)))
    return qt.QIcon(pixmap)
