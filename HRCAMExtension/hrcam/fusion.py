"""The path that version 0.1 documented for `hrcam.cam.fusion`."""

from .cam.fusion import FUSIONS, fuse, upsample

__all__ = ["FUSIONS", "fuse", "upsample"]
