"""What a segment is called in Slicer's terminology (and DICOM's) where a model's class names nothing of its own."""

DEFAULT_TERMINOLOGY = (
    "Segmentation category and type - DICOM master list~SCT^49755003^Morphologically Altered Structure"
    "~SCT^52988006^Lesion~^^~Anatomic codes - DICOM master list~^^~^^"
)
"""Of segments whose model class names no terminology of its own."""
