"""A classic DICOM series of made-up voxels on the disk."""

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

STUDY, SERIES, FRAME = "1.2.826.0.1.3680043.8.498.9", "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.7"


def write_series(folder, volume, first=0):
    """The slices of a volume as a classic series of one patient."""
    folder.mkdir()
    matrix = volume.geometry.ijk_to_lps
    axes = [*map(float, volume.geometry.direction_lps[:, 0]), *map(float, volume.geometry.direction_lps[:, 1])]
    for index, pixels in enumerate(volume.array):
        meta = pydicom.dataset.FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = MRImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = f"{SERIES}.{index + 1}"
        one = pydicom.dataset.FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
        one.SOPClassUID, one.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = STUDY, SERIES, FRAME
        one.PatientName, one.PatientID, one.Modality, one.InstanceNumber = "MADE^UP", "made-1", "MR", index + 1
        one.SeriesDescription = "T1 POST"
        one.Rows, one.Columns = pixels.shape
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
        one.PixelSpacing = [volume.geometry.spacing[1], volume.geometry.spacing[0]]
        one.SliceThickness, one.ImageOrientationPatient = volume.geometry.spacing[2], [f"{a:.14f}"[:16] for a in axes]
        one.ImagePositionPatient = [f"{p:.11f}"[:16] for p in matrix[:3, 3] + index * matrix[:3, 2]]
        one.PixelData = np.round(pixels).clip(0).astype(np.uint16).tobytes()
        one.save_as(folder / f"IM{index:03d}.dcm", enforce_file_format=True)
