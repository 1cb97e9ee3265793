"""What `localize` promises beyond geometry: classes, options, progress, cancelling, honest failure."""

import dataclasses

import numpy as np
import pytest
import SimpleITK
from hrcam.errors import Cancelled, InputError, ModelError
from hrcam.localize import STAGES, Options, localize
from hrcam.run.result import Result, validate_result
from hrcam.scan.volume import to_sitk

CPU = Options(device="cpu")
EVERY_SPECK = dataclasses.replace(CPU, minimum_region_ml=0.0)


@pytest.fixture(scope="module")
def result(bright_blob_bundle, blob_volume):
    return localize(blob_volume(), bright_blob_bundle, CPU)


def test_a_lesion_is_predicted_shown_and_found(result):
    assert result.predicted == result.shown_class == "lesion"
    assert result.probabilities["lesion"] > 0.9
    assert sum(result.probabilities.values()) == pytest.approx(1.0)
    assert len(result.regions) == 1 and result.regions[0].level == "strong"
    assert result.regions[0].volume_ml == pytest.approx(0.5, rel=0.2)


def test_a_scan_without_lesion_gives_an_empty_overlay(bright_blob_bundle, blob_volume):
    found = localize(blob_volume(lesion_ras=None), bright_blob_bundle, CPU)
    assert found.predicted == "no_lesion" and found.probabilities["no_lesion"] > 0.9
    assert found.shown_class == "lesion", "the strongest pathology is looked for, and not found"
    assert not found.labels.any() and found.regions == ()


def test_a_scan_called_normal_is_not_marked_unless_a_class_is_asked_for(bright_blob_bundle, blob_volume):
    small = blob_volume(radius_mm=1.0)
    found = localize(small, bright_blob_bundle, EVERY_SPECK)
    assert found.predicted == "no_lesion" and found.map.max() > found.evidence_levels[0].threshold
    assert not found.labels.any() and found.regions == ()
    assert found.withheld and any("are not marked" in warning for warning in found.warnings)
    asked = localize(small, bright_blob_bundle, dataclasses.replace(EVERY_SPECK, class_name="lesion"))
    assert asked.labels.any() and asked.regions and not asked.warnings and not asked.withheld
    np.testing.assert_array_equal(asked.map, found.map)


def test_a_bundle_says_above_which_probability_a_scan_is_called_normal(bright_blob_bundle, blob_volume):
    small = blob_volume(radius_mm=1.0)
    chance = localize(small, bright_blob_bundle, CPU).probabilities["no_lesion"]

    def with_rule(above):
        rule = {"above": above, "pathology_withheld": 0.02, "normal_shown": 0.1, "scans": 40}
        return dataclasses.replace(bright_blob_bundle, metadata={**bright_blob_bundle.metadata, "withholding": rule})

    kept = localize(small, with_rule(chance + 0.001), EVERY_SPECK)
    assert kept.predicted == "lesion" and kept.labels.any() and kept.regions and not kept.withheld
    taken = localize(small, with_rule(chance - 0.001), CPU)
    assert not taken.labels.any() and taken.regions == () and taken.withheld and taken.predicted == "no_lesion"
    words, = taken.warnings
    assert "2 % of the scans with pathology" in words and "marks on 10 % of those without" in words
    assert Result.from_json(taken.to_json(), taken.map, taken.labels).withheld


GRIDS = {
    "1 mm": {},
    "flat voxels": {"size_ijk": (48, 52, 51), "spacing": (1.0, 1.0, 0.87)},
    "stored as coronal slices": {"size_ijk": (48, 44, 52), "direction": [[1, 0, 0], [0, 0, 1], [0, -1, 0]]},
    "turned by ten degrees": {"direction": [[0.985, -0.174, 0], [0.174, 0.985, 0], [0, 0, 1]]},
    "thick axial slices": {"size_ijk": (48, 52, 18), "spacing": (1.0, 1.0, 2.4)},
}


@pytest.mark.parametrize("grid", list(GRIDS)[1:])
def test_the_same_head_gives_the_same_answer_however_it_is_stored(grid, bright_blob_bundle, blob_volume):
    first, other = (localize(blob_volume(**GRIDS[name]), bright_blob_bundle, CPU) for name in ("1 mm", grid))
    assert other.plane == first.plane == "axial"
    assert other.probabilities["lesion"] == pytest.approx(first.probabilities["lesion"], abs=0.15)
    onto = to_sitk(np.zeros(first.labels.shape, np.uint8), first.geometry)
    nearest = SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor
    resampled = SimpleITK.Resample(to_sitk(other.labels, other.geometry), onto, *nearest)
    a, b = first.labels > 0, SimpleITK.GetArrayFromImage(resampled) > 0
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.7


def test_the_map_is_in_logit_units_and_complete(result, bright_blob_bundle, blob_volume):
    assert result.completeness_error < 1e-4
    double = localize(blob_volume(), bright_blob_bundle, dataclasses.replace(CPU, class_name="no_lesion"))
    assert double.shown_class == "no_lesion"
    assert not double.map.any(), "this class has no evidence of its own, only a bias"


def test_labels_are_the_levels_of_the_map(result):
    for number, level in enumerate(result.evidence_levels, start=1):
        np.testing.assert_array_equal(result.labels >= number, result.map >= level.threshold)


def test_slices_carry_evidence_and_probabilities_where_there_is_something_to_see(result):
    assert [one.index for one in result.slices] == list(range(result.map.shape[0]))
    strongest = max(result.slices, key=lambda one: one.evidence)
    assert abs(strongest.index - result.regions[0].slice_index) <= 1
    assert strongest.position_ras[2] == pytest.approx(4.0, abs=1.0)
    assert strongest.probabilities["lesion"] > 0.9
    assert result.slices[0].probabilities == {}, "an empty slice says nothing"


def test_level_maps_add_up_to_the_published_sum(result, bright_blob_bundle, blob_volume):
    kept = localize(blob_volume(), bright_blob_bundle, dataclasses.replace(CPU, keep_levels=True, fusion="sum"))
    assert result.level_maps is None
    assert len(kept.level_maps) == 2
    np.testing.assert_allclose(sum(kept.level_maps.values()), kept.map, atol=1e-4)


def test_batch_size_does_not_change_the_result(result, bright_blob_bundle, blob_volume):
    for size in (1, 7):
        other = localize(blob_volume(), bright_blob_bundle, dataclasses.replace(CPU, batch_size=size))
        np.testing.assert_allclose(other.map, result.map, atol=1e-4)


def test_small_regions_vanish_from_table_and_labels_alike(bright_blob_bundle, blob_volume):
    found = localize(blob_volume(), bright_blob_bundle, dataclasses.replace(CPU, minimum_region_ml=50.0))
    assert found.regions == () and not found.labels.any() and found.map.max() > 15


def test_specks_are_left_out_of_volumes_unless_asked_for_and_kept_in_single_slices(bright_blob_bundle, blob_volume):
    speck = {"options": dataclasses.replace(CPU, class_name="lesion", minimum_region_ml=0.06),
             "bundle": bright_blob_bundle}
    found = localize(blob_volume(radius_mm=1.0), **speck)
    assert found.map.max() > found.evidence_levels[0].threshold and not found.labels.any() and not found.regions
    assert any("smaller than 0.06 ml" in words for words in found.warnings), "it says why nothing is marked"
    speck["options"] = dataclasses.replace(CPU, class_name="lesion")  # who asks for a class sees its specks
    region, = localize(blob_volume(radius_mm=1.0), **speck).regions
    assert region.volume_ml < Options().minimum_region_ml
    flat = blob_volume((48, 52, 1), lesion_ras=(6.0, -5.0, 0.0), radius_mm=2.0)
    region, = localize(flat, bright_blob_bundle, CPU).regions
    assert region.volume_ml < Options().minimum_region_ml, "thickness says nothing of what a slice shows"


def test_the_json_document_is_valid_and_brings_the_result_back(result):
    document = result.to_json({"map": "blob_map.nii.gz"})
    validate_result(document)
    back = Result.from_json(document, result.map, result.labels)
    for name in ("case", "probabilities", "regions", "slices", "evidence_levels", "plane", "geometry", "provenance",
                 "withheld"):
        assert getattr(back, name) == getattr(result, name), name
    with pytest.raises(InputError, match="shape"):
        Result.from_json(document, result.map[1:], result.labels)
    with pytest.raises(InputError, match="probabilities"):
        validate_result({**document, "probabilities": {"lesion": 2.0}})


def test_provenance_names_model_input_and_versions(result, bright_blob_bundle, blob_volume):
    assert result.provenance["model"]["sha256"] == bright_blob_bundle.sha256
    assert result.provenance["input"]["content_hash"] == blob_volume().content_hash
    assert result.provenance["options"]["fusion"] == "sum"
    assert result.provenance["input"]["out_of_range_score"] is None, "this bundle states no ranges"
    assert result.provenance["shown_terminology"] is None


def test_progress_names_the_stages_in_order_and_never_goes_back(bright_blob_bundle, blob_volume):
    heard = []
    localize(blob_volume(), bright_blob_bundle, dataclasses.replace(CPU, plane="all"), lambda *told: heard.append(told))
    stages = list(dict.fromkeys(stage for stage, _ in heard))
    assert stages == [stage for stage in STAGES if stage in stages]
    assert {"Checking", "Computing", "Mapping", "Finding regions"} <= set(stages)
    fractions = [fraction for _, fraction in heard]
    assert fractions == sorted(fractions) and fractions[0] >= 0 and fractions[-1] <= 1
    assert len([1 for stage, _ in heard if stage == "Computing"]) > 6, "each batch is told"


@pytest.mark.parametrize("after", [0, 3, 6])
def test_cancelling_stops_between_batches(after, bright_blob_bundle, blob_volume):
    asked = []

    def cancelled():
        asked.append(1)
        return len(asked) > after

    with pytest.raises(Cancelled):
        localize(blob_volume(), bright_blob_bundle, dataclasses.replace(CPU, batch_size=4), cancelled=cancelled)
    assert len(asked) == after + 1


@pytest.mark.parametrize(
    ("options", "kind", "word"),
    [
        (Options(class_name="glioma"), InputError, "lesion, no_lesion"),
        (Options(plane="diagonal"), InputError, "axial"),
        (Options(engine="steam"), InputError, "torch"),
        (Options(batch_size=0), InputError, "batch"),
        (Options(minimum_region_ml=-1.0), InputError, "smallest region"),
        (Options(fusion="fission"), ModelError, "sum"),
        (Options(device="tpu"), ModelError, "cpu"),
        (Options(device="cuda:99"), ModelError, "GPU"),
        (Options(device="cpu", precision="fp16"), ModelError, "fp32"),
    ],
)
def test_an_impossible_option_is_refused_with_what_to_choose(options, kind, word, bright_blob_bundle, blob_volume):
    with pytest.raises(kind, match=word):
        localize(blob_volume(), bright_blob_bundle, options)


def test_a_single_slice_is_localized_and_has_no_three_planes(bright_blob_bundle, blob_volume):
    scan = blob_volume((48, 52, 1), lesion_ras=(6.0, -5.0, 0.0), radius_mm=4.0)
    found = localize(scan, bright_blob_bundle, CPU)
    assert found.predicted == "lesion" and found.regions[0].slice_index == 0
    with pytest.raises(InputError, match="single slice"):
        localize(scan, bright_blob_bundle, dataclasses.replace(CPU, plane="all"))


def test_a_file_is_read_first(tmp_path, bright_blob_bundle, blob_volume, result):
    scan = blob_volume()
    SimpleITK.WriteImage(to_sitk(scan.array, scan.geometry), str(tmp_path / "blob.nrrd"))
    found = localize(tmp_path / "blob.nrrd", bright_blob_bundle, CPU)
    np.testing.assert_array_equal(found.map, result.map)
    assert "Reading" in found.timings and found.provenance["input"]["source"].endswith("blob.nrrd")


def test_half_precision_moves_the_map_by_a_percent_at_most(result, bright_blob_bundle, blob_volume):
    half = localize(blob_volume(), bright_blob_bundle, dataclasses.replace(CPU, precision="bf16"))
    assert np.abs(half.map - result.map).max() < 0.03 * result.map.max()
    assert half.predicted == result.predicted


def test_very_large_volumes_keep_their_maps_in_half_precision(result, bright_blob_bundle, blob_volume, monkeypatch):
    from hrcam.cam import level_maps

    monkeypatch.setattr(level_maps, "MAPS_IN_FULL", 1000)
    found = localize(blob_volume(), bright_blob_bundle, CPU)
    assert found.map.dtype == np.float32 and not np.array_equal(found.map, result.map)
    np.testing.assert_allclose(found.map, result.map, atol=1e-3 * result.map.max())
    monkeypatch.setattr(level_maps, "MAPS_IN_MEMORY", 1000)
    on_disk = localize(blob_volume(), bright_blob_bundle, CPU)
    np.testing.assert_array_equal(on_disk.map, found.map)


def test_no_room_for_the_maps_of_a_very_large_volume_is_said(bright_blob_bundle, blob_volume, monkeypatch):
    from hrcam.cam import level_maps
    from hrcam.errors import OutputError

    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(level_maps, "MAPS_IN_FULL", 1000)
    monkeypatch.setattr(level_maps, "MAPS_IN_MEMORY", 1000)
    monkeypatch.setattr(level_maps.tempfile, "TemporaryFile", full)
    with pytest.raises(OutputError, match=r"No space left.*TMPDIR"):
        localize(blob_volume(), bright_blob_bundle, CPU)


def test_memory_running_out_halves_the_batch_then_leaves_the_gpu(bright_blob_bundle, blob_volume, monkeypatch):
    """CUDA's failure is simulated: a device that refuses every batch of more than none."""
    import torch
    from hrcam.run import inference

    sizes, real = [], inference.Runner.forward

    def failing(self, plan, chosen, *rest):
        if self.device.type != "cpu":
            sizes.append(chosen.stop - chosen.start)
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return real(self, plan, chosen, *rest)

    monkeypatch.setattr(inference.Runner, "forward", failing)
    monkeypatch.setattr(inference, "choose_device", lambda name: torch.device("meta"))
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *a, **k: self)
    found = localize(blob_volume(), bright_blob_bundle, Options(batch_size=8))
    assert sizes == [8, 4, 2, 1]
    assert any("GPU" in warning for warning in found.warnings)
    assert found.predicted == "lesion" and found.provenance["device"] == "cpu"
