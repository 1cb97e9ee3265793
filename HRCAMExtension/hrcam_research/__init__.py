"""What makes and judges bundled models: simulation, evaluation, recipes. Not installed into Slicer."""
