"""Training on simulated pairs, which made the bundled models of simulated lesions: the same image with and without one.

`run_paired_training` does it; recipes are in `recipes/`, the command is `hrcam train-pairs`.
"""

from hrcam.lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "run": "run_paired_training",
    "config": "PairedConfig load_paired_config",
})
