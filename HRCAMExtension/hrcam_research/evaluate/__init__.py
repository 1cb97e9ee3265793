"""HR-CAM beside its rivals: maps, metrics, intervals, tables and figures (`hrcam evaluate`, docs/RESULTS.md).

`evaluate_models` writes it all; `evaluate_scans` measures whole scans as shown, `evaluate_bundle` single images.
"""

from hrcam.lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "write": "evaluate_models",
    "scan_report": "evaluate_scans",
    "run": "evaluate_bundle",
})
