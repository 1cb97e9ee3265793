"""Training on simulated pairs, which made the bundled models of simulated lesions: the same image with and without one.

Start with `run.run_paired_training`; recipes are in `recipes/`, the command is `hrcam train-pairs`.
"""
