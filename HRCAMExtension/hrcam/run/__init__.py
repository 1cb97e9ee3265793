"""From a network and a plan to a result: inference, evidence levels, regions, and the result's data classes.

`hrcam.localize` walks through this room; what users meet are `Options` and `Result`.
"""

from ..lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "options": "Options",
    "result": "Faithfulness Place Region Result SliceEvidence",
    "marking": "mark",
    "regions": "find_regions",
})
