"""Training a CNN by image-level labels and writing it as a model bundle (`hrcam train`)."""
