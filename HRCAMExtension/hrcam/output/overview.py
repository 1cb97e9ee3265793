"""One picture of a result that a stranger understands: where the evidence is, for what, and how much of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..run.result import RESEARCH_USE, Region, Result, percent
from ..run.units import in_units, spell_units, unit_of
from ..scan.geometry import PLANES
from ..scan.intensity import find_scale
from ..scan.sampling import display_position, display_spacing, displayed
from ..scan.volume import Volume
from .provenance import origin_of

BACKGROUND, PANEL, TEXT, FAINT, ACCENT = "#101418", "#171d23", "#e8ecef", "#8b98a5", "#5fb4ff"

PANELS = 3
NOTHING_FOUND = "No evidence above the lowest level"
NOTHING_MARKED = "Nothing is marked: see the note"
"""Evidence reaches the levels, and is withheld."""

_TRUTH_LINE: dict[str, Any] = {"color": "white", "linewidth": 1.0, "linestyle": "--"}
_DISPLAY_RECIPE = {"kind": "percentile", "low": 1.0, "high": 99.7, "foreground": "otsu"}
_LEFT_RIGHT = {"axial": ("R", "L"), "coronal": ("R", "L"), "sagittal": ("A", "P")}
_TOP_BOTTOM = {"axial": ("A", "P"), "coronal": ("S", "I"), "sagittal": ("S", "I")}
_DOTS_PER_INCH = 110
_MARGIN_MM = 8.0


@dataclass(frozen=True)
class _View:
    """One slice to be shown: which, why, and the region whose peak it goes through."""

    plane: str
    index: int
    title: str
    detail: str
    region: Region | None


def write_overview(
    path: str | os.PathLike[str], volume: Volume, result: Result, truth: npt.NDArray[np.bool_] | None = None
) -> None:
    """Write the overview of a result as PNG, its origin in the file's own texts; see `draw_overview`."""
    figure = draw_overview(volume, result, truth)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a case's name may hold letters that no font here has
        FigureCanvasAgg(figure).print_png(os.fspath(path), metadata=origin_of(result))


def draw_overview(volume: Volume, result: Result, truth: npt.NDArray[np.bool_] | None = None) -> Figure:
    """Draw slices through the strongest regions, class probabilities, the levels' legend and evidence per slice.

    Each slice is shown twice, as it is and with the evidence levels in their colors, in radiological orientation and
    true proportions. With fewer than three regions the strongest one is shown in the other planes too; without any the
    middle of the scan is, and the picture says that nothing was found. A single slice is shown large. A known ``truth``
    (KJI, on the volume's grid) is outlined in white.
    """
    views = _views(volume, result)
    figure = Figure(figsize=(15, 9), dpi=_DOTS_PER_INCH, facecolor=BACKGROUND)
    _header(figure, result)
    grid = GridSpec(2, PANELS, left=0.02, right=0.70, top=0.83, bottom=0.075, wspace=0.03, hspace=0.03, figure=figure)
    alone = GridSpec(1, 2, left=0.02, right=0.70, top=0.83, bottom=0.075, wspace=0.03, figure=figure)
    window = find_scale(volume.array, _DISPLAY_RECIPE)
    box = _head_box(volume)
    for column, view in enumerate(views):
        for row in range(2):
            axes = figure.add_subplot(alone[row] if len(views) == 1 else grid[row, column])
            _draw_slice(axes, volume, result, view, (window.low, 1.08 * window.high), box, overlay=row == 1)
            if truth is not None:
                _draw_truth(axes, volume, view, truth)
            if row == 0:
                _column_title(axes, view)
    heights = [max(len(result.probabilities), 4), len(result.evidence_levels) + 1, 8]
    side = GridSpec(3, 1, left=0.79, right=0.98, top=0.835, bottom=0.11, hspace=0.4, height_ratios=heights,
                    figure=figure)
    _draw_probabilities(figure.add_subplot(side[0]), result)
    _draw_legend(figure.add_subplot(side[1]), volume, result, truth)
    if len(result.slices) > 1:
        _draw_profile(figure.add_subplot(side[2]), result)
    model = result.provenance.get("model", {})
    caption = (f"HR-CAM {result.provenance.get('hrcam_version', '')}   ·   model {model.get('name', '')} "
               f"{model.get('version', '')} ({str(model.get('sha256', ''))[:8]})   ·   {RESEARCH_USE}")
    _write(figure, 0.02, 0.025, caption, size=9.5, color=FAINT)
    return figure


def _header(figure: Figure, result: Result) -> None:
    prediction = f"{_readable(result.predicted)}  {percent(result.probabilities[result.predicted])}"
    _write(figure, 0.02, 0.945, _shorten(result.case, 60), size=21, weight="bold")
    _write(figure, 0.98, 0.945, prediction, size=21, weight="bold", ha="right", color=ACCENT)
    strongest = f"{len(result.regions)} region{'s' if len(result.regions) != 1 else ''}" if result.regions \
        else _nothing(result)[0].lower() + _nothing(result)[1:]
    planes = {"all": "three planes averaged", "volume": "whole volume"}.get(result.plane, f"{result.plane} slices")
    _write(figure, 0.02, 0.905, f"Evidence for {_readable(result.shown_class)}: {strongest}   ·   {planes}", size=12,
           color=FAINT)
    _write(figure, 0.98, 0.905, "most probable class", size=12, color=FAINT, ha="right")
    if result.warnings:
        more = f"  (+{len(result.warnings) - 1} more)" if len(result.warnings) > 1 else ""
        _write(figure, 0.02, 0.052, "Note: " + _shorten(result.warnings[0], 165) + more, size=9.5, color="#ffb454")


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
    place = f"{'R' if r >= 0 else 'L'} {abs(r):.0f}  {'A' if a >= 0 else 'P'} {abs(a):.0f}  " \
            f"{'S' if s >= 0 else 'I'} {abs(s):.0f} mm"
    title = f"Region {region.label}: {region.level} {evidence}, {_millilitres(region.volume_ml)}"
    return _View(plane, index, title, f"{plane} slice {index + 1}  ·  peak at {place}", region)


def _views_of_nothing(volume: Volume, result: Result) -> list[_View]:
    geometry = volume.geometry
    views = []
    (k, j, i), = [[(start + stop) // 2 for start, stop in _head_box(volume)]]
    first = result.plane if result.plane in PLANES else geometry.acquisition_plane
    for plane in (first, *(p for p in reversed(PLANES) if p != first)):
        axis = geometry.axis_of(plane)
        if any(geometry.size_ijk[n] == 1 for n in range(3) if n != axis):
            continue
        index = (i, j, k)[axis]
        title = "Middle of the scan" if geometry.size_ijk[axis] > 1 else "The slice"
        views.append(_View(plane, index, title, f"{plane} slice {index + 1}", None))
    return views


def _head_box(volume: Volume) -> list[tuple[int, int]]:
    """First and last+1 index along K, J, I of what is not background, with a margin."""
    scale = find_scale(volume.array, _DISPLAY_RECIPE)
    mask = volume.array > scale.low + 0.1 * (scale.high - scale.low)
    box = []
    for axis in range(3):
        share = mask.mean(axis=tuple(n for n in range(3) if n != axis))
        where = np.flatnonzero(share > 0.01)
        margin = round(_MARGIN_MM / volume.geometry.spacing[2 - axis])
        length = mask.shape[axis]
        box.append((max(0, int(where[0]) - margin), min(length, int(where[-1]) + 1 + margin)) if len(where)
                   else (0, length))
    return box


def _draw_slice(
    axes: Axes, volume: Volume, result: Result, view: _View, window: tuple[float, float], box: list[tuple[int, int]],
    overlay: bool,
) -> None:
    geometry = volume.geometry
    down, right = display_spacing(geometry, view.plane)
    image = displayed(volume.array, geometry, view.plane)[view.index]
    height, width = image.shape
    extent = (-0.5 * right, (width - 0.5) * right, (height - 0.5) * down, -0.5 * down)
    axes.imshow(image, cmap="gray", vmin=window[0], vmax=window[1], extent=extent, interpolation="bilinear")
    if overlay:
        labels = displayed(result.labels, geometry, view.plane)[view.index]
        axes.imshow(_colored(labels, result), extent=extent, interpolation="nearest")
        _outline(axes, labels, result, right, down)
        if not result.regions:
            plate = {"facecolor": BACKGROUND, "edgecolor": "none", "alpha": 0.75, "pad": 4.0}
            _write(axes, 0.5, 0.04, _nothing(result), size=11, ha="center", transform=axes.transAxes, color="#9fd39f",
                   bbox=plate)
    elif view.region is not None:
        ijk = geometry.points_from_ras(view.region.peak_ras)
        row, column = display_position(geometry, view.plane, ijk.tolist())
        _crosshair(axes, column * right, row * down, 0.06 * max(height * down, width * right))
    low = display_position(geometry, view.plane, [start for start, _ in reversed(box)])
    high = display_position(geometry, view.plane, [stop - 1 for _, stop in reversed(box)])
    rows, columns = sorted((low[0], high[0])), sorted((low[1], high[1]))
    _zoom(axes, [(columns[0] - 0.5) * right, (columns[1] + 0.5) * right],
          [(rows[0] - 0.5) * down, (rows[1] + 0.5) * down])
    _frame(axes, view.plane)


def _zoom(axes: Axes, across: list[float], along: list[float]) -> None:
    """Show the given mm in true proportions, filling the panel: more is shown along the longer side."""
    axes.set_aspect("auto")  # before the position is asked for, which else is shrunk to the image's proportions
    place, (width, height) = axes.get_position(), axes.figure.get_size_inches()  # type: ignore[union-attr]
    per_inch = max((across[1] - across[0]) / (place.width * width), (along[1] - along[0]) / (place.height * height))
    half_x, half_y = per_inch * place.width * width / 2, per_inch * place.height * height / 2
    x, y = sum(across) / 2, sum(along) / 2
    axes.set_xlim(x - half_x, x + half_x)
    axes.set_ylim(y + half_y, y - half_y)


def _colored(labels: npt.NDArray[np.uint8], result: Result) -> npt.NDArray[np.float32]:
    table = np.zeros((len(result.evidence_levels) + 1, 4), np.float32)
    for number, level in enumerate(result.evidence_levels, start=1):
        table[number] = (*level.color, 0.42)
    return np.asarray(table[labels])


def _draw_truth(axes: Axes, volume: Volume, view: _View, truth: npt.NDArray[np.bool_]) -> None:
    down, right = display_spacing(volume.geometry, view.plane)
    mask = displayed(truth, volume.geometry, view.plane)[view.index]
    if mask.any() and not mask.all():
        x, y = np.arange(mask.shape[1]) * right, np.arange(mask.shape[0]) * down
        axes.contour(x, y, mask.astype(float), levels=[0.5], colors="white", linewidths=1.0, linestyles="dashed")


def _outline(axes: Axes, labels: npt.NDArray[np.uint8], result: Result, right: float, down: float) -> None:
    x, y = np.arange(labels.shape[1]) * right, np.arange(labels.shape[0]) * down
    if min(labels.shape) < 2:
        return
    for number, level in enumerate(result.evidence_levels, start=1):
        mask = labels >= number
        if mask.any() and not mask.all():
            axes.contour(x, y, mask.astype(float), levels=[0.5], colors=[level.color], linewidths=1.3)


def _crosshair(axes: Axes, x: float, y: float, size: float) -> None:
    for sign in (-1, 1):
        axes.plot([x + sign * 0.6 * size, x + sign * 1.4 * size], [y, y], color=ACCENT, linewidth=1.1)
        axes.plot([x, x], [y + sign * 0.6 * size, y + sign * 1.4 * size], color=ACCENT, linewidth=1.1)


def _frame(axes: Axes, plane: str) -> None:
    axes.set_facecolor("black")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    for x, letter, align in ((0.02, _LEFT_RIGHT[plane][0], "left"), (0.98, _LEFT_RIGHT[plane][1], "right")):
        _write(axes, x, 0.5, letter, size=10, color=FAINT, ha=align, transform=axes.transAxes)
    for y, letter in ((0.965, _TOP_BOTTOM[plane][0]), (0.035, _TOP_BOTTOM[plane][1])):
        taken = any(text.get_text() in (NOTHING_FOUND, NOTHING_MARKED) for text in axes.texts)
        if letter != _TOP_BOTTOM[plane][1] or not taken:
            _write(axes, 0.5, y, letter, size=10, color=FAINT, ha="center", transform=axes.transAxes)


def _column_title(axes: Axes, view: _View) -> None:
    height = axes.get_position().height
    _write(axes, 0.0, 1 + 0.028 / height, view.title, size=12, weight="bold", transform=axes.transAxes)
    _write(axes, 0.0, 1 + 0.008 / height, view.detail, size=9.5, color=FAINT, transform=axes.transAxes)


def _draw_probabilities(axes: Axes, result: Result) -> None:
    order = sorted(result.probabilities, key=lambda name: result.probabilities[name])
    values = [result.probabilities[name] for name in order]
    colors = [ACCENT if name == result.predicted else "#4a5866" for name in order]
    axes.barh(range(len(order)), [1] * len(order), color=PANEL, height=0.62)
    axes.barh(range(len(order)), values, color=colors, height=0.62)
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    axes.set_yticks(range(len(order)), [_readable(name) for name in order], color=TEXT, fontsize=10.5)
    axes.set_ylim(len(order) - max(len(order), 4) - 0.5, len(order) - 0.5)  # two classes: bars as high as four's
    for position, value in enumerate(values):
        covered = value > 0.88
        _write(axes, 0.985, position, percent(value), size=10, ha="right", color=BACKGROUND if covered else TEXT)
    _plain(axes, "Class probabilities of the scan")


def _draw_legend(axes: Axes, volume: Volume, result: Result, truth: npt.NDArray[np.bool_] | None) -> None:
    patches: list[Patch | Line2D] = []
    for number, level in reversed(list(enumerate(result.evidence_levels, start=1))):
        ml = float(np.count_nonzero(result.labels >= number)) * volume.geometry.voxel_volume_ml
        amount = _millilitres(ml) if volume.spacing_known else f"{np.count_nonzero(result.labels >= number)} pixels"
        label = f"{level.name}   from {spell_units(in_units(level.threshold, result.evidence_levels))}   ({amount})"
        patches.append(Patch(color=to_rgb(level.color), label=label))
    if truth is not None:
        ml = float(np.count_nonzero(truth)) * volume.geometry.voxel_volume_ml
        patches.append(Line2D([], [], **_TRUTH_LINE, label=f"truth   ({_millilitres(ml)})"))
    axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(-0.02, 0.98), frameon=False, labelcolor=TEXT,
                fontsize=10.5, handlelength=1.2, handleheight=1.1, borderaxespad=0.0)
    axes.set_xticks([])
    axes.set_yticks([])
    _plain(axes, f"Evidence (1.0 is {_logits(_unit(result))} logits)")


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
    _plain(axes, "Strongest evidence of each slice", pad=16)


def _plain(axes: Axes, title: str, pad: float = 7) -> None:
    axes.set_title(title, loc="left", color=TEXT, fontsize=12, fontweight="bold", pad=pad)
    if axes.get_facecolor()[:3] == (1.0, 1.0, 1.0):
        axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(axis="y", length=0)


def _write(
    where: Figure | Axes, x: float, y: float, text: str, size: float, color: str = TEXT, ha: str = "left",
    weight: str = "normal", **options: Any,
) -> None:
    """Text as it is: a dollar sign in a case's name is no formula."""
    where.text(x, y, text, fontsize=size, color=color, ha=ha, va="center", fontweight=weight, parse_math=False,
               **options)


def _readable(name: str) -> str:
    return name.replace("_", " ")


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length // 2] + " … " + text[-(length // 2 - 3):]


def _nothing(result: Result) -> str:
    """Why nothing is marked."""
    exceeds = float(result.map.max()) >= result.evidence_levels[0].threshold
    return NOTHING_MARKED if result.withheld and exceeds else NOTHING_FOUND


def _unit(result: Result) -> float:
    return unit_of([level.threshold for level in result.evidence_levels])


def _logits(evidence: float) -> str:
    """A threshold in as many digits as one wants to read."""
    return f"{evidence:.0f}" if abs(evidence) >= 100 else f"{evidence:.3g}"


def _millilitres(volume_ml: float) -> str:
    if volume_ml < 0.01:
        return "<0.01 ml" if volume_ml > 0 else "none"
    return f"{volume_ml:.2f} ml" if volume_ml < 1 else f"{volume_ml:.1f} ml"


__all__: Sequence[str] = ("draw_overview", "write_overview")
