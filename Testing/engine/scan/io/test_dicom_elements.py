"""DICOM elements: the check before GDCM passes all that GDCM reads, and stops what would cost it memory and time."""

from pathlib import Path

import pydicom.data
import pytest
import SimpleITK as sitk  # noqa: N813
from corpus.dicom_elements import in_syntax, one_slice
from corpus.make import KINDS
from hrcam.errors import InputError
from hrcam.scan.io import dicom_elements
from hrcam.scan.io.dicom import is_dicom
from hrcam.scan.io.dicom_elements import check_elements
from hrcam.scan.volume import read_volume
from pydicom.uid import DeflatedExplicitVRLittleEndian

FALSE_LENGTHS = [kind for kind in KINDS.values() if kind.says == "it is cut short or states a false length"]


def gdcm_reads(path):
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.Execute()
    except RuntimeError:
        return False
    return True


def test_every_file_that_pydicom_is_tested_with_and_gdcm_reads_passes():
    """Many scanners and writers, and nearly all transfer syntaxes."""
    files = [file for file in Path(pydicom.data.__file__).parent.rglob("*") if file.is_file() and is_dicom(file)]
    refused, read = [], 0
    for file in files:
        try:
            check_elements(file)
            read += gdcm_reads(file)
        except ValueError:
            refused.append(file)
    assert read >= 50 and not any(gdcm_reads(file) for file in refused)


@pytest.mark.parametrize("kind", FALSE_LENGTHS, ids=lambda kind: kind.name)
def test_gdcm_never_sees_a_false_length(tmp_path, kind, monkeypatch):
    path = kind.make(tmp_path)
    monkeypatch.setattr("hrcam.scan.io.dicom.read_header", None)
    with pytest.raises(InputError, match="false length"):
        read_volume(path)


def test_a_deflated_file_is_not_unpacked_beyond_the_limit(tmp_path, monkeypatch):
    path = one_slice(tmp_path, in_syntax(DeflatedExplicitVRLittleEndian))
    check_elements(path)
    monkeypatch.setattr(dicom_elements, "_LONGEST", 1000)
    with pytest.raises(ValueError, match="unpacks to more than 1,000 bytes"):
        check_elements(path)


def test_a_broken_report_beside_images_is_passed_over(tmp_path):
    folder = KINDS["dicom_report_beside_images"].make(tmp_path)
    report = folder / "report.dcm"
    report.write_bytes(report.read_bytes() + b"\x29\x00\x10\x10UN\0\0\x00\x00\x00\x70")
    assert read_volume(folder).array.shape == (10, 30, 26)
