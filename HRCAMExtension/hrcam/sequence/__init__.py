"""Which sequence a scan of a head is, by its image: T1 with or without contrast agent, FLAIR, T2, PD, DWI, or CT.

`check_sequence` warns where a model was not trained on what is found; a small network of its own says it.
"""

from ..lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "check": "check_sequence",
    "recognition": "Recognition recognize",
})
