"""Where in the brain a region lies: side, structure and coordinates of the MNI template."""
