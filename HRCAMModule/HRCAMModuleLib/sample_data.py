"""Scans to try the module with: Slicer's own tumor cases, which need no registration, and our generated one."""

from __future__ import annotations

import hashlib
from pathlib import Path

SAMPLE_NAME = "HRCAMSyntheticTumor"


def registerSampleData(resourceFolder: Path) -> None:
    """Register the generated sample in the Sample Data module; call when the application has started."""
    import SampleData

    sample = resourceFolder / "SampleData" / f"{SAMPLE_NAME}.nrrd"
    if not sample.is_file():
        return
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="HR-CAM",
        sampleName=SAMPLE_NAME,
        thumbnailFileName=str(resourceFolder / "Icons" / "HRCAMModule.png"),
        uris=sample.as_uri(),
        fileNames=sample.name,
        nodeNames=SAMPLE_NAME,
        checksums=f"SHA256:{hashlib.sha256(sample.read_bytes()).hexdigest()}",  # else an older one stays in the cache
    )
