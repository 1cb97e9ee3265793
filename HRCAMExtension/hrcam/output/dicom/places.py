"""The place of a region in DICOM's terms: SNOMED CT codes where the standard's tables have them, else HR-CAM's own."""

from __future__ import annotations

import re

from pydicom.sr.coding import Code

from ...run.result import Place

SCHEME = "99HRCAM"

_SNOMED: dict[str, tuple[str, str]] = {
    "white matter": ("68523003", "Cerebral White Matter"),
    "cortex": ("40146001", "Cerebral cortex"),
    "lateral ventricle": ("66720007", "Lateral Ventricle"),
    "third ventricle": ("49841001", "Third ventricle"),
    "fourth ventricle": ("35918002", "Fourth Ventricle"),
    "cerebellum": ("113305005", "Cerebellum"),
    "thalamus": ("42695009", "Thalamus"),
    "caudate nucleus": ("11000004", "Caudate Nucleus"),
    "putamen": ("89278009", "Putamen"),
    "pallidum": ("14738005", "Globus Pallidus"),
    "brainstem": ("119238007", "Brain Stem"),
    "hippocampus": ("5366008", "Hippocampus"),
    "amygdala": ("4958002", "Amygdala"),
    "nucleus accumbens": ("427667007", "Nucleus Accumbens"),
}
"""Structure of the atlas to code value and meaning."""

_SIDES = {"left": ("7771000", "Left"), "right": ("24028007", "Right"), "midline": ("261129000", "Midline")}
_AXES = {"right": "x", "anterior": "y", "superior": "z"}


def structure_code(place: Place) -> Code:
    """Code of the structure."""
    if place.structure in _SNOMED:
        value, meaning = _SNOMED[place.structure]
        return Code(value, "SCT", meaning)
    return Code(re.sub(r"\W+", "-", place.structure)[:16], SCHEME, place.structure[:64])


def side_code(place: Place) -> Code:
    """Code of the side."""
    value, meaning = _SIDES[place.side]
    return Code(value, "SCT", meaning)


def position_codes() -> list[Code]:
    """Names of the three measurements of a position in MNI space, mm to the right, front and top."""
    return [Code(f"mni-{axis}", SCHEME, f"Position in MNI space, {toward}") for toward, axis in _AXES.items()]
