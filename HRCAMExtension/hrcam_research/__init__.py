"""What makes and measures bundled models: simulation, evaluation, recipes. Not installed into Slicer."""
