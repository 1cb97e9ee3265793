"""Figures of a report, drawn from its numbers and from maps of cases chosen by rank."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from hrcam_research.evaluate.case import Case
from hrcam_research.evaluate.map_maker import MapMaker

COLORS = 128
MAP_ALPHA = 0.65


def save(figure: Figure, path: Path, dpi: int = 100, colors: int | None = None) -> None:
    """Write a PNG; with a palette of `colors` scans take a third of the size, but thin lines of a plot lose theirs."""
    FigureCanvasAgg(figure)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.open(buffer).convert("RGB")
    (image.quantize(colors) if colors else image).save(path, optimize=True)


def curves(summary: dict[str, Any], path: Path) -> None:
    """Pixel precision against recall, all cases pooled."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for name in summary["shown"]:
        curve = summary["curves"][name]
        axes.plot(
            curve["recall"], curve["precision"], lw=_width(summary, name), label=f"{name}  {curve['pooled_ap']:.2f}"
        )
    axes.set(
        xlabel="recall (lesion pixels found)", ylabel="precision (marked pixels in lesion)", xlim=(0, 1), ylim=(0, 1)
    )
    axes.legend(title="method  pooled AP", frameon=False, fontsize=8, title_fontsize=8)
    _plain(axes)
    save(figure, path)


def sizes(summary: dict[str, Any], path: Path) -> None:
    """Dice at the fixed threshold against the lesion's size: a dot a case, and a running mean over a fifth."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    title = None
    for name in summary["sizes"]:
        known = np.array([summary["sizes"][name]["diameter_mm"], summary["sizes"][name]["dice"]])
        known = known[:, np.argsort(known[0])]
        window = max(3, known.shape[1] // 5)
        few = known.shape[1] <= window  # their running mean would be a point
        (dots,) = axes.plot(*known, ".", ms=6 if few else 3, alpha=0.8 if few else 0.35, label=name if few else None)
        if not few:
            title = "line: running mean"
            sliding = np.lib.stride_tricks.sliding_window_view(known, window, axis=1)
            axes.plot(*sliding.mean(axis=2), color=dots.get_color(), lw=_width(summary, name), label=name)
    axes.set(
        xlabel="diameter of a disc (volumes: ball) as large as the lesion (mm)",
        ylabel="Dice at the fixed threshold",
        ylim=(0, 1),
    )
    axes.legend(title=title, frameon=False, fontsize=8, title_fontsize=8)
    _plain(axes)
    save(figure, path)


def reliability(calibration: dict[str, Any], path: Path) -> None:
    """Accuracy against confidence; the area of a dot is its share of the images."""
    figure = Figure(figsize=(4.4, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", lw=1)
    areas = 30 + 900 * np.array(calibration["share"])
    axes.plot(calibration["confidence"], calibration["accuracy"], color="C0", lw=1)
    axes.scatter(calibration["confidence"], calibration["accuracy"], areas, color="C0", alpha=0.6)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.05))
    axes.set_title(f"expected calibration error {calibration['ece']:.3f}", fontsize=9)
    _plain(axes)
    save(figure, path)


def montage(
    maker: MapMaker,
    cases: Sequence[Case],
    class_names: Sequence[str],
    groups: dict[str, list[str]],
    names: Sequence[str],
    precision: dict[str, dict[str, float]],
    path: Path,
) -> None:
    """Cases (rows) by methods (columns): the map over the image, the lesion outlined, AP in the corner.

    Every map runs from its own 50th to its 99.5th percentile, since methods differ in unit; below that it is
    transparent.
    `groups` are the rows by heading, as `summary.pick_cases` gives them; `precision` is AP by method and case. 3D cases
    show the slice with most lesion.
    """
    import torch

    by_name = {case.name: case for case in cases}
    rows = [(heading, by_name[name]) for heading, found in groups.items() for name in found]
    figure = Figure(figsize=(1.55 * (len(names) + 1), 1.62 * len(rows) + 0.45), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(len(rows), len(names) + 1, squeeze=False)
    for axes, (heading, case) in zip(grid, rows, strict=True):
        pixels = case.read()
        index = torch.tensor([list(class_names).index(case.label)], device=maker.device)
        maps = maker.make(maker.stack([(0, pixels)]), index, names)
        plane = _widest(pixels.masks["masks"])
        image, mask = pixels.image[0][plane], pixels.masks["masks"][plane]
        axes[0].set_ylabel(f"{heading}\n{case.label}", fontsize=7)
        for axis, name in zip(axes, ["", *names], strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1)
            if name:
                values = maps[name][0].numpy()
                low, high = np.percentile(values, (50, 99.5))
                share = np.clip((values[plane] - low) / max(float(high - low), 1e-12), 0, 1)
                axis.imshow(share, cmap="inferno", vmin=0, vmax=1, alpha=MAP_ALPHA * share)
                axis.text(
                    0.97,
                    0.03,
                    f"{precision[name][case.name]:.2f}",
                    color="w",
                    fontsize=7,
                    ha="right",
                    transform=axis.transAxes,
                )
            axis.contour(mask, levels=[0.5], colors="cyan", linewidths=0.6)
            axis.set(xticks=[], yticks=[])
            axis.set_frame_on(False)
    for axis, name in zip(grid[0], ["image", *names], strict=True):
        axis.set_title(name.replace("/", "/\n"), fontsize=8)  # names of baselines are wider than their column
    save(figure, path, dpi=80, colors=COLORS)


def _widest(mask: np.ndarray) -> tuple[int, ...]:
    """Index of the slice with most lesion in 3D, nothing in 2D."""
    return () if mask.ndim == 2 else (int(mask.sum((1, 2)).argmax()),)


def _width(summary: dict[str, Any], name: str) -> float:
    return 2.2 if name.startswith(summary["default"]) else 1.2


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
