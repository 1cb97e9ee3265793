"""Which sequence a scan is, told from its image: what is recognized, and when a model warns."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from documents import REPOSITORY
from hrcam.bundle.bundle import load_bundle
from hrcam.localize import Options, localize
from hrcam.scan.checks import assess_fit
from hrcam.scan.volume import Volume, read_volume
from hrcam.sequence.check import check_sequence
from hrcam.sequence.recognition import Recognition, recognize
from hrcam.sequence.slices import SLICES, equalized, slices_of

T1_MODEL = SimpleNamespace(metadata={"modality": "MR T1", "sequences": ["T1", "T1-CE"]})
ANY_MR = SimpleNamespace(metadata={"modality": "MR", "sequences": ["T1", "T1-CE", "FLAIR", "T2", "PD", "DWI"]})


@pytest.fixture(scope="module")
def t1():
    """The T1 template that nilearn ships, reduced to 2 mm."""
    folder = Path(importlib.util.find_spec("nilearn").origin).parent / "datasets" / "data"
    found = read_volume(folder / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz")
    return replace(found, name="scan")


def remapped(t1, fluid, gray, white):
    """The template with other intensities of fluid, gray and white matter, whose own lie at .25, .6 and .9."""
    share = t1.array / np.percentile(t1.array[t1.array > 0], 98)
    values = np.interp(share, [0, 0.05, 0.25, 0.6, 0.9], [0, fluid, fluid, gray, white])
    return replace(t1, array=np.ascontiguousarray(values, np.float32))


@pytest.fixture(scope="module")
def flair_like(t1):
    return remapped(t1, 0.25, 1.0, 0.75)


@pytest.fixture(scope="module")
def t2_like(t1):
    return remapped(t1, 1.0, 0.6, 0.4)


def test_a_t1_scan_is_recognized_and_passes_without_a_word(t1):
    assert recognize(t1).likeliest in ("T1", "T1-CE")
    assert check_sequence(t1, T1_MODEL) is None


def test_bright_cortex_or_bright_fluid_is_not_t1(flair_like, t2_like):
    for scan in (flair_like, t2_like):
        warning = check_sequence(scan, T1_MODEL)
        assert warning.startswith("By its contrast this looks like a ")
        assert warning.endswith("the model was made for MR T1. Choose such a scan, or another model.")
    assert "a T2 scan" in check_sequence(t2_like, T1_MODEL)


def test_a_model_for_any_sequence_does_not_mind(flair_like, t2_like):
    assert check_sequence(flair_like, ANY_MR) is None
    assert check_sequence(t2_like, ANY_MR) is None


def test_the_warning_names_the_models_that_state_the_sequence(t1, t2_like):
    def model(name, title, *sequences):
        return SimpleNamespace(metadata={"name": name, "title": title, "modality": "MR", "sequences": sequences})

    t2, several = model("two", "T2 alone", "T2"), model("any", "Any MR", "T1", "T2")
    unfit = SimpleNamespace(metadata={"name": "other", "title": "Other", "modality": "MR"})
    warning = check_sequence(t2_like, T1_MODEL, lambda: [t2, unfit, T1_MODEL, several])
    assert warning.endswith('"T2 alone" (two) or "Any MR" (any), which was trained on scans like this one.')
    assert check_sequence(t2_like, T1_MODEL, lambda: [unfit]).endswith("Choose such a scan, or another model.")
    assert check_sequence(t1, T1_MODEL, lambda: pytest.fail("models are read where one is to be named")) is None
    by_name = assess_fit(replace(t1, name="a_PDw"), load_bundle("t1ce-tumor"), None, lambda: [model("p", "P", "PD")])
    assert 'Choose the model "P" (p)' in " ".join(by_name.warnings)


def test_the_bundle_that_reads_a_scan_is_named_where_another_is_asked(flair_like):
    warnings = localize(flair_like, load_bundle("t1ce-tumor"), Options()).warnings
    other = load_bundle("brain-lesion")
    assert any(f'Choose the model "{other.title}" ({other.name})' in one for one in warnings)


def test_what_name_or_dicom_tell_is_not_told_again(flair_like):
    assert check_sequence(replace(flair_like, name="sub-01_FLAIR"), T1_MODEL) is None
    assert check_sequence(replace(flair_like, modality="MR Ax FLAIR"), T1_MODEL) is None
    assert check_sequence(replace(flair_like, modality="CT head"), T1_MODEL) is None
    assert check_sequence(replace(flair_like, modality="MR"), T1_MODEL) is not None, "of the sequence it tells nothing"


def test_the_image_decides_between_several_names(t1, flair_like):
    """As in "T1 FLAIR", a T1 sequence, or "T1-CE and FLAIR", a folder's name."""
    assert check_sequence(replace(t1, name="Sag T1 FLAIR"), T1_MODEL) is None
    assert check_sequence(replace(flair_like, name="T1-CE or FLAIR"), T1_MODEL).startswith("By its contrast")
    assert check_sequence(replace(flair_like, name="T2 FLAIR"), T1_MODEL) is None, "its name tells already"


def test_a_bundle_that_names_no_sequences_is_not_compared(flair_like):
    assert check_sequence(flair_like, SimpleNamespace(metadata={"modality": "MR T1"})) is None


def test_brightness_alone_does_not_count(t1):
    images = slices_of(t1)
    assert np.allclose(equalized(images[0] * 4), equalized(images[0]), atol=1e-3)
    darker = np.where(images[0] > 0, images[0], 0) ** 1.3
    assert np.abs(equalized(darker.astype(np.float32)) - equalized(images[0])).mean() < 0.05


def test_ranks_of_a_slice():
    image = np.zeros((40, 40), np.float32)
    image[:, 20:] = np.linspace(100, 200, 800).reshape(40, 20)
    ranks = equalized(image)
    assert not ranks[:, :20].any() and ranks[0, 20] == pytest.approx(0.1) and ranks.max() == pytest.approx(1.0)
    assert ranks[:, 20:].mean() == pytest.approx(0.55, abs=0.01)
    assert not equalized(np.zeros((9, 9), np.float32)).any()


def test_a_few_slices_that_show_much_are_looked_at(t1):
    images = slices_of(t1)
    shown = (images > 0.12).mean(axis=(1, 2))
    assert 4 <= len(images) <= SLICES and shown.min() >= 0.5 * shown.max()
    one = Volume(t1.array[90:91], replace(t1.geometry, size_ijk=(*t1.geometry.size_ijk[:2], 1)), "scan")
    assert len(slices_of(one)) == 1


def test_evidence_against_is_the_log_ratio_of_sums():
    found = Recognition({"T1": np.log(0.1), "T1-CE": np.log(0.1), "FLAIR": np.log(0.7), "T2": np.log(0.1)})
    assert found.likeliest == "FLAIR"
    assert found.against(["T1", "T1-CE"]) == pytest.approx(np.log(0.8 / 0.2))


def test_a_scan_that_shows_nothing_is_left_to_the_model(t1):
    nothing = replace(t1, array=np.zeros_like(t1.array))
    assert check_sequence(nothing, T1_MODEL) is None


@pytest.mark.parametrize("name", ["t1ce-tumor", "simulated-lesion", "simulated-lesion-3d"])
def test_bundled_models_of_t1_warn(name, flair_like):
    assert "looks like" in check_sequence(flair_like, load_bundle(name))


def test_the_sample_of_the_module_is_not_warned_of():
    sample = read_volume(REPOSITORY / "HRCAMModule" / "Resources" / "SampleData" / "HRCAMSyntheticTumor.nrrd")
    assert check_sequence(replace(sample, name="scan"), load_bundle("t1ce-tumor")) is None


def test_the_result_of_a_wrong_scan_carries_one_warning_on_it(t2_like):
    middle = Volume(t2_like.array[80:100:10].copy(), replace(
        t2_like.geometry, size_ijk=(*t2_like.geometry.size_ijk[:2], 2),
        spacing=(*t2_like.geometry.spacing[:2], 10.0)), "scan")
    result = localize(middle, load_bundle("t1ce-tumor"), Options(device="cpu"))
    about = [one for one in result.warnings if "looks like" in one or "looks unlike" in one]
    assert len(about) == 1 and "By its contrast this looks like" in about[0]
