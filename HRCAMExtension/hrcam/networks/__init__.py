"""The small CNNs that bundles may name (`registry`), their parts, and networks of other libraries by name (`library`).

Needs torch.
"""
