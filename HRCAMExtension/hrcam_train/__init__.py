"""Training of HR-CAM models from image-level labels: `hrcam train`. Not installed into Slicer."""
