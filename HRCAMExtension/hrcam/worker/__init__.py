"""The warm process that Slicer's panel talks to in JSON lines: `python -m hrcam.worker`.

`Worker` serves requests that `protocol` reads and checks; arrays travel as files (`files`).
"""

from ..lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "worker": "Worker main",
})
