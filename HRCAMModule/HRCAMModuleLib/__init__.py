"""The parts of the HR-CAM module. Nothing here imports torch; the engine is imported where it is used."""
