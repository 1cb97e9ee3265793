"""What makes and judges the bundled models: simulation, evaluation against rivals, recipes. Not installed into Slicer."""
