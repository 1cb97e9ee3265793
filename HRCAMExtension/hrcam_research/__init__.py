"""What makes and judges the bundled models: simulation, evaluation against rivals, recipes. Not in Slicer."""
