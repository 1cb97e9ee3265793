"""Simulated sets: the same files for any number of jobs, resumable, no head in two splits."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its customary name
import typer
from hrcam.errors import HRCAMError, InputError, OutputError
from hrcam_research.simulate import dataset
from hrcam_research.simulate.command import simulate
from hrcam_research.simulate.config import SimulationConfig, heads_from
from hrcam_research.simulate.dataset import make_dataset
from PIL import Image
from typer.testing import CliRunner

SMALL = {"count": 8, "seed": 3, "size": 64, "spacing_mm": 3.6}


@pytest.fixture(autouse=True)
def few_phantoms(monkeypatch):
    monkeypatch.setattr("hrcam_research.simulate.config.PHANTOM_HEADS", 4)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_set_has_images_masks_table_and_configuration(tmp_path):
    table = make_dataset(SimulationConfig(**SMALL), tmp_path / "set")
    found = rows(table)
    assert len(found) == 8 and [row["label"] for row in found[:2]] == ["lesion", "healthy"]
    for row in found:
        picture = np.asarray(Image.open(tmp_path / "set" / row["path"]))
        mask = np.asarray(Image.open(tmp_path / "set" / row["mask"]))
        assert picture.dtype == np.uint16 and picture.shape == mask.shape == (64, 64)
        assert (mask > 0).sum() == int(row["mask_voxels"])
        assert (int(row["mask_voxels"]) > 0) == (row["label"] == "lesion")
        assert bool(json.loads(row["spec"])) == (row["label"] == "lesion")
    by_split = {s: {r["patient"] for r in found if r["split"] == s} for s in ("train", "validation")}
    assert by_split["train"] and by_split["validation"] and not by_split["train"] & by_split["validation"]
    assert json.loads((tmp_path / "set" / "recipe.json").read_text())["seed"] == 3
    assert sorted(p.name for p in (tmp_path / "set").iterdir()) == ["cases.csv", "images", "masks", "recipe.json"]


def test_interrupted_set_is_finished_with_the_same_files(tmp_path, monkeypatch):
    whole = make_dataset(SimulationConfig(**SMALL), tmp_path / "whole").parent
    real = dataset._make
    made = []

    def stops(config, out, image):
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append(image)
        real(config, out, image)

    monkeypatch.setattr(dataset, "_make", stops)
    with pytest.raises(KeyboardInterrupt):
        make_dataset(SimulationConfig(**SMALL), tmp_path / "broken")
    assert not (tmp_path / "broken" / "cases.csv").exists()
    (tmp_path / "broken" / "images" / ".1-lesion_000005.png").write_bytes(b"half")
    monkeypatch.setattr(dataset, "_make", real)
    seen = []
    make_dataset(SimulationConfig(**SMALL), tmp_path / "broken", progress=lambda done, total: seen.append(done))
    assert seen[0] == 5 and seen[-1] == 8
    assert files(tmp_path / "broken") == files(whole)


def test_jobs_do_not_change_the_set(tmp_path, monkeypatch):
    # Phantoms of a spawned process are those of the module, so the number of heads is left alone here.
    monkeypatch.undo()
    values = {**SMALL, "count": 4, "size": 32, "spacing_mm": 7.2}
    one = make_dataset(SimulationConfig(**values), tmp_path / "one", jobs=1).parent
    two = make_dataset(SimulationConfig(**values), tmp_path / "two", jobs=2).parent
    assert files(one) == files(two)


def test_twins_differ_only_around_the_lesion(tmp_path):
    from scipy import ndimage

    table = make_dataset(SimulationConfig(**SMALL, paired=True, diameter_mm=(12.0, 14.0)), tmp_path / "set")
    found = rows(table)
    for sick, healthy in zip(found[::2], found[1::2], strict=True):
        assert sick["patient"] == healthy["patient"] and sick["seed"] == healthy["seed"]
        a, b = (np.asarray(Image.open(table.parent / r["path"]), dtype=float) for r in (sick, healthy))
        mask = np.asarray(Image.open(table.parent / sick["mask"])) > 0
        far = ~ndimage.binary_dilation(mask, iterations=12)
        assert np.array_equal(a[far], b[far])
        assert not np.array_equal(a[mask], b[mask])


def test_slices_as_nifti_keep_spacing_and_plane(tmp_path):
    table = make_dataset(SimulationConfig(**SMALL, file_format="nifti"), tmp_path / "set")
    normals = {"axial": (0, 0, 1), "coronal": (0, 1, 0), "sagittal": (1, 0, 0)}
    for row in rows(table):
        scan = sitk.ReadImage(str(table.parent / row["path"]))
        assert scan.GetSize() == (64, 64, 1) and scan.GetSpacing() == pytest.approx((3.6,) * 3)
        assert np.abs(np.array(scan.GetDirection()).reshape(3, 3)[:, 2]) == pytest.approx(normals[row["plane"]])
        center = scan.TransformContinuousIndexToPhysicalPoint((31.5, 31.5, 0.0))
        assert center == pytest.approx((0, 0, 0), abs=1e-3)


def test_neuromelanin_set_has_subjects_and_anatomy(tmp_path, monkeypatch):
    from functools import partial

    monkeypatch.setattr(
        dataset, "simulate_midbrain",
        partial(dataset.simulate_midbrain, size=(6, 48, 48), spacing_mm=(4.0, 1.2, 1.2)),
    )  # fmt: skip
    config = SimulationConfig("neuromelanin", 3, 4, 1, paired=True, file_format="nifti", validation=0.5)
    table = make_dataset(config, tmp_path / "nm")
    found = rows(table)
    assert [r["label"] for r in found] == ["parkinson", "control"] * 2
    assert found[0]["patient"] == found[1]["patient"] != found[2]["patient"]
    assert {r["split"] for r in found} == {"train", "validation"}
    assert found[0]["split"] == found[1]["split"]
    nigra = sitk.GetArrayFromImage(sitk.ReadImage(str(table.parent / "anatomy" / Path(found[0]["path"]).name)))
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(table.parent / found[0]["mask"])))
    assert mask.any() and (nigra[mask > 0] == 2).all() and (nigra == 1).any()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_made_nothing_leaves_the_folder_to_the_corrected_one(tmp_path, jobs):
    head = tmp_path / "head.nii.gz"
    head.write_text("no volume")
    with pytest.raises(InputError, match="cannot be read"):
        make_dataset(SimulationConfig(**{**SMALL, "count": 2, "heads": (head,)}), tmp_path / "set", jobs)
    assert not any((tmp_path / "set").iterdir())
    assert make_dataset(SimulationConfig(**{**SMALL, "count": 2}), tmp_path / "set").exists()


def test_other_content_is_never_overwritten(tmp_path):
    make_dataset(SimulationConfig(**{**SMALL, "count": 2}), tmp_path / "set")
    before = files(tmp_path / "set")
    with pytest.raises(OutputError, match="other settings"):
        make_dataset(SimulationConfig(**{**SMALL, "count": 2, "seed": 4}), tmp_path / "set")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not empty"):
        make_dataset(SimulationConfig(**SMALL), tmp_path / "full")
    assert files(tmp_path / "set") == before
    (tmp_path / "set" / "recipe.json").write_text("{")
    with pytest.raises(OutputError, match="other settings"):
        make_dataset(SimulationConfig(**{**SMALL, "count": 2}), tmp_path / "set")


def test_command_works_from_phantoms_alone(tmp_path):
    app = typer.Typer()
    app.command()(simulate)
    out = tmp_path / "set"
    arguments = ["--count", "4", "--size", "64", "--spacing", "3.6", "--seed", "1", "--out", str(out)]
    arguments += ["--weakest", "0.4", "--strongest", "0.9", "--least-change", "0.2"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip().endswith("cases.csv")
    assert '"seed": 1' in result.stderr and '"least_change": 0.2' in result.stderr
    with (out / "cases.csv").open(newline="") as stream:
        specs = [json.loads(row["spec"]) for row in csv.DictReader(stream)]
    assert all(0.39 < abs(spec["contrast"]) < 0.91 for spec in specs if spec)
    assert len(list((out / "images").iterdir())) == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "cyst"}, "no simulation"),
        ({"kind": "neuromelanin", "dims": 2}, "2D"),
        ({"count": 0}, "count"),
        ({"diameter_mm": (9.0, 3.0)}, "range"),
        ({"contrast": (0.8, 0.2)}, "Contrasts"),
        ({"least_change": 2.0}, "change"),
        ({"dims": 3, "file_format": "png"}, "nifti"),
        ({"size": 4}, "too small"),
        ({"style": "ct"}, "style"),
        ({"validation": 1.0}, "validation"),
        ({"spacing_mm": 0.0}, "above 0 mm"),
        ({"kind": "neuromelanin", "dims": 3, "file_format": "nifti", "size": 64}, "their own grid"),
    ],
)
def test_impossible_settings_are_explained(values, message):
    with pytest.raises(InputError, match=message):
        SimulationConfig(**values)


def test_heads_are_taken_from_a_folder_or_a_file_and_told_apart_by_name(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        (tmp_path / name).touch()
    one, two = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    assert heads_from(None, None) == () and heads_from(None, one) == (one,) and heads_from(tmp_path, None) == (one, two)
    (tmp_path / "a.nii").touch()
    for folder, file, message in (
        (tmp_path, one, "cannot be given together"), (None, tmp_path / "c.nii", "There is no file"),
        (tmp_path / "c", None, "There is no folder"), (tmp_path, None, "Two volumes in .* have the same name"),
    ):
        with pytest.raises(InputError, match=message):
            heads_from(folder, file)


def test_one_head_is_never_split(tmp_path):
    config = SimulationConfig(heads=(tmp_path / "a.nii.gz",), count=6)
    assert config.splits() == {"a": "train"}


def test_unusable_heads_are_explained(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"no volume")
    with pytest.raises(HRCAMError, match="cannot be read"):
        make_dataset(SimulationConfig(**SMALL, heads=(tmp_path / "a.nii.gz",)), tmp_path / "set")
