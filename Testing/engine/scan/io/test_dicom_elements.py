"""DICOM headers: every way that elements are written is read; false lengths end in words, and never reach GDCM."""

from pathlib import Path

import pydicom.data
import pytest
import SimpleITK as sitk  # noqa: N813
from corpus.dicom_elements import in_syntax, one_slice
from corpus.make import KINDS
from hrcam.errors import InputError
from hrcam.scan.io.dicom import dataset
from hrcam.scan.io.dicom.dataset import read_header
from hrcam.scan.io.dicom.frames import read_entry
from hrcam.scan.io.dicom.signature import is_dicom
from hrcam.scan.volume import read_volume
from pydicom.uid import DeflatedExplicitVRLittleEndian, RTDoseStorage, SegmentationStorage

FALSE_LENGTHS = [kind for kind in KINDS.values() if kind.says == "it is cut short or states a false length"]


def gdcm_size(path):
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.Execute()
    except RuntimeError:
        return None
    return reader.GetSize()


def test_every_image_that_pydicom_is_tested_with_and_gdcm_reads_is_understood():
    """Many scanners and writers, and nearly all transfer syntaxes."""
    files = [file for file in Path(pydicom.data.__file__).parent.rglob("*") if file.is_file() and is_dicom(file)]
    refused, read = [], 0
    for file in files:
        entry = read_entry(file)
        if entry is None or entry.problem is not None:
            refused.append(file)
        else:
            size = gdcm_size(file)
            one = entry.frames[0].file
            read += size is not None and size[:2] == (one.columns, one.rows)
    assert read >= 50
    kinds = {read_header(file).SOPClassUID for file in refused if gdcm_size(file)}
    assert kinds == {RTDoseStorage, SegmentationStorage}  # pixels, but no scans


@pytest.mark.parametrize("kind", FALSE_LENGTHS, ids=lambda kind: kind.name)
def test_gdcm_never_sees_a_false_length(tmp_path, kind, monkeypatch):
    path = kind.make(tmp_path)
    monkeypatch.setattr("hrcam.scan.io.dicom.pixels.read_itk_header", None)
    with pytest.raises(InputError, match="false length"):
        read_volume(path)


def test_a_deflated_file_is_not_unpacked_beyond_the_limit(tmp_path, monkeypatch):
    path = one_slice(tmp_path, in_syntax(DeflatedExplicitVRLittleEndian))
    assert read_volume(path).array.shape == (1, 30, 26)
    monkeypatch.setattr(dataset, "_MOST_UNPACKED", 1000)
    with pytest.raises(InputError, match="unpacks to more than 1,000 bytes"):
        read_volume(path)


def test_a_broken_report_beside_images_is_passed_over(tmp_path):
    folder = KINDS["dicom_report_beside_images"].make(tmp_path)
    report = folder / "report.dcm"
    report.write_bytes(report.read_bytes() + b"\x29\x00\x10\x10UN\0\0\x00\x00\x00\x70")
    assert read_volume(folder).array.shape == (10, 30, 26)


def test_a_broken_picture_within_a_slice_is_refused_and_nothing_is_printed(tmp_path, capfd):
    """GDCM's decoders print to the terminal, past Python."""
    path = KINDS["dicom_jpeg_2000"].make(tmp_path)
    content = bytearray(path.read_bytes())
    begin = content.index(b"\xff\x4f\xff\x51") + 4
    content[begin : begin + 40] = bytes(range(40))
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged or not a valid DICOM file"):
        read_volume(path)
    assert capfd.readouterr() == ("", "")


def test_warnings_of_itk_are_silent_in_our_calls_alone(tmp_path, capfd):
    """What others read in the same process keeps its warnings, before our calls and after them."""
    path = KINDS["nifti_without_voxel_size_beside_an_sform"].make(tmp_path)
    for shown in (True, False, True):
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
        sitk.ReadImage(str(path))
        assert ("WARNING" in capfd.readouterr().err) == shown
        read_volume(path)
        assert capfd.readouterr() == ("", "")
