"""When a scan was taken and in which frame of reference, where DICOM says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import HRCAMError
from ..scan.io.dicom import is_dicom, series_at, single_series
from ..scan.io.itk import read_header
from ..scan.volume import Volume

_DATES = ("0008|0022", "0008|0020", "0008|0021")
"""AcquisitionDate, StudyDate, SeriesDate: the first that is there counts."""
_TIMES = ("0008|0032", "0008|0030", "0008|0031")
_FRAME_OF_REFERENCE = "0020|0052"


@dataclass(frozen=True)
class Acquisition:
    """What DICOM says of a scan; empty where it says nothing, and for other formats.

    Parameters
    ----------
    date : YYYYMMDD.
    time : HHMMSS and parts of a second.
    frame_of_reference : UID; scans that share it lie in one space, as long as nobody moved.
    """

    date: str = ""
    time: str = ""
    frame_of_reference: str = ""

    @property
    def shown(self) -> str:
        """The date as people write it: YYYY-MM-DD."""
        return f"{self.date[:4]}-{self.date[4:6]}-{self.date[6:8]}" if len(self.date) == 8 else ""


NOT_STATED = Acquisition()


def acquisition_of(volume: Volume) -> Acquisition:
    """Read it from the first file of the volume's source."""
    try:
        path = Path(volume.source)
        series = series_at(path)
        if series is None and volume.source and (path.is_dir() or (path.is_file() and is_dicom(path))):
            series = single_series(path)
        if series is None:
            return NOT_STATED
        reader = read_header(Path(series.files[0]), "GDCMImageIO")
    except (HRCAMError, OSError, ValueError):
        return NOT_STATED

    def first(keys: tuple[str, ...]) -> str:
        found = (reader.GetMetaData(key).strip() for key in keys if reader.HasMetaDataKey(key))
        return next((value for value in found if value), "")

    date = first(_DATES)
    return Acquisition(date if date.isdigit() else "", first(_TIMES), first((_FRAME_OF_REFERENCE,)))
