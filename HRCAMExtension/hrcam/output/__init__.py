"""Results as files: maps, segmentation, JSON report, overview picture, scene for Slicer."""
