"""HR-CAM: precise localization of pathology from image-level labels (Shinde et al., MICCAI 2019, arXiv:1909.12919)."""

__version__ = "0.1.0"
