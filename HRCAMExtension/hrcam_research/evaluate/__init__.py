"""HR-CAM beside its rivals: maps, metrics, intervals, tables and figures (`hrcam evaluate`, docs/RESULTS.md)."""
