"""What the pictures of results have in common: colors, texts, slices in true proportions with their sides named."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..run.result import RESEARCH_USE
from ..scan.geometry import Geometry
from ..scan.intensity import scale_of
from ..scan.sampling import display_position, display_spacing, displayed
from ..scan.volume import Volume

BACKGROUND, PANEL, TEXT, FAINT, ACCENT = "#101418", "#171d23", "#e8ecef", "#8b98a5", "#5fb4ff"
DOTS_PER_INCH = 110
DISPLAY_SCALING = {"kind": "percentile", "low": 1.0, "high": 99.7, "foreground": "otsu"}
"""Intensities from black to white."""

_LEFT_RIGHT = {"axial": ("R", "L"), "coronal": ("R", "L"), "sagittal": ("A", "P")}
_TOP_BOTTOM = {"axial": ("A", "P"), "coronal": ("S", "I"), "sagittal": ("S", "I")}
_MARGIN_MM = 8.0


def head_box(volume: Volume) -> list[tuple[int, int]]:
    """First and last+1 index along K, J, I of what is not background, with a margin."""
    scale = scale_of(volume.ordered, DISPLAY_SCALING)
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


def slice_extent(geometry: Geometry, plane: str) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of a plane's slices in mm, as ``imshow`` takes it; the first pixel's center is 0."""
    down, right = display_spacing(geometry, plane)
    i, j, k = geometry.size_ijk
    height, width = displayed(np.empty((k, j, i), bool), geometry, plane).shape[1:]
    return (-0.5 * right, (width - 0.5) * right, (height - 0.5) * down, -0.5 * down)


def draw_gray(
    axes: Axes, array: npt.NDArray[np.float32], geometry: Geometry, plane: str, index: int,
    window: tuple[float, float], box: list[tuple[int, int]],
) -> None:
    """A slice of a scan KJI in gray, as radiologists see it, zoomed to ``box`` (see `head_box`)."""
    axes.imshow(displayed(array, geometry, plane)[index], cmap="gray", vmin=window[0], vmax=window[1],
                extent=slice_extent(geometry, plane), interpolation="bilinear")
    down, right = display_spacing(geometry, plane)
    low = display_position(geometry, plane, [start for start, _ in reversed(box)])
    high = display_position(geometry, plane, [stop - 1 for _, stop in reversed(box)])
    rows, columns = sorted((low[0], high[0])), sorted((low[1], high[1]))
    zoom(axes, [(columns[0] - 0.5) * right, (columns[1] + 0.5) * right],
         [(rows[0] - 0.5) * down, (rows[1] + 0.5) * down])


def outline(
    axes: Axes, mask: npt.NDArray[np.bool_], geometry: Geometry, plane: str, color: Any, width: float = 1.3,
    style: str = "solid",
) -> None:
    """The border of a mask of one displayed slice (rows × columns)."""
    down, right = display_spacing(geometry, plane)
    if min(mask.shape) >= 2 and mask.any() and not mask.all():
        x, y = np.arange(mask.shape[1]) * right, np.arange(mask.shape[0]) * down
        axes.contour(x, y, mask.astype(float), levels=[0.5], colors=[color], linewidths=width, linestyles=style)


def zoom(axes: Axes, across: list[float], along: list[float]) -> None:
    """Show the given mm in true proportions, filling the panel: more is shown along the longer side."""
    axes.set_aspect("auto")  # before the position is asked for, which else is shrunk to the image's proportions
    place, (width, height) = axes.get_position(), axes.figure.get_size_inches()  # type: ignore[union-attr]
    per_inch = max((across[1] - across[0]) / (place.width * width), (along[1] - along[0]) / (place.height * height))
    half_x, half_y = per_inch * place.width * width / 2, per_inch * place.height * height / 2
    x, y = sum(across) / 2, sum(along) / 2
    axes.set_xlim(x - half_x, x + half_x)
    axes.set_ylim(y + half_y, y - half_y)


def frame(axes: Axes, plane: str, name_bottom: bool = True) -> None:
    """Leave out ticks and lines, and name the patient's sides at the edges; the lower one where nothing else is there.
    """
    axes.set_facecolor("black")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    for x, letter, align in ((0.02, _LEFT_RIGHT[plane][0], "left"), (0.98, _LEFT_RIGHT[plane][1], "right")):
        write(axes, x, 0.5, letter, size=10, color=FAINT, ha=align, transform=axes.transAxes)
    for y, letter in ((0.965, _TOP_BOTTOM[plane][0]), (0.035, _TOP_BOTTOM[plane][1])):
        if name_bottom or letter == _TOP_BOTTOM[plane][0]:
            write(axes, 0.5, y, letter, size=10, color=FAINT, ha="center", transform=axes.transAxes)


def plain_axes(axes: Axes, title: str, pad: float = 7) -> None:
    """A title on the left, no lines around."""
    axes.set_title(title, loc="left", color=TEXT, fontsize=12, fontweight="bold", pad=pad)
    if axes.get_facecolor()[:3] == (1.0, 1.0, 1.0):
        axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(axis="y", length=0)


def write(
    where: Figure | Axes, x: float, y: float, text: str, size: float, color: str = TEXT, ha: str = "left",
    weight: str = "normal", **options: Any,
) -> None:
    """Text as it is: a dollar sign in a case's name is no formula."""
    where.text(x, y, text, fontsize=size, color=color, ha=ha, va="center", fontweight=weight, parse_math=False,
               **options)


def write_png(path: str | os.PathLike[str], figure: Figure, provenance: Mapping[str, str]) -> None:
    """Write a figure as PNG, its provenance in the file's own texts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a case's name may hold letters that no font here has
        FigureCanvasAgg(figure).print_png(os.fspath(path), metadata=dict(provenance))


def shorten(text: str, length: int) -> str:
    """A text of about ``length`` letters at most, its middle left out."""
    return text if len(text) <= length else text[: length // 2] + " … " + text[-(length // 2 - 3):]


def write_note(figure: Figure, text: str, y: float, more: int = 0) -> None:
    """What the reader of a picture must know, in one or two lines in the middle of which lies `y`; and how much more
    there is to know."""
    ending = f"  (+{more} more)" if more else ""
    lines = wrap(f"Note: {text}", 150, max_lines=2, placeholder=" …")
    write(figure, 0.02, y, "\n".join(lines) + ending, size=9.5, color="#ffb454", linespacing=1.25)


def write_caption(figure: Figure, provenance: Mapping[str, Any], y: float) -> None:
    """What made the picture, and what it is not for, in a line at the foot."""
    model = provenance.get("model", {})
    text = (f"HR-CAM {provenance.get('hrcam_version', '')}   ·   model {model.get('name', '')} "
            f"{model.get('version', '')} ({str(model.get('sha256', ''))[:8]})   ·   {RESEARCH_USE}")
    write(figure, 0.02, y, text, size=9.5, color=FAINT)


def milliliters(volume_ml: float) -> str:
    """A volume in as many digits as one wants to read."""
    if volume_ml < 0.01:
        return "<0.01 ml" if volume_ml > 0 else "none"
    return f"{volume_ml:.2f} ml" if volume_ml < 1 else f"{volume_ml:.1f} ml"
