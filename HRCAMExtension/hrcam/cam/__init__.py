"""HR-CAM itself: levels of any CNN, one linear head on their pooled maps, and the fusion of their class maps.

Needs torch once a name is used. Start with `HRCAM`; `find_levels` finds the last feature map at each resolution.
"""

from ..lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "model": "HRCAM Evidence",
    "levels.find": "Level find_levels",
    "fusion": "FUSIONS fuse upsample",
})
