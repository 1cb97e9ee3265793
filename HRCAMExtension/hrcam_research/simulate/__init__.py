"""Seeded generators of images with known truth: lesions in heads, and neuromelanin-like midbrains.

`simulate_case` makes one image with its mask, `make_dataset` many; the command is `hrcam simulate`.
"""

from hrcam.lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "case": "SimulatedCase simulate_case",
    "head": "Head phantom_head read_head",
    "lesion": "LesionSpec find_site insert_lesion random_lesion tumor_lesion",
    "neuromelanin": "MidbrainCase simulate_midbrain",
    "follow_up": "simulate_follow_up",
    "config": "SimulationConfig",
    "dataset": "make_dataset",
})
