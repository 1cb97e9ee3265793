"""The maps of a cohort in one picture."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ..output.drawing import BACKGROUND, DOTS_PER_INCH, TEXT, frame, slice_extent, write
from ..run.result import FloatArray
from ..scan.geometry import PLANES
from ..scan.sampling import displayed
from .run import Cohort


def draw_cohort(cohort: Cohort) -> Figure:
    """Means of evidence, and t of each difference, in three planes through the place where the means differ most.

    Planes of which the grid has a single slice are left out. One color scale for all means, one for all t.
    """
    rows: list[tuple[str, FloatArray, str, float]] = []
    top = max(float(np.abs(maps.mean).max()) for maps in cohort.maps.values())
    for name, maps in cohort.maps.items():
        rows.append((f"{name}: mean (n {int(maps.count.max())})", maps.mean.astype(np.float32), "RdBu_r", top))
    greatest = max((float(np.abs(one.t).max()) for one in cohort.differences), default=1.0)
    for one in cohort.differences:
        rows.append((f"t: {one.groups[0]} − {one.groups[1]}", one.t, "PuOr_r", greatest))
    at = cohort.differences[0].peak_ras if cohort.differences else None
    middle = [(n - 1) / 2 for n in cohort.grid.size_ijk]
    ijk = np.rint(cohort.grid.points_from_ras(at) if at else middle).astype(int)
    figure = Figure(figsize=(13, 4.0 * len(rows)), dpi=DOTS_PER_INCH, facecolor=BACKGROUND)
    planes = [plane for plane in reversed(PLANES) if min(displayed(rows[0][1], cohort.grid, plane).shape[1:]) > 1]
    for row, (title, array, colors, scale) in enumerate(rows):
        for column, plane in enumerate(planes):
            axes = figure.add_subplot(len(rows), len(planes), row * len(planes) + column + 1)
            index = int(ijk[cohort.grid.axis_of(plane)])
            image = axes.imshow(displayed(array, cohort.grid, plane)[index], cmap=colors, vmin=-max(scale, 1e-6),
                                vmax=max(scale, 1e-6), extent=slice_extent(cohort.grid, plane))
            frame(axes, plane)
            if column == 0:
                write(axes, 0.0, 1.05, title, size=13, weight="bold", transform=axes.transAxes)
            if column == len(planes) - 1:
                bar = figure.colorbar(image, ax=axes, fraction=0.04)
                bar.ax.tick_params(colors=TEXT, labelsize=9)
    return figure
