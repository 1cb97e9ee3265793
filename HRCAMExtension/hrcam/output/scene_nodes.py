"""How a result's nodes look in a scene: color tables, maps, segmentation, legend. Built here for both who make scenes.

`scene.py` fills a scene of its own with them, the Slicer module the user's. The nodes are given; nothing here knows of
a current scene, of Qt, or of arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..run.result import EvidenceLevel
from ..run.units import in_units, spell_units
from .evidence_colors import ENTRIES
from .segment import Segment, level_segments

OVERLAY_OPACITY = 0.45

AND_ABOVE = 1e6
"""Upper threshold of a map that is shown to the end of its scale: the end's color means "and above"."""

LEGEND_SIZE = (0.2, 0.28)
"""Width and height, shares of the view: small, and high enough for the names in a view twice as wide as high."""

LEGEND_POSITION = (0.99, 0.9)
"""Shares of the free space to the left and below: the upper right corner, which a head seldom fills. The title is drawn
above the legend's own box."""

LEGEND_FONT_SIZE = 14

SCALE_ENTRIES = 3
"""So many colors of a CNN level's scale are in its legend, which looks like that of the calibrated levels."""

CHANGE_LEGEND_ENTRIES = 4
"""So many colors of a change map are in its legend: half and full loss, half and full gain."""


def level_name(level: EvidenceLevel, levels: Sequence[EvidenceLevel]) -> str:
    """A level's entry in legend and Data Probe: its name and where it begins, in units of the weakest level."""
    return f"{level.name} {spell_units(in_units(level.threshold, levels))}"


def fill_map_table(node: Any, colors: npt.NDArray[np.float64], names: Mapping[int, str] | None = None) -> None:
    """Give a color table node the colors of a map, N×3 RGB or N×4 RGBA 0–1, lowest evidence first.

    Slicer's views hide what has the opacity 0 and show all else alike.
    ``names`` gives the entries that a legend shows, and what it calls them.
    """
    known = names or {}
    _fill_table(node, [(known.get(entry, str(entry)), color[:3], (*color, 1.0)[3])
                       for entry, color in enumerate(colors.tolist())])
    for entry in range(len(colors)):
        node.SetColorDefined(entry, not known or entry in known)


def scale_names(high: float, levels: Sequence[EvidenceLevel]) -> dict[int, str]:
    """Entries of `even_colors` on a scale from 0 to ``high`` logits, and what they stand for: "7.9 × possible"."""
    unit = f" × {levels[0].name}" if levels else ""
    shares = np.linspace(0, 1, SCALE_ENTRIES + 1)[1:]
    return {round((ENTRIES - 1) * share): spell_units(in_units(high * share, levels)) + unit for share in shares}


def change_names(most: float, levels: Sequence[EvidenceLevel], entries: int) -> dict[int, str]:
    """Entries of a change map's table, from ``-most`` to ``most`` logits, and what they stand for: "gained 41"."""
    unit = in_units(most, levels)
    places = np.linspace(0, entries - 1, CHANGE_LEGEND_ENTRIES + 1).round().astype(int).tolist()
    words = {place: 2 * place / (entries - 1) - 1 for place in places}
    return {place: f"{'gained' if share > 0 else 'lost'} {spell_units(abs(share) * unit)}"
            for place, share in words.items() if share}


def fill_level_table(node: Any, levels: Sequence[EvidenceLevel]) -> None:
    """Give a color table node the label map's entries: 0 transparent, n the nth level."""
    named = [(level_name(level, levels), level.color, 1.0) for level in levels]
    _fill_table(node, [("background", (0.0, 0.0, 0.0), 0.0), *named])
    node.SetColorDefined(0, False)  # no entry in the legend


def dress_map(display: Any, colors: Any, span: tuple[float, float], lowest: float) -> None:
    """Give a map's display node its scale of colors and hide what lies below ``lowest``; all in logits.

    Set up before it is attached to a volume: Slicer's default one would look at every voxel's intensity.
    """
    display.AutoWindowLevelOff()
    display.AutoThresholdOff()
    display.SetWindowLevelMinMax(*span)
    display.SetThreshold(lowest, AND_ABOVE)
    display.SetApplyThreshold(1)
    display.SetInterpolate(1)
    display.SetAndObserveColorNodeID(colors.GetID())


def fill_segmentation(
    node: Any,
    image: Any,
    scan: Any,
    class_name: str,
    levels: Sequence[EvidenceLevel],
    terminology: str | None,
) -> None:
    """Give a segmentation node one named, colored segment a level, on one shared label map; see `fill_segments`.

    Parameters
    ----------
    class_name : whose evidence it is.
    terminology : of the class; None for a lesion in general.
    """
    fill_segments(node, image, scan, level_segments(class_name, levels, terminology))


def fill_segments(node: Any, image: Any, scan: Any, segments: Sequence[Segment]) -> None:
    """Give a segmentation node segments that lie beside one another on one shared label map.

    As in the label overlay a voxel belongs to one of them. They are hidden in the slices, where the label map is shown,
    and in 3D until asked for.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode in a scene.
    image : vtkOrientedImageData in which n stands for ``segments[n - 1]``.
    scan : volume node that they were found in; its grid and its picture are what Segment Editor works on.
    """
    import slicer

    node.SetReferenceImageGeometryParameterFromVolumeNode(scan)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetVisibility2D(False)
    display.SetVisibility3D(False)
    display.SetOpacity3D(OVERLAY_OPACITY)
    representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    for value, one in enumerate(segments, start=1):
        segment = slicer.vtkSegment()
        segment.SetName(one.name)
        segment.SetColor(*(float(part) for part in one.color))
        for tag, content in one.tags.items():
            segment.SetTag(tag, content)
        segment.AddRepresentation(representation, image)
        segment.SetLabelValue(value)
        node.GetSegmentation().AddSegment(segment, one.key)


def dress_legend(legend: Any, entries: int, title: str = "Evidence") -> None:
    """Make a color legend small, in one font, at the edge of the view.

    ``entries`` is how many defined colors its table has; their names are shown.
    """
    legend.SetTitleText(title)
    legend.SetUseColorNamesForLabels(True)
    legend.SetLabelFormat("%s")
    legend.SetMaxNumberOfColors(entries + 1)
    legend.SetNumberOfLabels(entries + 1)
    for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        text.SetFontFamilyToArial()
        text.SetFontSize(LEGEND_FONT_SIZE)
        text.SetBold(False)
        text.SetItalic(False)
    legend.SetSize(*LEGEND_SIZE)
    legend.SetPosition(*LEGEND_POSITION)


def _fill_table(node: Any, colors: Iterable[tuple[str, Sequence[float], float]]) -> None:
    entries = list(colors)
    node.SetTypeToUser()
    node.SetAttribute("Category", "HR-CAM")
    node.SetNumberOfColors(len(entries))
    for entry, (name, rgb, opacity) in enumerate(entries):
        node.SetColor(entry, name, *(float(part) for part in rgb), opacity)
