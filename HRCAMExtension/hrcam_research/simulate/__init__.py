"""Seeded generators of images with known truth: lesions in heads, and neuromelanin-like midbrains."""
