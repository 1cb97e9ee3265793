"""Where in the brain a region lies: side, structure and coordinates of the MNI template.

`with_places` names the places of a result's regions, from a checked registration and an atlas.
"""

from ..lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "name": "place_at with_places",
    "atlas": "load_atlas",
})
