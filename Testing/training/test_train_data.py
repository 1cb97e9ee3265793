"""Training data: folders and CSVs become cases, splits are by patient, and nothing leaks between them."""

import csv
import itertools

import numpy as np
import pytest
from hrcam.bundle.bundle import Bundle
from hrcam.errors import InputError
from hrcam.scan.sampling import plan_slices
from hrcam.scan.volume import read_volume
from hrcam_train.config import parse_config
from hrcam_train.data import ImageExamples, SameSizeBatches, class_weights
from hrcam_train.prepare_cases import PreparedCase, prepare_cases
from hrcam_train.splits import check_splits, fold_patients, hold_out
from hrcam_train.table import LabeledCase, parse_slice_labels, read_cases
from PIL import Image
from train_data import disc, make_folder, settings, write

CLASSES = ["blob", "none"]


def write_csv(path, rows):
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def cases_of(*patients):
    """(label, patient) pairs to cases whose files need not exist."""
    return [LabeledCase(f"{p}-{n}", label, p) for n, (label, p) in enumerate(patients)]


def test_a_folder_gives_class_and_patient(tmp_path):
    make_folder(tmp_path, patients=2, slices=2)
    write(tmp_path / "none" / "single.nii.gz", disc(np.random.default_rng(), slices=2)[0])
    found = {(case.label, case.patient) for case in read_cases(tmp_path, CLASSES)}
    assert found == {("blob", "blob-0"), ("blob", "blob-1"), ("none", "none-0"), ("none", "none-1"), ("none", "single")}
    shorter = read_cases(tmp_path, CLASSES, r"^(\w+)")
    assert {case.patient for case in shorter} == {"blob", "none", "single"}
    with pytest.raises(InputError, match="does not match"):
        read_cases(tmp_path, CLASSES, r"^(\d+)")


def test_missing_classes_and_wrong_folders_are_named(tmp_path):
    make_folder(tmp_path, patients=2, slices=2)
    with pytest.raises(InputError, match="no case of cyst"):
        read_cases(tmp_path, [*CLASSES, "cyst"])
    with pytest.raises(InputError, match=r"none of the class folders x, y.*blob, none"):
        read_cases(tmp_path, ["x", "y"])
    with pytest.raises(InputError, match="no folder or CSV"):
        read_cases(tmp_path / "nowhere", CLASSES)


def test_all_wrong_lines_of_a_csv_are_listed(tmp_path):
    write(tmp_path / "a.nii.gz", disc(np.random.default_rng())[0])
    good = {"path": "a.nii.gz", "label": "blob", "patient": "1", "split": "val", "slice_label": ""}
    wrong = [
        good | {"path": "b.nii.gz"}, good | {"label": "lump"}, good | {"patient": " "}, good | {"split": "test"},
        good | {"slice_label": "3-x"},
    ]  # fmt: skip
    with pytest.raises(InputError) as error:
        read_cases(write_csv(tmp_path / "t.csv", [good, *wrong]), CLASSES)
    text = str(error.value)
    for words in ("5 wrong line", "line 3: there is no b.nii.gz", "line 4: label 'lump'", "line 5: path and patient",
                  "line 6: split 'test'", "line 7: slice_label '3-x'"):  # fmt: skip
        assert words in text
    with pytest.raises(InputError, match=r"lacks the column\(s\) patient"):
        read_cases(write_csv(tmp_path / "u.csv", [{"path": "a.nii.gz", "label": "blob"}]), CLASSES)
    with pytest.raises(InputError, match="twice"):
        read_cases(write_csv(tmp_path / "v.csv", [good, good | {"label": "none"}]), CLASSES)


def test_slice_labels():
    assert parse_slice_labels("2-4;7; none=0,9-10", "blob") == dict.fromkeys((2, 3, 4, 7), "blob") | dict.fromkeys(
        (0, 9, 10), "none"
    )
    with pytest.raises(ValueError, match="two labels"):
        parse_slice_labels("2-4;none=4", "blob")


def test_folds_keep_patients_whole_and_classes_balanced():
    cases = cases_of(*[(("a", "b")[p % 2], f"p{p}") for p in range(20) for _ in range(p % 3 + 1)])
    folds = fold_patients(cases, 5, seed=3)
    assert set.union(*folds) == {c.patient for c in cases} and sum(map(len, folds)) == 20
    for fold in folds:
        assert sorted(int(p[1:]) % 2 for p in fold) == [0, 0, 1, 1]
    assert folds == fold_patients(cases, 5, seed=3) != fold_patients(cases, 5, seed=4)


def test_too_few_patients_of_a_class_is_an_error_in_words():
    cases = cases_of(("a", "1"), ("a", "2"), ("b", "3"), ("b", "3"))
    with pytest.raises(InputError, match="at least 2 patients of each class, but b has 1"):
        hold_out(cases, 0.5, 0)
    with pytest.raises(InputError, match="but b has 1 outside fold 3"):
        hold_out(cases, 0.5, 0, " outside fold 3")


def test_a_given_split_is_kept_and_must_be_whole():
    cases = [LabeledCase(str(n), "a", str(n), split) for n, split in enumerate(["train", "validation", "train"])]
    training, validation = hold_out(cases, 0.5, 0)
    assert [c.patient for c in training] == ["0", "2"] and [c.patient for c in validation] == ["1"]
    with pytest.raises(InputError, match="say their split"):
        hold_out([*cases, LabeledCase("x", "a", "x")], 0.5, 0)


def test_leakage_of_patients_images_and_labels_is_refused():
    a, b, c = cases_of(("a", "1"), ("b", "2"), ("a", "3"))
    d = LabeledCase("d", "b", "1")
    clean = {a.path: "h1", b.path: "h2", c.path: "h3", "d": "h4"}
    check_splits({"training": [a, b], "validation": [c, LabeledCase("d", "b", "4")]}, clean, ["a", "b"])
    with pytest.raises(InputError, match=r"1 patient.*: 1"):
        check_splits({"training": [a, b], "validation": [c, d]}, clean, ["a", "b"])
    with pytest.raises(InputError, match=r"1-0 \(training\) = 3-2 \(validation\)"):
        check_splits({"training": [a, b], "validation": [c]}, clean | {c.path: "h1"}, ["a", "b"])
    with pytest.raises(InputError, match=r"1-0 \(a\) = 2-1 \(b\)"):
        check_splits({"training": [a, b]}, clean | {b.path: "h1"}, ["a", "b"])
    with pytest.raises(InputError, match="validation split has no case of b"):
        check_splits({"training": [a, b], "validation": [c]}, clean, ["a", "b"])


def test_slices_are_prepared_as_at_inference_once(tmp_path):
    path = write(tmp_path / "a.nii.gz", disc(np.random.default_rng(0), 40, 5)[0], (1.5, 1.5, 4.0))
    config = parse_config(settings())
    case = LabeledCase(path, "blob", "p", None, {1: "blob", 3: "none"})
    [prepared] = prepare_cases([case], config, tmp_path / "cache")
    assert prepared.labels.tolist() == [0, 1]
    plan = plan_slices(read_volume(path), Bundle(tmp_path, {"input": config.input.model_dump(mode="json")}))
    expected = plan.load(slice(0, 5))[[1, 3], 0]
    np.testing.assert_allclose(prepared.images, expected, atol=1e-3)
    kept = sorted((tmp_path / "cache").iterdir())
    before = [p.stat().st_mtime_ns for p in kept]
    prepare_cases([case], config, tmp_path / "cache")
    assert [p.stat().st_mtime_ns for p in sorted((tmp_path / "cache").iterdir())] == before


def test_pictures_are_cases_too(tmp_path):
    pixels = (disc(np.random.default_rng(0), 48, 1)[0][0]).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    [prepared] = prepare_cases([LabeledCase(tmp_path / "a.png", "blob", "p")], parse_config(settings()), tmp_path / "c")
    assert prepared.images.shape == (1, 32, 32)


def test_unreadable_scans_are_listed_together(tmp_path):
    good = write(tmp_path / "good.nii.gz", disc(np.random.default_rng(0))[0])
    (tmp_path / "cut.nii.gz").write_bytes(good.read_bytes()[:200])
    (tmp_path / "text.nii.gz").write_text("no image")
    cases = [LabeledCase(p, "blob", p.name) for p in sorted(tmp_path.glob("*.nii.gz"))]
    with pytest.raises(InputError, match=r"2 of 3 scans cannot be used: .*cut.nii.gz.*text.nii.gz"):
        prepare_cases(cases, parse_config(settings()), tmp_path / "cache")


def test_all_planes_and_steps(tmp_path):
    rng = np.random.default_rng(0)
    path = write(tmp_path / "a.nii.gz", disc(rng, 32, 32)[0], (2.0, 2.0, 2.0))
    everything = parse_config(settings(data__planes="all", data__slice_step=4))
    [prepared] = prepare_cases([LabeledCase(path, "blob", "p")], everything, tmp_path / "cache")
    assert 18 <= len(prepared.labels) <= 24 and prepared.size == (32, 32)


def prepared(name, label, count, size=(8, 8)):
    images = np.zeros((count, *size), np.float16)
    return PreparedCase(name, name, label, images, np.full(count, label))


def test_batches_hold_one_size_and_follow_the_seed():
    examples = ImageExamples([prepared("a", 0, 7), prepared("b", 1, 6, (8, 16)), prepared("c", 0, 4)])
    batches = SameSizeBatches(examples, 4, shuffle=True, seed=1)
    first = list(batches)
    assert sorted(itertools.chain(*first)) == list(range(17)) and len(batches) == len(first) == 5
    for batch in first:
        assert len({examples.sizes[n] for n in batch}) == 1
    batches.set_epoch(1)
    assert list(batches) != first
    batches.set_epoch(0)
    assert list(batches) == first


def test_every_rank_takes_as_many_steps_and_together_they_see_all():
    examples = ImageExamples([prepared("a", 0, 17)])
    ranks = [list(SameSizeBatches(examples, 4, True, 1, rank, 2)) for rank in (0, 1)]
    assert len(ranks[0]) == len(ranks[1]) == 3
    assert set(itertools.chain(*ranks[0], *ranks[1])) == set(range(17))


def test_class_weights_undo_imbalance():
    weights = class_weights([0] * 30 + [1] * 10, 2)
    assert weights.tolist() == pytest.approx([2 / 3, 2.0])
