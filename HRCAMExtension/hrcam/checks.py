"""The path that version 0.1 documented for `hrcam.scan.checks`."""

from .scan.checks import assess_fit, check_fit, check_volume

__all__ = ["assess_fit", "check_fit", "check_volume"]
