"""Results as files: maps, segmentation, JSON report, overview picture, scene for Slicer, DICOM.

`write_result` writes what is asked for, complete or not at all; `OUTPUTS` names the kinds.
"""

from ..lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "writers": "DEFAULT_OUTPUTS DICOM_OUTPUTS OUTPUTS write_result",
    "overview": "write_overview",
    "scene": "write_scene",
    "export": "export_result",
})
