"""The maps of a cohort in one picture."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ..align.transforms import carried
from ..output.drawing import BACKGROUND, DOTS_PER_INCH, TEXT, frame, slice_extent, write
from ..place.atlas import LEVELS, atlas_grid, load_atlas, unfolded
from ..place.structures import STRUCTURES
from ..run.result import OUTSIDE_THE_BRAIN, FloatArray
from ..scan.geometry import PLANES
from ..scan.sampling import display_spacing, displayed
from .maps import MNI
from .run import Cohort

_LIKELY = 0.5
_OUTLINE = "#6b7680"


def anatomy(cohort: Cohort) -> list[FloatArray]:
    """Probability of brain and of ventricles, KJI on the cohort's grid; none where this is not the template's."""
    if cohort.space != MNI:
        return []
    shares = dict(zip(STRUCTURES, load_atlas().astype(np.float32) / LEVELS, strict=True))
    brain = np.minimum(sum(shares.values()), 1) - shares[OUTSIDE_THE_BRAIN]  # rounded shares sum to about 1
    return [carried(unfolded(part), atlas_grid(), cohort.grid, np.eye(4)).astype(np.float32)
            for part in (brain, shares["lateral ventricle"])]


def draw_cohort(cohort: Cohort) -> Figure:
    """Means of evidence, and t of each difference, in three planes through the place where the means differ most.

    In the template's space the outlines of brain and ventricles are drawn, as the atlas has them.
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
    parts = anatomy(cohort)
    for row, (title, array, colors, scale) in enumerate(rows):
        for column, plane in enumerate(planes):
            axes = figure.add_subplot(len(rows), len(planes), row * len(planes) + column + 1)
            index = int(ijk[cohort.grid.axis_of(plane)])
            image = axes.imshow(displayed(array, cohort.grid, plane)[index], cmap=colors, vmin=-max(scale, 1e-6),
                                vmax=max(scale, 1e-6), extent=slice_extent(cohort.grid, plane))
            down, right = display_spacing(cohort.grid, plane)
            for part in parts:
                shown = displayed(part, cohort.grid, plane)[index]
                if shown.min() < _LIKELY < shown.max():
                    axes.contour(np.arange(shown.shape[1]) * right, np.arange(shown.shape[0]) * down, shown, [_LIKELY],
                                 colors=_OUTLINE, linewidths=1)
            frame(axes, plane)
            if column == 0:
                write(axes, 0.0, 1.05, title, size=13, weight="bold", transform=axes.transAxes)
            if column == len(planes) - 1:
                bar = figure.colorbar(image, ax=axes, fraction=0.04)
                bar.ax.tick_params(colors=TEXT, labelsize=9)
    return figure
