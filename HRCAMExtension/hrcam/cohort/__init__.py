"""Many results summed up by groups: where, how often, how strongly, and whether groups differ.

`summarize_cohort` computes it from the folders of a batch, `write_cohort` writes maps, tables and report. Not
installed into Slicer.
"""

from ..lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "run": "Cohort Difference summarize_cohort",
    "write": "write_cohort",
})
