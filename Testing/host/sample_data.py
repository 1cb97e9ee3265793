"""Stand-in for Slicer's `SampleData` module: keeps what modules register, and loads what lies on this disk."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlparse

import slicer


@dataclass
class SampleDataSource:
    sampleName: str | None = None
    sampleDescription: str | None = None
    uris: list | str | None = None
    fileNames: list | str | None = None
    nodeNames: list | str | None = None
    loadFiles: bool | None = None
    customDownloader: object = None
    thumbnailFileName: str | None = None
    loadFileType: list | str | None = None
    loadFileProperties: dict = field(default_factory=dict)
    checksums: list | str | None = None


class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileType="VolumeFile",
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
    ):
        """Same arguments as Slicer's; a thumbnail that is not there is refused (Slicer would show an empty button)."""
        if thumbnailFileName is not None and not Path(thumbnailFileName).is_file():
            raise FileNotFoundError(f"Sample data '{sampleName}': no thumbnail {thumbnailFileName}")
        source = SampleDataSource(
            sampleName=sampleName,
            uris=uris,
            fileNames=fileNames,
            nodeNames=nodeNames,
            customDownloader=customDownloader,
            thumbnailFileName=thumbnailFileName,
            loadFileType=loadFileType,
            loadFiles=loadFiles,
            loadFileProperties=loadFileProperties or {},
            checksums=checksums,
        )
        slicer.modules.sampleDataSources = getattr(slicer.modules, "sampleDataSources", {})
        slicer.modules.sampleDataSources.setdefault(category, []).append(source)

    def downloadSample(self, sampleName):
        for sources in getattr(slicer.modules, "sampleDataSources", {}).values():
            for source in sources:
                if source.sampleName == sampleName:
                    return self._load(source)
        raise ValueError(f"No sample data named '{sampleName}' is registered.")

    def _load(self, source):
        if source.customDownloader is not None:
            return source.customDownloader(source)
        uri = source.uris if isinstance(source.uris, str) else source.uris[0]
        if not uri.startswith("file:"):
            raise RuntimeError(f"The test host downloads nothing: {uri}")
        name = source.nodeNames if isinstance(source.nodeNames, str) else (source.nodeNames or [None])[0]
        return slicer.util.loadVolume(unquote(urlparse(uri).path), {"name": name} if name else {})


def downloadSample(sampleName):
    return SampleDataLogic().downloadSample(sampleName)
