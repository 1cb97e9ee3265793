"""Seeded generators of images with known truth: lesions in heads, and neuromelanin-like midbrains (issue 4, items 3, 5)."""
