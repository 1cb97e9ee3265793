"""When a scan was taken and in which frame of reference, where DICOM says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import HRCAMError
from ..scan.io.dicom.dataset import read_header, text
from ..scan.io.dicom.series import files_of
from ..scan.volume import Volume

_DATES = ("AcquisitionDate", "StudyDate", "SeriesDate")
"""The first that is there counts."""
_TIMES = ("AcquisitionTime", "StudyTime", "SeriesTime")


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
    """Read it from the first of the scan's DICOM files."""
    try:
        files = volume.dicom_files or files_of(volume.source)
        if not files:
            return NOT_STATED
        dataset = read_header(Path(files[0]), everything=True)
    except (HRCAMError, OSError, ValueError):
        return NOT_STATED

    def first(keywords: tuple[str, ...]) -> str:
        return next(filter(None, (text(dataset, keyword) for keyword in keywords)), "")

    date = first(_DATES)
    return Acquisition(date if date.isdigit() else "", first(_TIMES), first(("FrameOfReferenceUID",)))
