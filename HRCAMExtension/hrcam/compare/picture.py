"""One picture of a comparison: both dates side by side, what changed between them, and how sure that is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Patch

from ..output.drawing import (
    ACCENT,
    BACKGROUND,
    DISPLAY_SCALING,
    DOTS_PER_INCH,
    FAINT,
    PANEL,
    TEXT,
    draw_gray,
    frame,
    head_box,
    milliliters,
    outline,
    plain_axes,
    shorten,
    slice_extent,
    write,
    write_caption,
    write_note,
    write_png,
)
from ..run.result import EvidenceLevel, LabelArray, percent
from ..run.units import in_units, name_levels, spell_units
from ..scan.geometry import PLANES
from ..scan.intensity import Scale, find_scale, scale_of
from ..scan.sampling import displayed
from ..words import readable
from .calls import CALLS, STABLE, spelled_call
from .changes import RegionChange
from .comparison import Comparison, summary_of
from .repeatability import diameter_of

COLUMNS = 3
_OPACITY = 0.38
_CHANGE_COLORS = "RdBu_r"


def write_picture(path: str | os.PathLike[str], comparison: Comparison, provenance: Mapping[str, str]) -> None:
    """Write the picture as PNG, its provenance in the file's own texts; see `draw_comparison`."""
    write_png(path, draw_comparison(comparison), provenance)


def draw_comparison(comparison: Comparison) -> Figure:
    """Draw slices through the regions that changed most: earlier above, later below, change of evidence under both.

    The earlier scan is shown where it lies on the later one, in radiological orientation and true proportions. Regions
    are filled in the color of their call; the thin line is where the other date's region was.
    """
    figure = Figure(figsize=(15, 12), dpi=DOTS_PER_INCH, facecolor=BACKGROUND)
    _header(figure, comparison)
    grid = GridSpec(3, COLUMNS, left=0.05, right=0.71, top=0.85, bottom=0.085, wspace=0.03, hspace=0.03, figure=figure)
    later = comparison.later_scan
    box = head_box(later)
    scales = find_scale(comparison.earlier_scan, DISPLAY_SCALING), scale_of(later.ordered, DISPLAY_SCALING)
    for column, change in enumerate(_shown(comparison)):
        _draw_column(figure, grid, column, change, comparison, box, scales)
    if not comparison.changes:
        write(figure, 0.38, 0.46, "No evidence above the lowest level on either date", size=14, ha="center",
              color="#9fd39f")
    side = GridSpec(3, 1, left=0.77, right=0.98, top=0.85, bottom=0.07, hspace=0.35, height_ratios=[3, 6, 4],
                    figure=figure)
    _draw_calls(figure.add_subplot(side[0]), comparison)
    _draw_sizes(figure.add_subplot(side[1]), comparison)
    _draw_certainty(figure.add_subplot(side[2]), comparison)
    write_caption(figure, comparison.provenance, 0.022)
    return figure


def _header(figure: Figure, comparison: Comparison) -> None:
    write(figure, 0.02, 0.955, shorten(comparison.later.case, 60), size=21, weight="bold")
    write(figure, 0.98, 0.955, shorten(summary_of(comparison), 60), size=17, weight="bold", ha="right", color=ACCENT)
    dates = []
    for name, result, taken in (("earlier", comparison.earlier, comparison.earlier_acquisition),
                                ("later", comparison.later, comparison.later_acquisition)):
        when = taken.shown or shorten(result.case, 30)
        dates.append(f"{name} ({when}): {readable(result.predicted)} {percent(result.probabilities[result.predicted])}")
    write(figure, 0.02, 0.925, f"Evidence for {readable(comparison.later.shown_class)} "
          f"({name_levels(comparison.later.evidence_levels)})   ·   " + "   ·   ".join(dates), size=12, color=FAINT)
    if comparison.warnings:
        write_note(figure, comparison.warnings[0], 0.053)


def _shown(comparison: Comparison) -> list[RegionChange]:
    """Changed regions before stable ones, the strongest first; where columns are left, the first in other planes."""
    shown = sorted(comparison.changes, key=lambda change: (change.call == STABLE, change.number))[:COLUMNS]
    geometry = comparison.later.geometry
    for plane in reversed(PLANES):
        if shown and len(shown) < COLUMNS and plane != shown[0].plane:
            axis = geometry.axis_of(plane)
            index = int(np.rint(geometry.points_from_ras(shown[0].peak_ras)[axis]))
            shown.append(replace(shown[0], plane=plane, slice_index=min(max(index, 0), geometry.size_ijk[axis] - 1)))
    return shown


def _draw_column(
    figure: Figure, grid: GridSpec, column: int, change: RegionChange, comparison: Comparison,
    box: list[tuple[int, int]], scales: tuple[Scale, Scale],
) -> None:
    later = comparison.later_scan
    geometry, plane, index = later.geometry, change.plane, change.slice_index
    calls = displayed(comparison.change_labels, geometry, plane)[index]
    before = displayed(comparison.earlier_labels, geometry, plane)[index] > 0
    after = displayed(comparison.later.labels, geometry, plane)[index] > 0
    rows = ((comparison.earlier_scan, before, after, "earlier"), (later.array, after, before, "later"))
    for row, ((scan, own, other, name), scale) in enumerate(zip(rows, scales, strict=True)):
        axes = figure.add_subplot(grid[row, column])
        draw_gray(axes, scan, geometry, plane, index, (scale.low, 1.08 * scale.high), box)
        axes.imshow(_filled(np.where(own, calls, 0).astype(np.uint8)), extent=slice_extent(geometry, plane),
                    interpolation="nearest", aspect="auto")
        outline(axes, own, geometry, plane, "white", 0.8)
        outline(axes, other & ~own, geometry, plane, "white", 0.6, "dotted")
        frame(axes, plane)
        _name_row(axes, name, column)
        if row == 0:
            _title(axes, change, comparison.later.evidence_levels)
    axes = figure.add_subplot(grid[2, column])
    draw_gray(axes, later.array, geometry, plane, index, (scales[1].low, 1.3 * scales[1].high), box)
    _draw_change(axes, comparison, plane, index)
    frame(axes, plane)
    _name_row(axes, "evidence: red more, blue less", column)


def _draw_change(axes: Axes, comparison: Comparison, plane: str, index: int) -> None:
    """Red where evidence rose, blue where it fell; what is below the lowest level's threshold is faint."""
    values = displayed(comparison.change, comparison.later.geometry, plane)[index]
    top = max(float(np.abs(comparison.change).max()), 1e-6)
    alpha = np.clip(np.abs(values) / comparison.later.evidence_levels[0].threshold, 0, 1) * 0.75
    axes.imshow(values, cmap=_CHANGE_COLORS, vmin=-top, vmax=top, alpha=alpha, interpolation="nearest", aspect="auto",
                extent=slice_extent(comparison.later.geometry, plane))


def _name_row(axes: Axes, name: str, column: int) -> None:
    if column == 0:
        axes.text(-0.04, 0.5, name, rotation=90, va="center", ha="center", transform=axes.transAxes, color=TEXT,
                  fontsize=12)


def _title(axes: Axes, change: RegionChange, levels: Sequence[EvidenceLevel]) -> None:
    height = axes.get_position().height
    r, a, s = change.peak_ras
    where = f"{'R' if r >= 0 else 'L'} {abs(r):.0f} {'A' if a >= 0 else 'P'} {abs(a):.0f} " \
            f"{'S' if s >= 0 else 'I'} {abs(s):.0f} mm"
    peaks = " to ".join("–" if peak is None else spell_units(in_units(peak, levels))
                        for peak in (change.peak_earlier, change.peak_later))
    call = spelled_call(change.call, change.beyond_repeatability)
    write(axes, 0.0, 1 + 0.030 / height, f"{change.number}: {call}, evidence {peaks}", size=12, weight="bold",
          transform=axes.transAxes, color=to_hex(CALLS[change.call]))
    sizes = f"{milliliters(change.volume_earlier_ml)} to {milliliters(change.volume_later_ml)}"
    if change.place:  # both are wider than a column
        where = change.place.words
    write(axes, 0.0, 1 + 0.010 / height, f"{sizes} · {change.plane} {change.slice_index + 1} · {where}",
          size=8.5, color=FAINT, transform=axes.transAxes)


def _filled(calls: LabelArray) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    table = np.zeros((len(CALLS) + 1, 4), np.float32)
    for number, color in enumerate(CALLS.values(), start=1):
        table[number] = (*color, _OPACITY)
    return np.asarray(table[calls])


def _draw_calls(axes: Axes, comparison: Comparison) -> None:
    patches = [Patch(color=color, label=f"{comparison.count(call)} {call}") for call, color in CALLS.items()]
    axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(-0.02, 1.0), frameon=False, labelcolor=TEXT,
                fontsize=11, handlelength=1.2, handleheight=1.1, borderaxespad=0.0)
    axes.set_xticks([])
    axes.set_yticks([])
    plain_axes(axes, "Regions")


def _draw_sizes(axes: Axes, comparison: Comparison) -> None:
    """Each region's diameter on both dates; the gray band is how far two runs on one scan differ."""
    axes.set_facecolor(PANEL)
    limit = comparison.repeatability.diameter_mm
    for change in comparison.changes:
        sizes = diameter_of(change.volume_earlier_ml), diameter_of(change.volume_later_ml)
        axes.fill_between([0, 1], [sizes[0] - limit] * 2, [sizes[0] + limit] * 2, color=FAINT, alpha=0.08, linewidth=0)
        axes.plot([0, 1], sizes, color=CALLS[change.call], marker="o", markersize=4, linewidth=1.5)
        axes.annotate(str(change.number), (1, sizes[1]), xytext=(6, 0), textcoords="offset points", va="center",
                      color=CALLS[change.call], fontsize=9)
    axes.set_xlim(-0.15, 1.2)
    axes.set_ylim(bottom=0)
    axes.set_xticks([0, 1], ["earlier", "later"], color=TEXT, fontsize=10)
    axes.tick_params(colors=FAINT, labelsize=9, length=3)
    plain_axes(axes, "Diameter of a ball as large, mm")


def _draw_certainty(axes: Axes, comparison: Comparison) -> None:
    alignment, limits = comparison.alignment, comparison.repeatability
    regions = "1 region" if limits.regions == 1 else f"{limits.regions} regions"
    measured = f"measured on {regions} of these scans" if limits.regions else "the usual amount"
    lines = [
        f"Scans: {alignment.method}",
        f"Registered back: {alignment.agreement_mm:.1f} mm apart",
        f"Seen in both: {alignment.common:.0%} of the head",
        f"Repeatability: {limits.diameter_mm:.1f} mm in diameter",
        f"  ({measured})",
    ]
    for row, line in enumerate(lines):
        write(axes, 0.0, 0.9 - 0.16 * row, line, size=10.5, transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])
    plain_axes(axes, "How sure")
