"""The command `hrcam`, one file a sub-command.

`COMMANDS` lists them; `main` imports the one that is called. Slicer gets neither: it has panel and
batch script.
"""

from ..lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "app": "COMMANDS main",
})
