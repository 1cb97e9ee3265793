"""One picture of a result that a stranger understands: where the evidence is, for what, and how much of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..run.result import Region, Result, percent
from ..run.units import in_units, spell_units, unit_of
from ..scan.geometry import PLANES
from ..scan.intensity import scale_of
from ..scan.sampling import display_position, display_spacing, displayed
from ..scan.volume import Volume
from ..words import readable
from .drawing import (
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
from .provenance import provenance_of

PANELS = 3
NOTHING_FOUND = "No evidence above the lowest level"
NOTHING_MARKED = "Nothing is marked: see the note"
"""Evidence reaches the levels, and is withheld."""

_TRUTH_LINE: dict[str, Any] = {"color": "white", "linewidth": 1.0, "linestyle": "--"}


@dataclass(frozen=True)
class _View:
    """One slice to be shown: which, why, and the region whose peak it goes through."""

    plane: str
    index: int
    title: str
    detail: str
    region: Region | None

_DETAIL_LENGTH = 46
"""So many letters below a column's title do not reach the next column."""


def write_overview(
    path: str | os.PathLike[str], volume: Volume, result: Result, truth: npt.NDArray[np.bool_] | None = None
) -> None:
    """Write the overview of a result as PNG, its provenance in the file's own texts; see `draw_overview`."""
    write_png(path, draw_overview(volume, result, truth), provenance_of(result))


def draw_overview(volume: Volume, result: Result, truth: npt.NDArray[np.bool_] | None = None) -> Figure:
    """Draw slices through the strongest regions, class probabilities, the levels' legend and evidence per slice.

    Each slice is shown twice, as it is and with the evidence levels in their colors, in radiological orientation and
    true proportions. With fewer than three regions the strongest one is shown in the other planes too; without any the
    middle of the scan is, and the picture says that nothing was found. A single slice is shown large. A known ``truth``
    (KJI, on the volume's grid) is outlined in white.
    """
    views = _views(volume, result)
    figure = Figure(figsize=(15, 9), dpi=DOTS_PER_INCH, facecolor=BACKGROUND)
    _header(figure, result)
    grid = GridSpec(2, PANELS, left=0.02, right=0.70, top=0.83, bottom=0.092, wspace=0.03, hspace=0.03, figure=figure)
    alone = GridSpec(1, 2, left=0.02, right=0.70, top=0.83, bottom=0.092, wspace=0.03, figure=figure)
    window = scale_of(volume.ordered, DISPLAY_SCALING)
    box = head_box(volume)
    for column, view in enumerate(views):
        for row in range(2):
            axes = figure.add_subplot(alone[row] if len(views) == 1 else grid[row, column])
            _draw_slice(axes, volume, result, view, (window.low, 1.08 * window.high), box, overlay=row == 1)
            if truth is not None:
                outline(axes, displayed(truth, volume.geometry, view.plane)[view.index], volume.geometry, view.plane,
                        "white", 1.0, "dashed")
            if row == 0:
                _column_title(axes, view)
    heights = [max(len(result.probabilities), 4), len(result.evidence_levels) + 1, 8]
    side = GridSpec(3, 1, left=0.79, right=0.98, top=0.835, bottom=0.11, hspace=0.4, height_ratios=heights,
                    figure=figure)
    _draw_probabilities(figure.add_subplot(side[0]), result)
    _draw_legend(figure.add_subplot(side[1]), volume, result, truth)
    if len(result.slices) > 1:
        _draw_profile(figure.add_subplot(side[2]), result)
    write_caption(figure, result.provenance, 0.025)
    return figure


def _header(figure: Figure, result: Result) -> None:
    prediction = f"{readable(result.predicted)}  {percent(result.probabilities[result.predicted])}"
    write(figure, 0.02, 0.945, shorten(result.case, 60), size=21, weight="bold")
    write(figure, 0.98, 0.945, prediction, size=21, weight="bold", ha="right", color=ACCENT)
    strongest = f"{len(result.regions)} region{'s' if len(result.regions) != 1 else ''}" if result.regions \
        else _nothing(result)[0].lower() + _nothing(result)[1:]
    planes = {"all": "three planes averaged", "volume": "whole volume"}.get(result.plane, f"{result.plane} slices")
    write(figure, 0.02, 0.905, f"Evidence for {readable(result.shown_class)}: {strongest}   ·   {planes}", size=12,
           color=FAINT)
    write(figure, 0.98, 0.905, "most probable class", size=12, color=FAINT, ha="right")
    if result.warnings:
        write_note(figure, result.warnings[0], 0.062, len(result.warnings) - 1)


def _views(volume: Volume, result: Result) -> list[_View]:
    geometry = volume.geometry
    if not result.regions:
        return _views_of_nothing(volume, result)
    spelled = {region: spell_units(in_units(region.peak, result.evidence_levels))
               for region in result.regions[:PANELS]}
    views = [_region_view(region, region.plane, region.slice_index, spelled[region]) for region in spelled]
    first = result.regions[0]
    ijk = np.rint(geometry.points_from_ras(first.peak_ras)).astype(int)
    for plane in reversed(PLANES):
        axis = geometry.axis_of(plane)
        flat = any(geometry.size_ijk[n] == 1 for n in range(3) if n != axis)
        if len(views) < PANELS and plane != first.plane and not flat:
            views.append(_region_view(first, plane, int(ijk[axis]), spelled[first]))
    return views


def _region_view(region: Region, plane: str, index: int, evidence: str) -> _View:
    r, a, s = region.peak_ras
    where = region.place.words if region.place else (
        f"{'R' if r >= 0 else 'L'} {abs(r):.0f}  {'A' if a >= 0 else 'P'} {abs(a):.0f}  "
        f"{'S' if s >= 0 else 'I'} {abs(s):.0f} mm")
    title = f"Region {region.label}: {region.level} {evidence}, {milliliters(region.volume_ml)}"
    return _View(plane, index, title, shorten(f"{plane} slice {index + 1}  ·  {where}", _DETAIL_LENGTH), region)


def _views_of_nothing(volume: Volume, result: Result) -> list[_View]:
    geometry = volume.geometry
    views = []
    (k, j, i), = [[(start + stop) // 2 for start, stop in head_box(volume)]]
    first = result.plane if result.plane in PLANES else geometry.acquisition_plane
    for plane in (first, *(p for p in reversed(PLANES) if p != first)):
        axis = geometry.axis_of(plane)
        if any(geometry.size_ijk[n] == 1 for n in range(3) if n != axis):
            continue
        index = (i, j, k)[axis]
        title = "Middle of the scan" if geometry.size_ijk[axis] > 1 else "The slice"
        views.append(_View(plane, index, title, f"{plane} slice {index + 1}", None))
    return views


def _draw_slice(
    axes: Axes, volume: Volume, result: Result, view: _View, window: tuple[float, float], box: list[tuple[int, int]],
    overlay: bool,
) -> None:
    geometry = volume.geometry
    draw_gray(axes, volume.array, geometry, view.plane, view.index, window, box)
    if overlay:
        labels = displayed(result.labels, geometry, view.plane)[view.index]
        axes.imshow(_colored(labels, result), extent=slice_extent(geometry, view.plane), interpolation="nearest",
                    aspect="auto")
        for number, level in enumerate(result.evidence_levels, start=1):
            outline(axes, labels >= number, geometry, view.plane, level.color)
        if not result.regions:
            plate = {"facecolor": BACKGROUND, "edgecolor": "none", "alpha": 0.75, "pad": 4.0}
            write(axes, 0.5, 0.04, _nothing(result), size=11, ha="center", transform=axes.transAxes, color="#9fd39f",
                  bbox=plate)
    elif view.region is not None:
        down, right = display_spacing(geometry, view.plane)
        row, column = display_position(geometry, view.plane, geometry.points_from_ras(view.region.peak_ras).tolist())
        rows, columns = displayed(result.labels, geometry, view.plane).shape[1:]
        _crosshair(axes, column * right, row * down, 0.06 * max(rows * down, columns * right))
    frame(axes, view.plane, name_bottom=bool(result.regions) or not overlay)


def _colored(labels: npt.NDArray[np.uint8], result: Result) -> npt.NDArray[np.float32]:
    table = np.zeros((len(result.evidence_levels) + 1, 4), np.float32)
    for number, level in enumerate(result.evidence_levels, start=1):
        table[number] = (*level.color, 0.42)
    return np.asarray(table[labels])


def _crosshair(axes: Axes, x: float, y: float, size: float) -> None:
    for sign in (-1, 1):
        axes.plot([x + sign * 0.6 * size, x + sign * 1.4 * size], [y, y], color=ACCENT, linewidth=1.1)
        axes.plot([x, x], [y + sign * 0.6 * size, y + sign * 1.4 * size], color=ACCENT, linewidth=1.1)


def _column_title(axes: Axes, view: _View) -> None:
    height = axes.get_position().height
    write(axes, 0.0, 1 + 0.028 / height, view.title, size=12, weight="bold", transform=axes.transAxes)
    write(axes, 0.0, 1 + 0.008 / height, view.detail, size=9.5, color=FAINT, transform=axes.transAxes)


def _draw_probabilities(axes: Axes, result: Result) -> None:
    order = sorted(result.probabilities, key=lambda name: result.probabilities[name])
    values = [result.probabilities[name] for name in order]
    colors = [ACCENT if name == result.predicted else "#4a5866" for name in order]
    axes.barh(range(len(order)), [1] * len(order), color=PANEL, height=0.62)
    axes.barh(range(len(order)), values, color=colors, height=0.62)
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    axes.set_yticks(range(len(order)), [readable(name) for name in order], color=TEXT, fontsize=10.5)
    axes.set_ylim(len(order) - max(len(order), 4) - 0.5, len(order) - 0.5)  # two classes: bars as high as four's
    for position, (value, color) in enumerate(zip(values, colors, strict=True)):
        within = value > 0.5  # a long bar holds its own number, which would lie across its end
        write(axes, (value if within else 1) - 0.015, position, percent(value), size=10, ha="right",
              color=BACKGROUND if within and color == ACCENT else TEXT)
    plain_axes(axes, "Class probabilities of the scan")


def _draw_legend(axes: Axes, volume: Volume, result: Result, truth: npt.NDArray[np.bool_] | None) -> None:
    patches: list[Patch | Line2D] = []
    for number, level in reversed(list(enumerate(result.evidence_levels, start=1))):
        ml = float(np.count_nonzero(result.labels >= number)) * volume.geometry.voxel_volume_ml
        amount = milliliters(ml) if volume.spacing_known else f"{np.count_nonzero(result.labels >= number)} pixels"
        label = f"{level.name}   from {spell_units(in_units(level.threshold, result.evidence_levels))}   ({amount})"
        patches.append(Patch(color=to_rgb(level.color), label=label))
    if truth is not None:
        ml = float(np.count_nonzero(truth)) * volume.geometry.voxel_volume_ml
        patches.append(Line2D([], [], **_TRUTH_LINE, label=f"truth   ({milliliters(ml)})"))
    axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(-0.02, 0.98), frameon=False, labelcolor=TEXT,
                fontsize=10.5, handlelength=1.2, handleheight=1.1, borderaxespad=0.0)
    axes.set_xticks([])
    axes.set_yticks([])
    plain_axes(axes, f"Evidence (1.0 is {_logits(_unit(result))} logits)")


def _draw_profile(axes: Axes, result: Result) -> None:
    index = [one.index + 1 for one in result.slices]
    evidence = [in_units(one.evidence if one.peak is None else one.peak, result.evidence_levels)
                for one in result.slices]
    axes.set_facecolor(PANEL)
    axes.axhline(0, color=FAINT, linewidth=0.7)
    axes.fill_between(index, evidence, 0, color=ACCENT, alpha=0.22, linewidth=0)
    axes.plot(index, evidence, color=ACCENT, linewidth=1.6, marker="o" if len(index) < 3 else "")
    for level in result.evidence_levels:
        at = in_units(level.threshold, result.evidence_levels)
        if at <= 1.1 * max(evidence):
            axes.axhline(at, color=level.color, linewidth=0.8)
    plane = result.plane if result.plane in PLANES else result.geometry.acquisition_plane
    colors = {level.name: level.color for level in result.evidence_levels}
    marked: dict[int, list[Region]] = {}  # regions of (nearly) the same slice share a mark, strongest first
    apart = max(1, len(index) // 20)
    for region in result.regions[:PANELS]:
        if region.plane == plane:
            number = region.slice_index + 1
            near = next((at for at in marked if abs(at - number) < apart), number)
            marked.setdefault(near, []).append(region)
    for at, regions in marked.items():
        color = colors[regions[0].level]
        axes.axvline(at, color=color, linewidth=1.1, linestyle=(0, (3, 2)))
        axes.annotate(", ".join(str(region.label) for region in regions), (at, 1.0), xycoords=("data", "axes fraction"),
                      xytext=(0, 3), textcoords="offset points", ha="center", color=color, fontsize=9.5)
    axes.set_xlim(min(index) - 0.5, max(index) + 0.5)
    if max(evidence, default=0.0) - min(evidence, default=0.0) < 0.05:
        axes.set_ylim(min(evidence) - 0.2, max(evidence) + 1.0)  # a flat line is flat, not noise blown up
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.tick_params(colors=FAINT, labelsize=9, length=3)
    axes.set_xlabel(f"{plane} slice", color=FAINT, fontsize=10)
    plain_axes(axes, "Strongest evidence of each slice", pad=16)


def _nothing(result: Result) -> str:
    """Why nothing is marked."""
    exceeds = float(result.map.max()) >= result.evidence_levels[0].threshold
    return NOTHING_MARKED if result.withheld and exceeds else NOTHING_FOUND


def _unit(result: Result) -> float:
    return unit_of([level.threshold for level in result.evidence_levels])


def _logits(evidence: float) -> str:
    """A threshold in as many digits as one wants to read."""
    return f"{evidence:.0f}" if abs(evidence) >= 100 else f"{evidence:.3g}"


__all__: Sequence[str] = ("draw_overview", "write_overview")
