"""Results as DICOM objects: Segmentation, Parametric Map, Structured Report. Needs highdicom (``hrcam[dicom]``)."""
