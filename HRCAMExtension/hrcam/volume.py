"""The path that version 0.1 documented for `hrcam.scan.volume`."""

from .scan.volume import Volume, read_volume, to_sitk, volume_from_array

__all__ = ["Volume", "read_volume", "to_sitk", "volume_from_array"]
