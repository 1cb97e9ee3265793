"""The path that version 0.1 documented for `hrcam.output.writers`."""

from .output.writers import write_result

__all__ = ["write_result"]
