"""Names of the structures that the atlas tells apart."""

from __future__ import annotations

import numpy as np

from ..run.result import OUTSIDE_THE_BRAIN

STRUCTURES: dict[str, tuple[int, ...]] = {
    OUTSIDE_THE_BRAIN: (),
    "outer fluid": (24,),
    "white matter": (2, 41),
    "cortex": (3, 42),
    "lateral ventricle": (4, 5, 43, 44, 30, 62, 136, 137, 163, 164),
    "third ventricle": (14, 72),
    "fourth ventricle": (15,),
    "cerebellum": (7, 8, 46, 47),
    "thalamus": (10, 49),
    "caudate nucleus": (11, 50),
    "putamen": (12, 51),
    "pallidum": (13, 52),
    "brainstem": (16,),
    "hippocampus": (17, 53),
    "amygdala": (18, 54),
    "nucleus accumbens": (26, 58),
    "ventral diencephalon": (28, 60, 85),
}
"""Name to the label values of FreeSurfer that belong to it; all other values lie outside the brain.

White matter and cortex are those of the hemispheres; the ventricle includes its choroid plexus.
"""

BRIGHTNESS = np.array([0, .3, 1, .66, .3, .3, .3, .75, .8, .68, .7, .85, .95, .66, .66, .68, .85], np.float32)
"""How bright each structure is in the image that scans are registered to, about as in T1; any contrast will do, as long
as tissues differ."""

MIDLINE = ("third ventricle", "fourth ventricle")
"""Structures without sides."""
