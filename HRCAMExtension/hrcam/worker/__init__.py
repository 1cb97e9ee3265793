"""The warm process that Slicer's panel talks to in JSON lines: `python -m hrcam.worker`."""
