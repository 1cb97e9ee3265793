"""Behind `read_volume`: file formats, DICOM series, discovery of scans in folders, whole or damaged files."""
