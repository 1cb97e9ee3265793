"""One segment of a segmentation: apart from what writes it, so that a scene is made without SimpleITK."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Segment:
    """One value of a label map.

    Parameters
    ----------
    key : its ID in Slicer, which stays when it is renamed.
    name, color : as shown; red, green, blue, 0–1.
    tags : further things that Slicer keeps with it.
    """

    key: str
    name: str
    color: tuple[float, float, float]
    tags: Mapping[str, str]
