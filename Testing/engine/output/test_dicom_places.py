"""The Structured Report says where in the brain each region lies, in codes that other programs know."""

from dataclasses import replace

import pytest
from hrcam.localize import Options, localize
from hrcam.output.writers import write_result
from hrcam.place.structures import STRUCTURES
from hrcam.run.result import Place

hd = pytest.importorskip("highdicom")
from hrcam.output.dicom.places import side_code, structure_code  # noqa: E402 - it needs pydicom


@pytest.fixture(scope="module")
def group(tmp_path_factory, blob_volume, bright_blob_bundle):
    """The report's group of a region in the left putamen."""
    scan = blob_volume(size_ijk=(40, 42, 16))
    result = localize(scan, bright_blob_bundle, Options(device="cpu"))
    placed = replace(result.regions[0], place=Place("left", "putamen", 0.8, (-26.0, 4.5, 1.0)))
    result = replace(result, regions=(placed, *result.regions[1:]))
    files = write_result(result, scan, tmp_path_factory.mktemp("out"), ["dicom_report", "dicom_segmentation"])
    return hd.sr.srread(files["dicom_report"]).content.get_volumetric_roi_measurement_groups()[0]


def test_the_report_names_structure_and_side(group):
    site, = group.finding_sites
    assert (site.value.value, site.value.scheme_designator, site.value.meaning) == ("89278009", "SCT", "Putamen")
    assert site.laterality.meaning == "Left"


def test_the_report_holds_the_position_in_mni_space(group):
    values = {one.name.value: (one.value, one.unit.value) for one in group.get_measurements()}
    assert (values["mni-x"], values["mni-y"], values["mni-z"]) == ((-26.0, "mm"), (4.5, "mm"), (1.0, "mm"))


def test_codes_are_those_of_the_standard():
    from pydicom.sr.codedict import codes

    known = {"thalamus": codes.SCT.Thalamus, "pallidum": codes.SCT.GlobusPallidus,
             "white matter": codes.SCT.CerebralWhiteMatter, "cortex": codes.SCT.CerebralCortex,
             "brainstem": codes.SCT.BrainStem, "fourth ventricle": codes.SCT.FourthVentricle}
    for structure, code in known.items():
        found = structure_code(Place("midline", structure, 1.0, (0.0, 0.0, 0.0)))
        assert (found.value, found.meaning) == (code.value, code.meaning)
    assert side_code(Place("midline", "brainstem", 1.0, (0.0, 0.0, 0.0))).value == codes.SCT.Midline.value


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_has_a_code_that_dicom_can_hold(structure):
    code = structure_code(Place("left", structure, 1.0, (0.0, 0.0, 0.0)))
    assert 0 < len(code.value) <= 16 and 0 < len(code.meaning) <= 64
