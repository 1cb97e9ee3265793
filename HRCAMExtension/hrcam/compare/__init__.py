"""Two scans of one person: which regions are new, growing, stable, shrinking or resolved.

`compare` localizes in both, aligns them and matches regions; `write_comparison` writes its files.
"""

from ..lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "run": "compare",
    "comparison": "Comparison",
    "changes": "RegionChange",
    "write": "write_comparison",
})
