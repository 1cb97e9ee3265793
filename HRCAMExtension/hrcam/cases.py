"""The path that version 0.1 documented for `hrcam.scan.io.discovery`."""

from .scan.io.discovery import Case, discover

__all__ = ["Case", "discover"]
