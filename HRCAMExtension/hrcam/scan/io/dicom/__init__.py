"""DICOM: which files of a folder make one volume, where its slices lie, and what their numbers mean."""
