"""Training of HR-CAM models from image-level labels: `hrcam train`. Not installed into Slicer.

`run_training` learns what a recipe (`load_config`) describes, in two stages, calibrates it and writes a bundle.
"""

from hrcam.lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "config": "TrainConfig load_config parse_config recipes",
    "run": "run_training",
})
